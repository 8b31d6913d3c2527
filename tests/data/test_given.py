"""Is data that is given as an object taken, found again by its name, or refused in our words?"""

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

from archbench.data import DataSet, load, name_of
from archbench.data.dataset import DataError
from archbench.data.decoding import ORIENTATION
from archbench.errors import MissingError, UsageError
from tests.data.conftest import bytes_of, swapped_profile

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)


class Toys(Dataset[Any]):
    """Forty pictures of two classes, in a form that ``shape`` gives them."""

    classes = ("bear", "car")

    def __init__(self, shape: Any = Image.fromarray, labels: Any = lambda index: index % 2) -> None:
        self.shape, self.labels = shape, labels

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.shape(PIXELS[index]), self.labels(index)


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARCHBENCH_CACHE", str(cache))
    return cache


def test_a_torch_data_set_is_split_and_found_by_its_name() -> None:
    name = name_of(Toys(), resolution=8)
    found = load(name, resolution=8)
    assert name.startswith("module:archbench.data.given:")
    assert (found.class_names, found.flip) == (("bear", "car"), False)
    assert [len(part) for part in (found.train, found.validation, found.test)] == [28, 6, 6]
    labels = torch.cat([part.labels for part in (found.train, found.validation, found.test)])
    assert labels.bincount().tolist() == [20, 20]
    assert "training does not mirror them" in found.notes[0]


def test_the_same_pictures_have_one_name_in_whatever_form_they_come() -> None:
    forms = (Image.fromarray, as_tensor, lambda pixels: pixels)
    assert len({name_of(Toys(form), resolution=8) for form in forms}) == 1
    labels = (lambda index: torch.tensor(index % 2), lambda index: np.int64(index % 2))
    assert len({name_of(Toys(labels=label), resolution=8) for label in labels}) == 1
    assert name_of(Toys(), resolution=8) != name_of(Toys(), resolution=9)
    assert name_of(Toys(lambda pixels: 255 - pixels), resolution=8) not in {
        name_of(Toys(), resolution=8)
    }


def test_pictures_are_there_at_further_sides_under_one_name() -> None:
    name = name_of(Toys(), resolution=8, sides=(8, 12))
    assert name == name_of(Toys(), resolution=8)
    larger = load(name, resolution=12)
    assert larger.train.images.shape[1:] == (3, 12, 12)
    assert larger.train.labels.equal(load(name, resolution=8).train.labels)


def test_a_data_set_of_ours_keeps_its_images_and_facts() -> None:
    given = load("cluttered_digits", resolution=16)
    found = load(name_of(given, resolution=16), resolution=16)
    for share in ("train", "validation", "test"):
        assert torch.equal(getattr(found, share).images, getattr(given, share).images)
    assert (found.digest, found.description) == (given.digest, given.description)
    with pytest.raises(UsageError, match=r"are uint8 of \(3, 16, 16\); here .*resolution=32"):
        name_of(given, resolution=32)
    grey = replace(given.train, images=given.train.images.float())
    with pytest.raises(UsageError, match=r"its train images are float32"):
        name_of(replace(given, train=grey), resolution=16)


def test_names_and_paths_are_themselves() -> None:
    assert name_of("cluttered_digits", resolution=8) == "cluttered_digits"
    assert name_of(Path("photos"), resolution=8) == "folder:photos"


def _saved(pixels: np.ndarray, form: str, **how: Any) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form, **how)
    return content.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return exif


