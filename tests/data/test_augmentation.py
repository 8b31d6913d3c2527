"""Are images changed as timm and torchvision change them?"""

import io
import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from archbench.data.augmentation import (
    Augmentation,
    changed,
    draw_from,
    erased,
    generators_kept,
    middle_crop,
    random_crop,
    require_changes,
    seeds_of,
)
from archbench.data.decoding import opened
from archbench.errors import UsageError

PHOTO = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
).resize((400, 300), Image.Resampling.BICUBIC)
S = 32


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("crop_scale", (0.5, 0.2), "two ascending shares"),
        ("crop_scale", (0, 1), "two ascending shares"),
        ("crop_scale", 3, "two ascending shares"),
        ("crop_ratio", (1,), "two ascending ratios"),
        ("interpolation", "nearest", "bicubic or bilinear"),
        ("interpolation", None, "bicubic or bilinear"),
        ("flip", 1.5, "a probability"),
        ("flip", "often", "a probability"),
        ("rand_augment", "m9", "timm's string"),
        ("rand_augment", 9, "timm's string"),
        ("colour_jitter", -1, "0 to 100"),
        ("erasing", float("nan"), "a probability"),
        ("repeats", 0, "1 to 100"),
        ("repeats", 1.5, "1 to 100"),
        ("drop_last", 1, "true or false"),
        ("crop_share", 0, "0.1 to 1"),
        ("mean", (0.5,), "three numbers"),
        ("mean", (0.5, 0.5, "a"), "three numbers"),
        ("std", (0.5, 0, 0.5), "three numbers above 0"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(field: str, value: Any, told: str) -> None:
    with pytest.raises(UsageError, match=rf"augmentation\.{field}: .* cannot be; use .*{told}"):
        Augmentation(**{field: value})


def test_lists_of_a_file_are_taken_for_pairs() -> None:
    assert Augmentation(crop_scale=[0.3, 1], mean=[0.5] * 3) == Augmentation(
        crop_scale=(0.3, 1), mean=(0.5, 0.5, 0.5)
    )


def test_a_string_that_timm_does_not_take_is_refused() -> None:
    pytest.importorskip("timm", reason="RandAugment is timm's")
    require_changes(Augmentation(rand_augment="rand-m9-mstd0.5-inc1"), S)
    with pytest.raises(UsageError, match=r"timm does not take 'rand-m9-q1' .*say it as timm does"):
        require_changes(Augmentation(rand_augment="rand-m9-q1"), S)


def _ours(augmentation: Augmentation, seed: int) -> np.ndarray:
    draw_from(seeds_of(seed, number=1)[0])
    crop = random_crop(PHOTO, augmentation=augmentation, resolution=S, extents={})
    return np.asarray(changed(crop, augmentation=augmentation))


def _timm_crop(**settings: Any) -> Any:
    timm_transforms = pytest.importorskip("timm.data.transforms", reason="to compare with")
    return timm_transforms.RandomResizedCropAndInterpolation(S, **settings)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_crop_flip_and_jitter_are_those_of_timm_from_the_same_draws(interpolation: str) -> None:
    theirs = transforms.Compose(
        [
            _timm_crop(interpolation=interpolation),
            transforms.RandomHorizontalFlip(),
            transforms.ColorJitter(0.4, 0.4, 0.4),
        ]
    )
    augmentation = Augmentation(colour_jitter=0.4, interpolation=interpolation)
    with generators_kept():
        for seed in range(8):
            ours = _ours(augmentation, seed)
            draw_from(seeds_of(seed, number=1)[0])
            assert np.array_equal(ours, np.asarray(theirs(PHOTO)))


@pytest.mark.parametrize("size", [(300, 4), (4, 300), (1, 1), (2, 3)])
def test_a_crop_that_never_fits_is_the_middle_as_in_timm(size: tuple[int, int]) -> None:
    photo, theirs = PHOTO.resize(size), _timm_crop(scale=(0.9, 1.0), interpolation="bicubic")
    with generators_kept():
        for seed in range(4):
            draw_from(seeds_of(seed, number=1)[0])
            augmentation = Augmentation(crop_scale=(0.9, 1.0))
            ours = random_crop(photo, augmentation=augmentation, resolution=S, extents={})
            draw_from(seeds_of(seed, number=1)[0])
            assert np.array_equal(np.asarray(ours), np.asarray(theirs(photo)))


def test_rand_augment_is_timm_s_with_the_parameters_of_its_transforms() -> None:
    timm_data = pytest.importorskip("timm.data", reason="RandAugment is timm's")
    text = "rand-m9-mstd0.5-inc1"
    whole = timm_data.create_transform(
        S, is_training=True, auto_augment=text, interpolation="bicubic", hflip=0.5
    )
    crop, flip, rand_augment = whole.transforms[:3]
    augmentation = Augmentation(rand_augment=text)
    num_refused = 0
    with generators_kept():
        for seed in range(100):
            ours = _ours(augmentation, seed)
            draw_from(seeds_of(seed, number=1)[0])
            try:
                wanted = rand_augment(flip(crop(PHOTO)))
            except ValueError:  # timm asks Pillow for 0 bits, which it refuses from 13 on
                num_refused += 1
                continue
            assert np.array_equal(ours, np.asarray(wanted))
    assert num_refused < 5


def test_to_posterize_to_no_bits_gives_black() -> None:
    pytest.importorskip("timm", reason="RandAugment is timm's")
    always = Augmentation(rand_augment="rand-m10-p1.0-n30-inc1")
    with generators_kept():
        assert any(not _ours(always, seed).any() for seed in range(40))


def test_a_test_sees_what_torchvision_cuts_out() -> None:
    theirs = transforms.Compose(
        [
            transforms.Resize(36, interpolation=InterpolationMode.BICUBIC),
            transforms.CenterCrop(S),
        ]
    )
    for photo in (PHOTO, PHOTO.rotate(90, expand=True), PHOTO.resize((40, 50))):
        ours = middle_crop(photo, augmentation=Augmentation(), resolution=S, extents={})
        assert np.array_equal(np.asarray(ours), np.asarray(theirs(photo)))


def test_a_test_of_a_long_strip_takes_its_middle() -> None:
    strip = Image.new("RGB", (60_000, 10))
    strip.paste((9, 9, 9), (29_000, 0, 31_000, 10))
    ours = middle_crop(strip, augmentation=Augmentation(), resolution=S, extents={})
    assert np.asarray(ours).min() == np.asarray(ours).max() == 9


def test_a_large_jpeg_is_cropped_as_if_decoded_whole() -> None:
    content = io.BytesIO()
    PHOTO.resize((1600, 1200), Image.Resampling.BICUBIC).save(content, "JPEG", quality=95)
    augmentation = Augmentation(crop_scale=(0.3, 1))
    theirs = _timm_crop(scale=(0.3, 1), interpolation="bicubic")
    with generators_kept():
        for seed in range(4):
            draw_from(seeds_of(seed, number=1)[0])
            with opened(content.getvalue()) as image:
                ours = random_crop(image, augmentation=augmentation, resolution=S, extents={})
                assert image.width < 1600
            draw_from(seeds_of(seed, number=1)[0])
            wanted = theirs(Image.open(content))
            assert np.abs(np.asarray(ours).astype(int) - np.asarray(wanted)).mean() < 2


def test_erasing_is_that_of_timm_from_the_same_draws() -> None:
    erasing = pytest.importorskip("timm.data.random_erasing", reason="to compare with")
    with generators_kept():
        for share in (1.0, 0.25, 0.0):
            theirs = erasing.RandomErasing(share, mode="pixel", device="cpu")
            for seed in range(40):
                draw_from(seeds_of(seed, number=1)[0])
                image = torch.full((3, S, S), 9.0)
                if found := erased(Augmentation(erasing=share), S):
                    _, height, width = found.noise.shape
                    rows, columns = slice(found.top, found.top + height), slice(found.left, None)
                    image[:, rows, columns][..., :width] = torch.from_numpy(found.noise)
                draw_from(seeds_of(seed, number=1)[0])
                wanted = torch.full((3, S, S), 9.0)
                theirs(wanted)
                assert torch.equal(image, wanted)
                assert found or share < 1


def test_draws_leave_the_generators_of_the_process_alone() -> None:
    def next_draws() -> tuple[float, float, float]:
        with generators_kept():
            return random.random(), np.random.rand(), float(torch.rand(1))

    before = next_draws()
    with generators_kept():
        _ours(Augmentation(colour_jitter=0.4), 3)
    assert next_draws() == before
