from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from archbench.data import load, normalise
from archbench.data.image_preparation import Preparation, pictures
from tests.data.conftest import write_classes, write_image


def _pixels(files: list[Path], preparation: Preparation) -> Tensor:
    found = [pixels for _, pixels in pictures(files, preparation=preparation)]
    assert all(isinstance(pixels, Tensor) for pixels in found)
    return torch.stack(found)  # type: ignore[arg-type]


def test_pictures_become_what_a_network_is_trained_on(tmp_path: Path) -> None:
    for share in ("train", "val", "test"):
        write_classes(tmp_path / "images" / share, {"a": 6, "b": 6}, seed=len(share))
    dataset = load(f"folder:{tmp_path / 'images'}", resolution=24, cache=tmp_path / "cache")
    preparation = Preparation.of(dataset)
    files = sorted((tmp_path / "images" / "test").rglob("*.png"))
    pixels = _pixels(files, preparation)
    assert {image.numpy().tobytes() for image in pixels} == {
        image.numpy().tobytes() for image in dataset.test.images
    }
    assert torch.equal(preparation.normalised(pixels), normalise(pixels))
    assert preparation.class_names == ("a", "b")


def test_the_middle_of_a_larger_square_is_taken(tmp_path: Path) -> None:
    file = write_image(tmp_path / "one.png", seed=1, size=(32, 32))
    whole = _pixels([file], Preparation(resolution=32, resize=32))
    assert torch.equal(
        _pixels([file], Preparation(resolution=20, resize=32)), whole[:, :, 6:26, 6:26]
    )


def test_each_channel_has_a_mean_and_a_deviation_of_its_own() -> None:
    preparation = Preparation(resolution=8, resize=8, mean=(0.0, 0.2, 0.4), std=(1.0, 0.5, 0.25))
    white = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
    assert preparation.normalised(white)[0, :, 0, 0].tolist() == pytest.approx([1.0, 1.6, 2.4])


def test_a_broken_picture_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    good = write_image(tmp_path / "good.png", seed=1)
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:60])
    found = dict(pictures([broken, good], preparation=Preparation(resolution=8, resize=8)))
    assert isinstance(found[broken], str)
    assert isinstance(found[good], Tensor)


def test_deep_pictures_share_one_range(tmp_path: Path) -> None:
    files = [tmp_path / f"{level}.png" for level in (1000, 4000)]
    for file in files:
        Image.fromarray(np.full((8, 8), int(file.stem), dtype=np.uint16)).save(file)
    dark, light = _pixels(files, Preparation(resolution=8, resize=8))
    assert int(light.max()) == 4000 * 255 // 4095
    assert int(dark.max()) == 1000 * 255 // 4095


def test_what_is_kept_of_it_is_read_back() -> None:
    preparation = Preparation(resolution=8, resize=9, class_names=("a", "b"))
    assert Preparation.from_document(preparation.document()) == preparation


@pytest.mark.parametrize(
    "change",
    [{"resize": 7}, {"resolution": 0}, {"std": [0.0, 1.0, 1.0]}, {"mean": [0.0]}, {"more": 1}],
)
def test_what_cannot_be_is_refused(change: dict[str, object]) -> None:
    kept = Preparation(resolution=8, resize=8).document()
    with pytest.raises(ValueError, match=r"cannot be|unexpected"):
        Preparation.from_document({**kept, **change})
