"""Which images does an object in Python hold: a data set of ours or a torch Dataset?"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from archbench.data.dataset import DataError, DataSet, held_out_share
from archbench.data.decoding import RECIPE as DECODING
from archbench.data.decoding import (
    Extent,
    UnreadableError,
    extent_in,
    middle_square,
    upright_rgb,
    widen,
)
from archbench.data.source import SHARES, DataFacts, DataRequest, ImageSource, Share, Sink
from archbench.errors import UsageError, wrong_type

RECIPE = 2  # raise it with every change that changes a byte
_BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class Held:
    """Images (N, 3, R, R) and labels of each share, and what is known of them."""

    shares: Mapping[Share, tuple[np.ndarray, np.ndarray]]
    facts: DataFacts

    def fill(self, sink: Sink) -> DataFacts:
        """Hands over the images, block by block."""
        for share, (images, labels) in self.shares.items():
            for start in range(0, len(labels), _BLOCK):
                part = slice(start, start + _BLOCK)
                sink(share, images[part], labels[part])
        return self.facts

    def digest(self) -> str:
        """Of all that a network sees, 16 hex."""
        names, flip = self.facts.class_names, self.facts.flip
        found = hashlib.sha256(json.dumps([RECIPE, names, flip]).encode())
        for share, (images, labels) in self.shares.items():
            found.update(f"{share} {images.shape}".encode())
            found.update(np.ascontiguousarray(images).data)
            found.update(labels.astype("<i8").tobytes())
        return found.hexdigest()[:16]


def source_in(found: Any, request: DataRequest) -> ImageSource:
    """The images of what a module of the user's own holds: a data set, or what gives one.

    Their cached copy is made again where the data set's length changes.

    Raises:
        UsageError: It is no data set.
    """
    data = found if isinstance(found, DataSet | Dataset) or not callable(found) else found()
    if not isinstance(data, DataSet | Dataset):
        raise wrong_type(data, place=request.name, allowed="a torch Dataset, or what gives one")
    settings = {
        "recipe": RECIPE,
        "decoding": DECODING,
        "argument": request.argument,
        "length": _length(data),
    }

    def make(sink: Sink) -> DataFacts:
        return images_of(data, resolution=request.resolution, seed=request.seed).fill(sink)

    return ImageSource(settings, make)


def images_of(data: DataSet | Dataset[Any], *, resolution: int, seed: int = 0) -> Held:
    """All images of a data set; the seed draws what a torch Dataset does not hold out.

    Raises:
        UsageError: Its items, or their sizes, are none that can be taken.
        DataError: Its labels do not make a data set.
    """
    if isinstance(data, DataSet):
        return _of_ours(data, resolution=resolution)
    number = _length(data)
    images = np.empty((number, 3, resolution, resolution), np.uint8)
    labels = np.empty(number, np.int64)
    deep, extents = [], dict[str, Extent]()
    remarks = Counter[str]()

    def fill(index: int, picture: Image.Image) -> None:
        images[index], done = _square(picture, resolution, extents=extents, index=index)
        remarks.update(done)

    for index in range(number):
        picture, labels[index] = _item(data, index)
        if found := extent_in(picture):
            widen(extents, found)
            deep.append(index)
        else:
            fill(index, picture)
    for index in deep:  # which one range brings to 8 bits
        fill(index, _item(data, index)[0])
    notes = [f"{count:,} of {number:,} images {done}" for done, count in sorted(remarks.items())]
    notes += [extent.in_words(kind) for kind, extent in sorted(extents.items())]
    return _split(data, images, labels, seed=seed, notes=notes)


def _length(data: DataSet | Dataset[Any]) -> int:
    if isinstance(data, DataSet):
        return sum(len(getattr(data, share)) for share in SHARES)
    try:
        return len(cast(Any, data))
    except TypeError:
        raise UsageError(
            f"the {type(data).__name__} has no length",
            place="data",
            help="give one whose items can be numbered, as those of torchvision.datasets",
        ) from None


def _of_ours(data: DataSet, *, resolution: int) -> Held:
    shares: dict[Share, tuple[np.ndarray, np.ndarray]] = {}
    for share in SHARES:
        part = getattr(data, share)
        images, labels = part.images.numpy(), part.labels.numpy()
        if images.dtype != np.uint8 or images.shape[1:] != (3, resolution, resolution):
            raise UsageError(
                f"its {share} images are {images.dtype} of {tuple(images.shape[1:])}",
                place=f"data {data.name}",
                help=f"here they are uint8 of (3, {resolution}, {resolution}); load it with "
                f"resolution={resolution}",
            )
        shares[share] = images, labels
    facts = DataFacts(
        class_names=data.class_names,
        description=data.description,
        flip=data.flip,
        notes=data.notes,
    )
    return Held(shares=shares, facts=facts)


def _split(
    data: object, images: np.ndarray, labels: np.ndarray, *, seed: int, notes: Sequence[str]
) -> Held:
    """Two shares of 15 % of each class held out, as of a folder that is not split."""
    names = getattr(data, "classes", None) or range(int(labels.max(initial=-1)) + 1)
    counts = np.bincount(labels, minlength=len(names)) if labels.min(initial=0) >= 0 else [0]
    if len(names) < 2 or len(counts) > len(names) or min(counts) < 3:
        raise DataError(
            f"its labels do not make a data set: {len(names)} classes, and "
            f"{min(counts)} to {max(counts)} images of each",
            place=f"data {type(data).__name__}",
            help="a classifier needs 2 classes or more, numbered from 0, with 3 images each to "
            "split",
        )
    left, shares = np.arange(len(labels)), {}
    for number, share in enumerate(("test", "validation")):
        taken = held_out_share(labels[left], seed=seed, number=number)
        shares[share] = left[taken]
        left = np.delete(left, taken)
    shares["train"] = left
    flip = bool(getattr(data, "flip", False))
    sizes = ", ".join(f"{share} {len(shares[share]):,}" for share in SHARES)
    mirrors = "mirrors" if flip else "does not mirror"
    facts = DataFacts(
        class_names=tuple(map(str, names)),
        description=f"images of {len(names):,} classes from a {type(data).__name__}",
        flip=flip,
        notes=(f"{sizes} images, drawn with seed {seed}; training {mirrors} them", *notes),
    )
    return Held(
        shares={share: (images[shares[share]], labels[shares[share]]) for share in SHARES},
        facts=facts,
    )


def _item(data: Dataset[Any], index: int) -> tuple[Image.Image, int]:
    """The picture and the label of an item."""
    item = cast(Any, data)[index]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise UsageError(
            f"item {index} of the {type(data).__name__} is no pair of an image and a label",
            place="data",
            help="let it give (image, label), as those of torchvision.datasets do",
        )
    return _picture(item[0], index=index), _label(item[1], index=index)


def _picture(image: object, *, index: int) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    pixels = image.numpy() if isinstance(image, torch.Tensor) else np.asarray(image)
    if isinstance(image, torch.Tensor) and pixels.ndim == 3:
        pixels = pixels.transpose(1, 2, 0)  # (C, H, W) to (H, W, C)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.dtype != np.uint8 or pixels.shape[2:] not in ((), (3,)):
        raise UsageError(
            f"the image of item {index} is {pixels.dtype} of {pixels.shape}",
            place="data",
            help="give pictures of Pillow or uint8 tensors (3, H, W): leave out ToTensor and "
            "Normalize, which archbench does itself",
        )
    return Image.fromarray(np.ascontiguousarray(pixels))


def _square(
    picture: Image.Image, resolution: int, *, extents: Mapping[str, Extent], index: int
) -> tuple[np.ndarray, frozenset[str]]:
    """The middle square of a picture, resized, uint8 (3, R, R), and what was done to it."""
    try:
        square, done = upright_rgb(picture, middle_square(resolution), extents=extents)
    except UnreadableError as error:
        raise UsageError(
            f"the image of item {index} cannot be taken ({error})",
            place="data",
            help="leave it out, or give it as a picture of 8 bits",
        ) from error
    return np.asarray(square).transpose(2, 0, 1), done


def _label(label: object, *, index: int) -> int:
    try:
        return int(cast(Any, label).__index__())
    except (AttributeError, TypeError, RuntimeError):
        raise UsageError(
            f"the label of item {index} is {label!r:.60}, no whole number",
            place="data",
            help="number the classes from 0",
        ) from None
