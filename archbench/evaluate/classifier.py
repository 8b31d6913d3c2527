"""What classifies pictures: a network with its weights, and what it makes of a picture first."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from archbench.command_line import command_line
from archbench.data.picture import IMAGENET_MEAN, IMAGENET_STD, TEXT, Preparation
from archbench.errors import WeightsError
from archbench.models import ArchSpec, Network, build, load_weights
from archbench.models.weights.header import own_spec, source_of
from archbench.models.weights.weight_file import WeightFile, read_weights

_ENLARGED = 256 / 224
_FULL_SIDE = 384  # from which published networks are tested on the whole middle square


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A network that takes images (B, 3, R, R) as prepared and gives logits (B, K).

    It takes ``batch`` images at once, or any number where that is None.
    """

    name: str
    file: Path
    form: str  # ``weights``, or the format of an exported artifact
    preparation: Preparation
    run: Callable[[Tensor], Tensor]
    batch: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network with the weights of a file, in evaluation, and what was kept beside them."""

    network: Network
    preparation: Preparation
    file: WeightFile

    @property
    def spec(self) -> ArchSpec:
        """What it was built from."""
        return self.network.spec


def trained(path: Path) -> TrainedNetwork:
    """The network of a file of weights as ``archbench train`` and a study keep them.

    Raises:
        MissingError: There is no such file.
        WeightsError: It is damaged, or of other names, which do not say of which network.
    """
    file = read_weights(path)
    spec = own_spec(file)
    if spec is None:
        raise file.refused(
            "it does not say of which network it is",
            help=f"convert it: {command_line('archbench', 'weights', 'convert', path)} "
            "NEW.safetensors",
        )
    network = build(spec, seed=0)
    load_weights(network, path)
    return TrainedNetwork(network=network.eval(), preparation=preparation_of(file, spec), file=file)


def from_weights(path: Path) -> Classifier:
    """What classifies with the weights of a file.

    Raises:
        ArchbenchError: See ``trained``.
    """
    found = trained(path)

    def run(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = found.network(images)
        return logits

    return Classifier(
        name=found.spec.name or found.spec.digest,
        file=path,
        form="weights",
        preparation=found.preparation,
        run=run,
    )


def preparation_of(file: WeightFile, spec: ArchSpec) -> Preparation:
    """How images were prepared for the weights of a file of ours.

    What other code trained takes ImageNet's mean and deviation, and up to 384 px the middle of a
    square that is larger by 256 / 224, as the released LeViT, CvT and DeiT are tested.

    Raises:
        WeightsError: The images are no squares, or what the file says of them cannot be read.
    """
    height, width = spec.resolution
    if height != width:
        raise file.refused(
            f"it takes images of {spec.resolution}, and pictures are made squares here",
            help="bring it to a square: archbench weights convert --resolution",
        )
    if TEXT in file.metadata:
        return _kept(file, side=height)
    found = Preparation(resolution=height, resize=height)
    if source_of(file):
        resize = height if height >= _FULL_SIDE else round(height * _ENLARGED)
        names = imagenet_names() if spec.num_classes == 1000 else ()
        found = replace(
            found, resize=resize, mean=IMAGENET_MEAN, std=IMAGENET_STD, class_names=names
        )
    return found


def imagenet_names() -> tuple[str, ...]:
    """The names of ImageNet's 1,000 classes, in the order in which they are numbered."""
    from torchvision.models import ResNet50_Weights

    return tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def _kept(file: WeightFile, *, side: int) -> Preparation:
    try:
        found = Preparation.from_document(json.loads(file.metadata[TEXT]))
    except (ValueError, RecursionError) as error:
        raise file.refused(f"what it says of its images cannot be read: {error}") from error
    if found.resolution != side:
        raise WeightsError(
            f"its images are of {found.resolution} px, and its network takes {side} px",
            place=str(file.path),
        )
    return found
