"""How does full training change an image at random, and how is one cut out for a test?

What is drawn comes from the generators of the process, from which timm and torchvision draw;
``draw_from`` sets them for one image.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps

from archbench.bounds import is_number
from archbench.data.dataset import IMAGENET_MEAN, IMAGENET_STD
from archbench.data.decoding import Extent, upright_rgb
from archbench.errors import FOREIGN_FAULTS, UsageError, fault_text, library_absence

INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_ERASED_AREA = (0.02, 1 / 3)  # Zhong et al. 2017 (arXiv:1708.04896), as in timm
_ERASED_RATIO = (0.3, 1 / 0.3)
_TRANSLATED = 0.45  # of the side at most, by RandAugment, as in timm
_ATTEMPTS = 10  # to draw a crop that fits; else it is the middle
_LONGEST = 8  # times the short side, what is resized of a picture for a test
_MARGIN = 2  # a JPEG is decoded at a lower scale where this many times the pixels wanted are left


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to images of files, in this order: crop, flip, RandAugment, jitter, erasing.

    A crop has a random share of the picture's area (``crop_scale``) and a random ratio of width to
    height (``crop_ratio``), both of the picture as it lies in its file, and is resized. ``flip`` is
    the probability of a mirror, where the data allow mirrors. ``rand_augment`` is timm's string,
    such as ``rand-m9-mstd0.5-inc1``; empty for none. ``colour_jitter`` is the largest relative
    change of brightness, contrast and saturation. ``erasing`` is the probability that a rectangle
    is replaced by noise.

    With ``repeats`` of 3 an epoch is as long as with 1, of a third of the images, each changed
    three times (Hoffer et al. 2020, arXiv:1901.09335, as in DeiT and LeViT). ``drop_last`` leaves
    out a last batch that is not full.

    For tests the short side is resized to ``floor(resolution / crop_share)`` pixels and the middle
    square cut out. Channels have the mean subtracted and are divided by the standard deviation, of
    pixels from 0 to 1; those of ImageNet if nothing else is said.

    Raises:
        UsageError: A value is outside its range.
    """

    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bicubic"
    flip: float = 0.5
    rand_augment: str = ""
    colour_jitter: float = 0.0
    erasing: float = 0.0
    repeats: int = 1
    drop_last: bool = True
    crop_share: float = 0.875
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # of YAML or JSON
                object.__setattr__(self, field.name, value := tuple(value))
            is_allowed, allowed = _ALLOWED[field.name]
            if not is_allowed(value):
                place = f"augmentation.{field.name}"
                raise UsageError(f"{value!r} cannot be", place=place, help=f"use {allowed}")


def _are_numbers(value: Any, count: int) -> bool:
    numbers = value if isinstance(value, tuple) else ()
    return len(numbers) == count and all(is_number(n) and math.isfinite(n) for n in numbers)


def _is_range(value: Any, most: float) -> bool:
    return _are_numbers(value, 2) and 0 < value[0] <= value[1] <= most


def _is_probability(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


_ALLOWED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "crop_scale": (lambda v: _is_range(v, 1), "two ascending shares, such as 0.08, 1"),
    "crop_ratio": (lambda v: _is_range(v, 100), "two ascending ratios, such as 0.75, 1.33"),
    "interpolation": (lambda v: v in tuple(INTERPOLATIONS), "bicubic or bilinear"),
    "flip": (_is_probability, "a probability, 0 to 1"),
    "rand_augment": (
        lambda v: isinstance(v, str) and (not v or v.startswith("rand-")),
        "timm's string, such as rand-m9-mstd0.5-inc1, or nothing",
    ),
    "colour_jitter": (lambda v: is_number(v) and 0 <= v <= 100, "a number, 0 to 100"),
    "erasing": (_is_probability, "a probability, 0 to 1"),
    "repeats": (lambda v: is_number(v, is_whole=True) and 1 <= v <= 100, "1 to 100"),
    "drop_last": (lambda v: isinstance(v, bool), "true or false"),
    "crop_share": (lambda v: is_number(v) and 0.1 <= v <= 1, "a share of the side, 0.1 to 1"),
    "mean": (lambda v: _are_numbers(v, 3), "three numbers"),
    "std": (lambda v: _are_numbers(v, 3) and min(v) > 0, "three numbers above 0"),
}


class Erased(NamedTuple):
    """The place of a rectangle, and the noise, (3, h, w), that lies there after normalising."""

    top: int
    left: int
    noise: np.ndarray


