"""Are images changed as timm and torchvision change them?"""

from typing import Any

import pytest

from archbench.data.augmentation import Augmentation
from archbench.errors import UsageError


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("crop_scale", (0.5, 0.2), "two ascending shares"),
        ("crop_scale", (0, 1), "two ascending shares"),
        ("crop_ratio", (1,), "two ascending ratios"),
        ("interpolation", "nearest", "bicubic or bilinear"),
        ("flip", 1.5, "a probability"),
        ("rand_augment", "m9", "timm's string"),
        ("colour_jitter", -1, "0 or more"),
        ("erasing", -0.1, "a probability"),
        ("repeats", 0, "1 to 100"),
        ("crop_share", 0, "above 0"),
        ("mean", (0.5,), "three numbers"),
        ("std", (0.5, 0, 0.5), "three positive numbers"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(field: str, value: Any, told: str) -> None:
    with pytest.raises(UsageError, match=rf"augmentation\.{field}: .* cannot be; use .*{told}"):
        Augmentation(**{field: value})


def test_lists_of_a_file_are_taken_for_pairs() -> None:
    assert Augmentation(crop_scale=[0.3, 1], mean=[0.5] * 3) == Augmentation(
        crop_scale=(0.3, 1), mean=(0.5, 0.5, 0.5)
    )
