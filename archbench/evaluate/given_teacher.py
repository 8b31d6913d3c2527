"""Which network teaches a full training: one of timm's, a published one, or that of a file?

B images of a batch, S side, K classes.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.data.augmentation import Augmentation
from archbench.data.stream import Stream
from archbench.errors import MissingError, UsageError, library_absence
from archbench.evaluate.classifier import trained
from archbench.models import fetch_weights
from archbench.models.catalogue import published, published_names
from archbench.models.weights.weight_file import content_sha256
from archbench.train.resumable import share_right
from archbench.train.step import Teacher

_TIMM = "timm:"
_KINDS = (
    "timm:NAME, the name of a published network, or a file of weights as archbench train keeps them"
)


Normalised = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each channel, of pixels from 0 to 1."""


class Translated(nn.Module):
    """A network that is given images as another sees them, and brings them into its own form.

    Images (B, 3, S, S) come normalised by ``theirs``, mean and standard deviation of each channel,
    and go on normalised by ``own``, resized to ``side`` pixels. Gives logits (B, K).
    """

    scale: Tensor  # by which an image is multiplied
    shift: Tensor  # and what is added then

    def __init__(
        self, network: nn.Module, *, side: int, theirs: Normalised, own: Normalised
    ) -> None:
        super().__init__()
        self.network = network
        self._side = side
        (their_mean, their_std), (mean, std) = (
            [torch.tensor(values).view(3, 1, 1) for values in pair] for pair in (theirs, own)
        )
        self.register_buffer("scale", their_std / std, persistent=False)
        self.register_buffer("shift", (their_mean - mean) / std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 3, S, S)."""
        images = images * self.scale + self.shift
        if images.shape[-1] != self._side:
            images = F.interpolate(images, size=self._side, mode="bicubic", antialias=True)
        logits: Tensor = self.network(images)
        return logits


def given_teacher(
    name: str, *, stream: Stream, seen: Augmentation, device: str | torch.device
) -> Teacher | None:
    """The teacher of a name, or None for ``none``; it tells the same classes apart as the data.

    A name is ``timm:NAME``, whose weights timm has or fetches, a published network, whose weights
    are fetched from the hub, or a file of ours. ``seen`` says how images are normalised for the
    network that is taught. The accuracy is on the validation images.

    Raises:
        UsageError: It is no such name, or the teacher's classes are not those of the data.
        MissingError: There is no such file, or the weights cannot be had.
        WeightsError: The file is damaged.
    """
    if name == "none":
        return None
    if name.startswith(_TIMM):
        network, side, own = _of_timm(name, stream=stream)
    elif Path(name).is_file():
        network, side, own = _of_file(Path(name), stream=stream)
    elif name in published_names():
        _check_classes(published(name).num_classes, stream=stream, name=name)
        network, side, own = _of_file(fetch_weights(name).path, stream=stream)
    else:
        raise UsageError(f"no teacher is called {name!r}", place="teacher", help=f"use {_KINDS}")
    network = Translated(network, side=side, theirs=(seen.mean, seen.std), own=own)
    network = network.to(device).eval().requires_grad_(False)
    batches = ((images, labels) for images, labels, _ in stream.validation.batches())
    reached = share_right(network, batches, device=device, memory_format=torch.contiguous_format)
    sha256 = content_sha256(network.state_dict())
    return Teacher(kind=name, network=network, sha256=sha256, accuracy=reached)


def _of_timm(name: str, *, stream: Stream) -> tuple[nn.Module, int, Normalised]:
    if absence := library_absence("timm", extra="train"):
        raise absence
    import timm

    called = name.removeprefix(_TIMM)
    known = timm.get_pretrained_cfg(called) if timm.is_model(called.partition(".")[0]) else None
    if known is None:
        message = f"timm has no weights of {called!r}"
        help_ = "timm.list_pretrained() lists those that it has"
        raise UsageError(message, place=name, help=help_)
    _check_classes(known.num_classes, stream=stream, name=name)
    try:
        network: nn.Module = timm.create_model(called, pretrained=True)
    except (OSError, RuntimeError) as error:  # of whichever library fetches them
        raise MissingError(
            f"timm cannot get the weights ({type(error).__name__})",
            place=name,
            help="run it once where the model hub can be reached, and take its cache along; or "
            "--teacher none trains without",
        ) from error
    side = known.input_size[-1] if known.fixed_input_size else stream.resolution
    return network, side, (known.mean, known.std)


def _of_file(path: Path, *, stream: Stream) -> tuple[nn.Module, int, Normalised]:
    found = trained(path)
    seen = found.preparation
    _check_classes(found.spec.num_classes, stream=stream, name=str(path))
    names = () if "source" in found.origin else seen.class_names
    if names and names != stream.class_names:
        raise UsageError(
            "its classes are not those of the data, or stand in another order",
            place=str(path),
            help=f"its classes: {', '.join(names[:5])}, ...",
        )
    return found.network, seen.resolution, (seen.mean, seen.std)


def _check_classes(number: int, *, stream: Stream, name: str) -> None:
    if number != stream.num_classes:
        raise UsageError(
            f"the teacher has {number:,} classes, and the data have {stream.num_classes:,}",
            place=name,
            help="train a teacher on these data first and name its best.safetensors, or take none "
            "(--teacher none)",
        )