@contextmanager
def generators_kept() -> Iterator[None]:
    """Puts the generators of the process back to where they were, afterwards."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def seeds_of(*key: int, number: int) -> np.ndarray:
    """What ``draw_from`` takes of so many images, (number, 3), by whole numbers from 0 on."""
    return np.random.SeedSequence(key).generate_state(3 * number).reshape(number, 3)


def draw_from(seeds: np.ndarray) -> None:
    """Sets the generators of the process by the three seeds of an image."""
    first, second, third = seeds.tolist()
    random.seed(first)
    np.random.seed(second)
    torch.default_generator.manual_seed(third)


def random_crop(
    image: Image.Image,
    *,
    augmentation: Augmentation,
    resolution: int,
    extents: Mapping[str, Extent],
) -> Image.Image:
    """A crop of an opened picture, drawn at random and resized, RGB.

    Raises:
        UnreadableError: It cannot be brought to 8 bits; see ``upright_rgb``.
    """
    left, top, width, height = _drawn_box(*image.size, augmentation)
    box = (left, top, left + width, top + height)

    def cut(plain: Image.Image) -> Image.Image:
        share = plain.width / whole  # less than 1 where it was decoded at a lower scale
        start, upper, end, lower = (round(edge * share) for edge in box)
        cropped = plain.crop((start, upper, end, lower))
        return cropped.resize((resolution, resolution), INTERPOLATIONS[augmentation.interpolation])

    whole = image.width
    _draft(image, resolution / min(width, height))
    picture, _ = upright_rgb(image, cut, extents=extents)
    return picture


def _drawn_box(width: int, height: int, augmentation: Augmentation) -> tuple[int, int, int, int]:
    """Left, top, width and height of a crop (Szegedy et al. 2015, arXiv:1409.4842, sec. 6).

    From the same draws it is that of timm; torchvision's takes ten times as long to draw.
    """
    low, high = augmentation.crop_ratio
    for _ in range(_ATTEMPTS):
        w, h = _drawn_sides(width * height, augmentation.crop_scale, augmentation.crop_ratio)
        if 0 < w <= width and 0 < h <= height:
            top, left = random.randint(0, height - h), random.randint(0, width - w)
            return left, top, w, h
    ratio = min(max(width / height, low), high)
    w, h = min(width, round(height * ratio)), min(height, round(width / ratio))
    return (width - w) // 2, (height - h) // 2, w, h


def _drawn_sides(
    area: int, share: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int]:
    """Two sides, of a share of the area and of one side to the other, drawn between bounds."""
    part = random.uniform(*share) * area
    to_other = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
    return round(math.sqrt(part * to_other)), round(math.sqrt(part / to_other))


def changed(picture: Image.Image, *, augmentation: Augmentation) -> Image.Image:
    """A square picture, mirrored and changed at random."""
    if torch.rand(1).item() < augmentation.flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for change in _changes(augmentation, picture.width):
        picture = change(picture)
    return picture


def middle_crop(
    image: Image.Image,
    *,
    augmentation: Augmentation,
    resolution: int,
    extents: Mapping[str, Extent],
) -> Image.Image:
    """The middle square of an opened picture, RGB, as tests see it.

    Raises:
        UnreadableError: It cannot be brought to 8 bits; see ``upright_rgb``.
    """
    from torchvision.transforms import functional as F

    side = math.floor(resolution / augmentation.crop_share)

    def cut(plain: Image.Image) -> Image.Image:
        longest = _LONGEST * min(plain.size)  # more would only fill the memory
        inner = F.center_crop(plain, [min(longest, edge) for edge in plain.size[::-1]])
        resized = F.resize(inner, [side], INTERPOLATIONS[augmentation.interpolation])
        return F.center_crop(resized, [resolution, resolution])

    _draft(image, side / min(image.size))
    picture, _ = upright_rgb(image, cut, extents=extents)
    return picture


def erased(augmentation: Augmentation, resolution: int) -> Erased | None:
    """What is erased of an image, at random; None where nothing is.

    From the same draws it is that of timm, to whose batches it comes after normalising, too.
    """
    if random.random() > augmentation.erasing or not augmentation.erasing:
        return None
    S = resolution
    for _ in range(_ATTEMPTS):
        height, width = _drawn_sides(S * S, _ERASED_AREA, _ERASED_RATIO)
        if height < S and width < S:
            top, left = random.randint(0, S - height), random.randint(0, S - width)
            return Erased(top, left, torch.empty((3, height, width)).normal_().numpy())
    return None


def require_changes(augmentation: Augmentation, resolution: int) -> None:
    """Refuses changes of images that cannot be made here.

    Raises:
        MissingError: timm, which makes them, is not installed.
        UsageError: timm does not take the string.
    """
    if augmentation.rand_augment and (missing := library_absence("timm", extra="train")):
        raise missing
    try:
        _changes(augmentation, resolution)
    except FOREIGN_FAULTS as error:
        raise UsageError(
            f"timm does not take {augmentation.rand_augment!r} ({fault_text(error)})",
            place="augmentation.rand_augment",
            help="say it as timm does, such as rand-m9-mstd0.5-inc1",
        ) from error


def _draft(image: Image.Image, scale: float) -> None:
    """Has a JPEG decoded at 1/2, 1/4 or 1/8 where more than that is left of it at a scale.

    Decoding then takes a fraction of the time.
    """
    width, height = (math.ceil(_MARGIN * scale * edge) for edge in image.size)
    if 2 * width <= image.width:
        image.draft("RGB", (width, height))


@lru_cache(maxsize=8)
def _changes(
    augmentation: Augmentation, resolution: int
) -> tuple[Callable[[Image.Image], Image.Image], ...]:
    """RandAugment with the parameters of timm's ``create_transform``, and colour jitter."""
    changes: list[Callable[[Image.Image], Image.Image]] = []
    if augmentation.rand_augment:
        from timm.data.auto_augment import rand_augment_transform

        parameters = {
            "translate_const": int(_TRANSLATED * resolution),
            "img_mean": tuple(min(255, round(255 * channel)) for channel in augmentation.mean),
            "interpolation": INTERPOLATIONS[augmentation.interpolation],
        }
        rand_augment = rand_augment_transform(augmentation.rand_augment, parameters)
        for operation in rand_augment.ops:
            if operation.name.startswith("Posterize"):
                operation.aug_fn = _posterized
        changes.append(rand_augment)
    if augmentation.colour_jitter:
        from torchvision.transforms import ColorJitter

        changes.append(ColorJitter(*3 * [augmentation.colour_jitter]))
    return tuple(changes)


def _posterized(image: Image.Image, bits: int, **_: object) -> Image.Image:
    """As timm does it, but for 0 bits: black, where Pillow from 13 on would refuse."""
    if bits >= 8:
        return image
    return ImageOps.posterize(image, bits) if bits else Image.new(image.mode, image.size)
