"""What classifies pictures: a network with its weights, and what it makes of a picture first."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archbench.command_line import command_line
from archbench.data.dataset import IMAGENET_MEAN, IMAGENET_STD
from archbench.data.image_preparation import TEXT, Preparation
from archbench.errors import UsageError, WeightsError
from archbench.models import ArchSpec, Network, build, load_weights
from archbench.models.weights.header import own_spec, source_of
from archbench.models.weights.weight_file import WeightFile, content_sha256, read_weights

_ENLARGED = 256 / 224
_BATCH = 32
_FULL_SIDE = 384  # from which published networks are tested on the whole middle square


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A network that takes images (B, 3, R, R) as prepared and gives logits (B, K).

    ``run`` takes ``batch`` images at once, or any number where that is None.
    """

    name: str
    file: Path | None
    form: str  # ``weights``, or the format of an exported network
    preparation: Preparation
    run: Callable[[Tensor], Tensor]
    batch: int | None = None

    def logits(self, images: Tensor) -> Tensor:
        """Logits (N, K) of any number of images (N, 3, R, R); a fixed batch is filled up."""
        found = []
        for part in images.split(self.batch or _BATCH):
            missing = (self.batch or len(part)) - len(part)
            filled = torch.cat([part, part[-1:].expand(missing, -1, -1, -1)]) if missing else part
            found.append(self.run(filled)[: len(part)].float())
        return torch.cat(found)


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network with its weights, in evaluation, and what is known beside them.

    The ``origin`` are facts of its training or of the file of others that it was read from,
    JSON-able; without a file the weights are fresh.
    """

    network: Network
    preparation: Preparation
    file: Path | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> ArchSpec:
        """What it was built from."""
        return self.network.spec

    @property
    def name(self) -> str:
        """Its name, or its digest where it has none."""
        return self.spec.name or self.spec.digest

    def content(self) -> str:
        """The sha256 of its tensors."""
        return content_sha256(self.network.state_dict())

    def classifier(self) -> Classifier:
        """What classifies by it in PyTorch."""

        def run(images: Tensor) -> Tensor:
            with torch.inference_mode():
                logits: Tensor = self.network(images)
            return logits

        return Classifier(
            name=self.name,
            file=self.file,
            form="weights",
            preparation=self.preparation,
            run=run,
        )


def trained(path: Path, *, spec: ArchSpec | None = None) -> TrainedNetwork:
    """The network of a file of weights as ``archbench train`` and a study keep them.

    With a spec the file may be of any layout that ``archbench.load_weights`` reads.

    Raises:
        MissingError: There is no such file.
        WeightsError: It is damaged, does not fit, or does not say of which network it is.
    """
    file = read_weights(path)
    own = own_spec(file)
    spec = spec or own
    if spec is None:
        raise file.refused(
            "it does not say of which network it is",
            help=f"convert it: {command_line('archbench', 'weights', 'convert', path)} "
            "NEW.safetensors",
        )
    network = build(spec, seed=0)
    load_weights(network, path)
    known = ("data", "epoch", "accuracy")
    told: dict[str, Any] = {key: file.metadata[key] for key in known if key in file.metadata}
    with suppress(KeyError, ValueError):  # of files from before there was one
        told["recipe"] = dict(json.loads(file.metadata["recipe"]))
    source = source_of(file) if own else {"layout": "other", "file": path.name}
    return TrainedNetwork(
        network=network.eval(),
        preparation=preparation_of(file, spec, is_theirs=bool(source)),
        file=path,
        origin={**told, **({"source": source} if source else {}), "sha256": file.sha256},
    )


def untrained(spec: ArchSpec) -> TrainedNetwork:
    """The network with fresh weights, to try what becomes of it."""
    side = spec.resolution.height
    _require_square(spec, place=spec.name)
    return TrainedNetwork(
        network=build(spec, seed=0).eval(), preparation=Preparation(resolution=side, resize=side)
    )


def preparation_of(file: WeightFile, spec: ArchSpec, *, is_theirs: bool) -> Preparation:
    """How images were prepared for the weights of a file.

    What other code trained (``is_theirs``) takes ImageNet's mean and deviation, and up to 384 px
    the middle of a square that is larger by 256 / 224, as the released LeViT, CvT and DeiT are
    tested.

    Raises:
        UsageError: The images are no squares.
        WeightsError: What the file says of them cannot be read.
    """
    _require_square(spec, place=str(file.path))
    height = spec.resolution.height
    if TEXT in file.metadata:
        return _kept(file, side=height)
    found = Preparation(resolution=height, resize=height)
    if is_theirs:
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


def _require_square(spec: ArchSpec, *, place: str) -> None:
    if spec.resolution.height != spec.resolution.width:
        raise UsageError(
            f"the network takes images of {spec.resolution}, and pictures are made squares here",
            place=place,
            help="bring the weights to a square: archbench weights convert --resolution",
        )


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
