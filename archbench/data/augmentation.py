"""How does full training change an image at random, and how is one cut out for a test?"""

import math
from dataclasses import dataclass, fields

from archbench.errors import UsageError

INTERPOLATIONS = ("bicubic", "bilinear")


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
    square cut out. Channels have the mean and standard deviation subtracted and divided, of pixels
    from 0 to 1; those of ImageNet if nothing else is said.

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
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for name in ("crop_scale", "crop_ratio", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # YAML and JSON have lists
        allowed = {
            "crop_scale": (_is_range(self.crop_scale, most=1), "two ascending shares, 0.08, 1"),
            "crop_ratio": (_is_range(self.crop_ratio), "two ascending ratios, 0.75, 1.33"),
            "interpolation": (self.interpolation in INTERPOLATIONS, "bicubic or bilinear"),
            "rand_augment": (
                not self.rand_augment or self.rand_augment.startswith("rand-"),
                "timm's string, such as rand-m9-mstd0.5-inc1, or nothing",
            ),
            "colour_jitter": (0 <= self.colour_jitter < math.inf, "a finite number, 0 or more"),
            "repeats": (1 <= self.repeats <= 100, "1 to 100"),
            "crop_share": (0 < self.crop_share <= 1, "a share above 0, up to 1"),
            "mean": (len(self.mean) == 3 and all(map(math.isfinite, self.mean)), "three numbers"),
            "std": (len(self.std) == 3 and 0 < min(self.std) < math.inf, "three positive numbers"),
        }
        for name in ("flip", "erasing"):
            allowed[name] = (0 <= getattr(self, name) <= 1, "a probability, 0 to 1")
        for field in fields(self):
            is_allowed, what = allowed.get(field.name, (True, ""))
            if not is_allowed:
                value, place = getattr(self, field.name), f"augmentation.{field.name}"
                raise UsageError(f"{value!r} cannot be", place=place, help=f"use {what}")


def _is_range(pair: tuple[float, ...], *, most: float = 1e3) -> bool:
    return len(pair) == 2 and 0 < pair[0] <= pair[1] <= most
