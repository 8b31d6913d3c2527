from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from archbench.data import DataSet, load
from archbench.data.sources.cluttered_digits import DIFFICULTIES, draw, glyph_parts
from archbench.errors import UsageError


def _glyphs() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images / 16.0, digits.target


def _drawn(
    glyphs: np.ndarray, *, level: str = "medium", resolution: int = 32, **plain: Any
) -> np.ndarray:
    difficulty = replace(DIFFICULTIES[level], **plain)
    return draw(
        glyphs,
        distractors=np.repeat(glyphs[:, None], difficulty.num_distractors, axis=1),
        difficulty=difficulty,
        resolution=resolution,
        rng=np.random.default_rng(0),
    )


def test_the_bytes_are_those_of_the_recipe(digits: DataSet) -> None:
    """They are part of every recorded study: who means to change them raises RECIPE."""
    assert digits.digest == "00be1ea574ac7c41"


def test_the_number_of_threads_changes_no_byte() -> None:
    glyphs = _glyphs()[0][:64]
    alone = _drawn(glyphs)
    torch.set_num_threads(2)
    assert np.array_equal(_drawn(glyphs), alone)


def test_is_what_a_search_needs(digits: DataSet) -> None:
    splits = (digits.train, digits.validation, digits.test)
    assert [len(split) for split in splits] == [2048, 1536, 1536]
    assert digits.class_names == tuple("0123456789")
    assert not digits.flip
    assert digits.description.startswith("synthetic images: scikit-learn's real handwritten digits")
    assert "say nothing about accuracy on photographs" in digits.description
    for split in splits:
        counts = split.labels.bincount()
        assert int(counts.max() - counts.min()) <= 1


@pytest.mark.parametrize("seed", [0, 1])
def test_shares_have_no_glyph_in_common(seed: int) -> None:
    glyphs, labels = _glyphs()
    parts = glyph_parts(labels, seed=seed)
    everything = np.concatenate(list(parts.values()))
    assert np.array_equal(np.sort(everything), np.arange(1797))
    assert len({glyph.tobytes() for glyph in glyphs}) == 1797
    for part in parts.values():
        assert np.bincount(labels[part]).min() >= 34


def test_medium_is_the_default(tmp_path: Path) -> None:
    plain, named = (
        load(name, resolution=16, cache=tmp_path)
        for name in ("cluttered_digits", "cluttered_digits:medium")
    )
    assert named.digest == plain.digest
    assert named.name == "cluttered_digits:medium"


@pytest.mark.parametrize("resolution", [16, 32, 50])
def test_harder_means_less_contrast_to_the_background(resolution: int) -> None:
    """The share of a picture's variance that the ink explains falls with every level."""
    glyphs = _glyphs()[0][:200]
    bare = {"texture": 0.0, "noise": 0.0, "num_distractors": 0}
    shares = []
    for level in ("easy", "medium", "hard"):
        ink = _drawn(glyphs, level=level, resolution=resolution, **bare).astype(float)
        seen = _drawn(glyphs, level=level, resolution=resolution).astype(float)
        shares.append(ink.var(axis=(1, 2, 3)).mean() / seen.var(axis=(1, 2, 3)).mean())
    assert shares[0] > shares[1] > shares[2] > 0.1


def test_the_glyph_lies_wholly_inside_and_is_brighter() -> None:
    glyphs = np.ones((200, 8, 8))  # ink up to the edges, the worst case
    images = _drawn(glyphs, texture=0.0, noise=0.0, num_distractors=0).astype(int)
    base = images.min(axis=(1, 2, 3), keepdims=True)
    edge = np.ones((32, 32), bool)
    edge[1:-1, 1:-1] = False
    ink = images - base
    assert ink[:, :, edge].mean() < 8
    assert (ink.max(axis=(1, 2, 3)) >= 0.44 * 255).all()
    share = (ink[:, 0] > 40).mean(axis=(1, 2))
    assert 0.25 < share.min() < share.max() < 0.85


def test_an_upright_glyph_is_the_digit_itself() -> None:
    glyphs = _glyphs()[0][:50]
    upright = {"rotation": 0.0, "shear": 0.0, "side": (1.0, 1.0), "contrast": (0.8, 0.8)}
    bare = {"texture": 0.0, "noise": 0.0, "num_distractors": 0}
    images = _drawn(glyphs, resolution=16, **upright, **bare).astype(float)
    base = images.min(axis=(1, 2, 3), keepdims=True)
    ink = torch.from_numpy(images - base).mean(dim=1)
    small = torch.nn.functional.avg_pool2d(ink, 2) / (0.8 * 255)
    # bilinear drawing blurs a little: each pixel keeps 9/16 of itself
    error = (small - torch.from_numpy(glyphs)).abs()
    assert error.mean() < 0.12
    assert np.corrcoef(small.flatten(), glyphs.flatten())[0, 1] > 0.93


@pytest.mark.parametrize(
    ("name", "resolution", "message"),
    [
        ("cluttered_digits", 15, "a resolution of 15 px; the digits are drawn"),
        ("cluttered_digits", 257, "a resolution of 257 px; the digits are drawn"),
        ("cluttered_digits:meduim", 32, "unknown difficulty 'meduim'; did you mean medium"),
    ],
)
def test_refuses_what_it_cannot_draw(
    name: str, resolution: int, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        load(name, resolution=resolution, cache=tmp_path)