ODD: dict[str, Callable[[np.ndarray], bytes]] = {
    "turned": lambda one: _saved(one, "PNG", exif=_turned()),
    "half transparent": lambda one: _saved(np.dstack([one, one[..., 0]]), "PNG"),
    "a transparent colour": lambda one: _saved(one[..., 0] // 32, "PNG", transparency=3),
    "another profile": lambda one: _saved(one, "PNG", icc_profile=swapped_profile()),
    "16 bits": lambda one: _saved(one[..., 0].astype(np.uint16) * 257, "PNG"),
    "12 of 16 bits": lambda one: _saved(one[..., 0].astype(np.uint16) * 16, "TIFF"),
    "32 bits": lambda one: _saved(one[..., 0].astype(np.int32) * 300, "TIFF"),
    "fractions": lambda one: _saved(one[..., 0].astype(np.float32) / 255, "TIFF"),
}


def _every_image(dataset: DataSet) -> list[bytes]:
    return sorted(image for images in bytes_of(dataset).values() for image in images)


@pytest.mark.parametrize("form", ODD)
def test_a_picture_becomes_what_its_file_would_in_a_folder(form: str, tmp_path: Path) -> None:
    contents = [ODD[form](pixels) for pixels in PIXELS]
    for number, content in enumerate(contents):
        path = tmp_path / "photos" / Toys.classes[number % 2] / f"{number // 2}.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder = load(f"folder:{tmp_path / 'photos'}", resolution=8)
    pictures = Toys(lambda pixels: Image.open(io.BytesIO(ODD[form](pixels))))
    found = load(name_of(pictures, resolution=8), resolution=8)
    assert _every_image(folder) == _every_image(found)
    done = [note.partition(" images ")[2].partition(" (")[0] for note in folder.notes]
    told = [note.partition(" images ")[2] for note in found.notes[1:]]
    assert set(told) <= set(done)
    assert bool(told) != (form == "turned")


def test_pixels_that_are_no_numbers_are_refused() -> None:
    def fractions(pixels: np.ndarray) -> Image.Image:
        return Image.fromarray(np.where(pixels[..., 0] > 9, pixels[..., 0], np.nan).astype("f4"))

    with pytest.raises(UsageError, match=r"item 0 cannot be taken \(.* no finite"):
        name_of(Toys(fractions), resolution=8)


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from ()


class Alone(Toys):
    def __getitem__(self, index: int) -> Any:
        return PIXELS[index]


class Broken(Toys):
    def __getitem__(self, index: int) -> Any:
        raise OSError("disk on fire")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (5, "data: got an int, which cannot be taken here; give the name of a data set"),
        ([1, 2], "got a list"),
        (Endless(), "the Endless has no length"),
        (Alone(), "item 0 of the Alone is no pair of an image and a label"),
        (Broken(), "data: it raised OSError: disk on fire"),
        (Toys(lambda p: as_tensor(p) / 255), r"item 0 is float32 .*leave out ToTensor"),
        (Toys(labels=lambda index: "bear"), "the label of item 0 is 'bear', no whole number"),
        (Toys(labels=lambda index: index % 3), "do not make a data set"),
        (Toys(labels=lambda index: index % 2 - 1), "do not make a data set"),
        (Toys(labels=lambda index: 0), "do not make a data set"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_our_words(data: Any, told: str) -> None:
    with pytest.raises((UsageError, DataError), match=told):
        name_of(data, resolution=8)


def test_images_that_left_the_cache_are_missed(cache: Path) -> None:
    name = name_of(Toys(), resolution=8)
    for file in (cache / "data").iterdir():
        file.unlink()
    with pytest.raises(MissingError, match="lie in this cache no more; run the Python that gave"):
        load(name, resolution=8)


def test_another_process_knows_the_name_and_a_data_set_in_a_module(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toys_of_mine.py").write_text("from tests.data.test_given import Toys as make\n")
    script = (
        "import sys; from archbench.data import load\n"
        "print(*[load(name, resolution=8).digest for name in sys.argv[1:]])"
    )
    names = (name_of(Toys(), resolution=8), "module:toys_of_mine:make")
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    path = ":".join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", script, *names],
        env={"PYTHONPATH": path, "ARCHBENCH_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    one, other = done.stdout.split()
    assert one == other
    assert isinstance(load(names[0], resolution=8), DataSet)
