import os
import shutil
import unicodedata
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from archbench.data import DataSet, load
from archbench.data.dataset import DataError
from archbench.errors import MissingError
from tests.data.conftest import bytes_of, write_classes, write_image


def _load(root: Path, *, seed: int = 0) -> DataSet:
    return load(f"folder:{root}", resolution=16, seed=seed, cache=root.parent / "cache")


def _note(dataset: DataSet, start: str) -> str:
    found = [note for note in dataset.notes if note.startswith(start)]
    assert len(found) == 1, dataset.notes
    return found[0]


def _counts(dataset: DataSet) -> dict[str, list[int]]:
    return {
        share: getattr(dataset, share).labels.bincount().tolist()
        for share in ("train", "validation", "test")
    }


def _photos(tmp_path: Path, **shares: tuple[int, int]) -> Path:
    """A folder of shares, each with so many cats and dogs that no other share has."""
    root = tmp_path / "photos"
    for seed, (share, (cats, dogs)) in enumerate(shares.items()):
        write_classes(root / share, {"cat": cats, "dog": dogs}, seed=seed)
    return root


def test_without_shares_splits_each_class_by_the_seed(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"cat": 20, "dog": 40})
    dataset = _load(root, seed=3)
    assert dataset.class_names == ("cat", "dog")
    assert _counts(dataset) == {"train": [14, 29], "validation": [3, 5], "test": [3, 6]}
    assert dataset.flip
    assert _note(dataset, "train") == "train: 43 images (cat 14, dog 29)"
    assert _note(dataset, "validation was") == "validation was drawn from photos/ with seed 3"


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_takes_the_shares_that_are_there(tmp_path: Path, name: str) -> None:
    dataset = _load(_photos(tmp_path, **{"train": (5, 6), name: (2, 3), "test": (1, 4)}))
    assert _counts(dataset) == {"train": [5, 6], "validation": [2, 3], "test": [1, 4]}
    assert _note(dataset, "validation is") == f"validation is {name}/"


def test_a_sealed_share_is_taken_from_train_where_test_has_no_classes(tmp_path: Path) -> None:
    root = _photos(tmp_path, train=(20, 20), val=(2, 3))
    write_image(root / "test" / "unknown.png", seed=99)
    dataset = _load(root)
    assert _counts(dataset) == {"train": [17, 17], "validation": [2, 3], "test": [3, 3]}
    assert _note(dataset, "test was") == "test was drawn from train/ with seed 0"
    assert _note(dataset, "test/") == "test/ has no class folders and is not used"


def test_lists_unreadable_files_with_the_reason(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"cat": 20, "dog": 20})
    whole = (root / "cat" / "0.png").read_bytes()
    (root / "cat" / "0.png").write_bytes(whole[: len(whole) // 2])
    for index in range(6):
        (root / "dog" / f"{index}.png").write_bytes(b"")
    cut = write_image(root / "cat" / "00.jpg", seed=5, size=(200, 160))
    cut.write_bytes(cut.read_bytes()[:9000])
    dataset = _load(root)
    note = _note(dataset, "left out, unreadable")
    assert note.startswith("left out, unreadable: 8: ")
    assert note.endswith("and 3 more")
    assert note.count("g (") == 5
    assert "cat/00.jpg (image file is truncated" in note
    assert "(not an image of a known format)" in note
    assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == 33


def test_a_copy_of_a_held_out_image_is_left_out_of_training(tmp_path: Path) -> None:
    root = _photos(tmp_path, train=(6, 6), val=(3, 3), test=(3, 3))
    shutil.copy(root / "val/cat/0.png", root / "train/dog/copy.png")
    shutil.copy(root / "test/dog/1.png", root / "train/dog/other.png")
    shutil.copy(root / "test/dog/1.png", root / "val/dog/other.png")
    shutil.copy(root / "train/cat/0.png", root / "train/cat/copy.png")  # within training it stays
    dataset = _load(root)
    assert _counts(dataset) == {"train": [7, 6], "validation": [3, 3], "test": [3, 3]}
    assert _note(dataset, "left out of train") == (
        "left out of train, the same file is held out: 2: train/dog/copy.png = val/cat/0.png, "
        "train/dog/other.png = test/dog/1.png"
    )
    assert _note(dataset, "left out of validation") == (
        "left out of validation, the same file is held out: 1: val/dog/other.png = test/dog/1.png"
    )
    images = bytes_of(dataset)
    assert not set(images["train"]) & set(images["validation"] + images["test"])


def _photo(seed: int, side: int) -> Image.Image:
    """A smooth picture that no other seed gives, at a size."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    whole = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
    return whole.resize((side, side))


def test_the_same_picture_at_another_size_is_left_out_of_training(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for number, (share, name) in enumerate(product(("train", "val", "test"), ("cat", "dog"))):
        (root / share / name).mkdir(parents=True)
        for index in range(4):
            _photo(10 * number + index, 64).save(root / share / name / f"{index}.png")
    _photo(20, 48).save(root / "train" / "cat" / "small.jpg")  # that of val/cat/0.png
    _photo(50, 40).save(root / "train" / "dog" / "small.jpg")  # that of test/dog/0.png
    _photo(21, 64).save(root / "train" / "cat" / "again.jpg", quality=95)
    dataset = _load(root)
    assert _counts(dataset) == {"train": [5, 4], "validation": [4, 4], "test": [4, 4]}
    assert _note(dataset, "left out of train") == (
        "left out of train, the same picture is held out at another size: 2: "
        "train/cat/small.jpg = val/cat/0.png, train/dog/small.jpg = test/dog/0.png"
    )
    assert _note(dataset, "train has") == (
        "train has images that look like held-out ones, and keeps them: 1: "
        "train/cat/again.jpg = val/cat/1.png"
    )


def test_one_file_in_two_classes_is_told(tmp_path: Path) -> None:
    root = _photos(tmp_path, train=(6, 6), val=(3, 3), test=(3, 3))
    shutil.copy(root / "train/cat/0.png", root / "train/dog/same.png")
    shutil.copy(root / "val/cat/0.png", root / "train/dog/held_out.png")
    assert _note(_load(root), "the same file in two") == (
        "the same file in two classes, one of which is wrong: 2: "
        "train/dog/held_out.png = val/cat/0.png, train/dog/same.png = train/cat/0.png"
    )


def test_images_of_which_nothing_is_seen_are_counted(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"cat": 8, "dog": 8})
    for number, path in enumerate((root / "dog").iterdir()):
        Image.new("LA", (16, 16), (255, number)).save(path)
    dataset = _load(root)
    assert _note(dataset, "8 of 16 images are one flat colour (dog/")


@pytest.mark.parametrize(("dtype", "highest", "white"), [("u2", 4095, "4,095"), ("f4", 1, "1")])
def test_deep_images_share_one_range_that_is_told(
    tmp_path: Path, dtype: str, highest: float, white: str
) -> None:
    rng = np.random.default_rng(0)
    for name, index in product(("cat", "dog"), range(8)):
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        pixels = (rng.random((16, 16)) * highest / (1 + (name == "cat"))).astype(dtype)
        Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.tif")
    dataset = _load(tmp_path / "photos")
    kind = "grey of 16 bits" if dtype == "u2" else "fractions"
    assert f"0 becomes black and {white} white in all of them" in _note(
        dataset, f"16 images have {kind}"
    )
    means = [dataset.train.images[dataset.train.labels == label].float().mean() for label in (0, 1)]
    assert means[1] / means[0] == pytest.approx(2, rel=0.1)


def test_shares_may_be_written_in_capitals_and_classes_in_either_unicode(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    composed, apart = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    for seed, (share, name) in enumerate([("Train", composed), ("Test", apart), ("VAL", apart)]):
        write_classes(root / share, {name: 6, "dog": 6}, seed=seed)
    dataset = _load(root)
    assert dataset.class_names == (composed, "dog")
    assert _counts(dataset) == {"train": [6, 6], "validation": [6, 6], "test": [6, 6]}


def test_what_a_class_of_unread_files_lacks_is_said(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"cat": 0, "dog": 8})
    for index in range(20):
        (root / "cat" / f"{index}.HEIC").write_bytes(b"x")
    with pytest.raises(DataError, match=r"too few images in cat \(0\).*\(.heic 20\)"):
        _load(root)


def test_counts_what_was_passed_over_and_refuses_it_alone(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"cat": 8, "dog": 8})
    write_image(root / "loose.png", seed=77)
    (root / "cat" / "notes.txt").write_text("x")
    (root / "cat" / ".hidden.png").write_text("x")
    notes = _load(root).notes
    assert "passed over, images outside the class folders: 1" in notes
    assert "passed over, files that are not images: 1 (.txt 1)" in notes
    assert "passed over, hidden files and folders: 1" in notes
    for name in ("cat", "dog"):
        shutil.rmtree(root / name)
    with pytest.raises(DataError, match="no class folders, 1 images outside them"):
        _load(root)


def test_warns_that_few_images_measure_badly(tmp_path: Path) -> None:
    dataset = _load(_photos(tmp_path, train=(6, 6), val=(12, 4)))
    assert dataset.majority_share == 0.75
    assert _note(dataset, "only") == (
        "only 16 images to validate on: an accuracy has a standard error of up to 12 points"
    )


def test_sums_up_many_classes_of_which_one_may_be_called_train(tmp_path: Path) -> None:
    classes = {f"c{index:02}": 5 + index % 2 for index in range(12)}
    dataset = _load(write_classes(tmp_path / "photos", {**classes, "train": 5}))
    assert _note(dataset, "test:") == "test: 13 images (13 classes of 1 to 1)"
    assert dataset.class_names[-1] == "train"


def test_names_that_no_terminal_should_see_are_escaped(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    write_classes(root, {"cat": 6, "\x1b[31mred": 6, "na\nme": 6})
    write_classes(root, {os.fsdecode(b"caf\xe9"): 6}, seed=1)
    names = _load(root).class_names
    assert names == (r"\x1b[31mred", r"caf\xe9", "cat", r"na\nme")
    assert all(name.isprintable() for name in names)


def test_a_changed_file_is_noticed_and_a_changed_image_changes_no_file(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"cat": 8, "dog": 8})
    before = _load(root)
    images = before.train.images.clone()
    before.train.images.fill_(7)
    assert torch.equal(_load(root).train.images, images)
    write_image(root / "cat" / "0.png", seed=12345, size=(30, 30))
    after = _load(root)
    assert before.digest != after.digest
    assert len(after.train) == len(before.train)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ({".": {}}, "there are no class folders; a classifier needs 2 classes or more"),
        ({".": {"cat": 9}}, "there is only one class folder, cat/; a classifier needs 2"),
        ({".": {"cat": 9, "dog": 0}}, r"too few images in dog \(0\); each class needs 5 or more"),
        ({".": {"cat": 4, "dog": 9}}, r"too few images in cat \(4\); each class needs 5 or more"),
        ({"train": {"cat": 9, "dog": 9}, "val": {"cat": 2}}, "no image of the classes dog"),
        (
            {"train": {"cat": 9, "dog": 9}, "val": {"cat": 2, "dog": 0}},
            "no image of the classes dog",
        ),
        (
            {"train": {"cat": 9, "dog": 9}, "val": {"cat": 2, "dog": 2, "cow": 1}},
            r"classes that train/ does not have: cow \(1\)",
        ),
        ({"val": {"cat": 5, "dog": 5}}, "there is val/, but no train/ with class folders"),
        (
            {name: {"cat": 5, "dog": 5} for name in ("train", "val", "valid")},
            "there are val and valid; one can be used",
        ),
    ],
)
def test_refuses_what_cannot_be_learnt(
    tmp_path: Path, folders: dict[str, dict[str, int]], message: str
) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    for seed, (name, counts) in enumerate(folders.items()):
        write_classes(root / name, counts, seed=seed)
    with pytest.raises(DataError, match=message) as caught:
        _load(root)
    assert caught.value.exit_code == 3
    assert caught.value.help
    assert str(root) in str(caught.value.place)


@pytest.mark.parametrize(
    ("said", "meant", "message"),
    [
        ("above", ["above/photos"], "the data set is a folder in this one"),
        ("two", ["two/a", "two/b"], "the data set is a folder in this one"),
        ("above/photos/train", ["above/photos"], "this is only its part to train on"),
        ("above/photos/train/cat", ["above/photos"], "the images of one class only"),
        ("plain/cat", ["plain"], "the images of one class only"),
        ("over", ["over/plain"], "the data set is a folder in this one"),
    ],
)
def test_a_folder_above_or_below_names_the_one_that_is_meant(
    tmp_path: Path, said: str, meant: list[str], message: str
) -> None:
    for home in ("above/photos", "two/a", "two/b"):
        for seed, part in enumerate(("train", "test")):
            write_classes(tmp_path / home / part, {"cat": 6, "dog": 6}, seed=seed)
    for home in ("plain", "over/plain"):
        write_classes(tmp_path / home, {"cat": 8, "dog": 8})
    with pytest.raises(DataError, match=message) as caught:
        _load(tmp_path / said)
    listed = " or ".join(f"folder:{tmp_path / one}" for one in meant)
    assert caught.value.help == f"say {listed}"
    for one in meant:
        assert _load(tmp_path / one).class_names == ("cat", "dog")


def test_refuses_a_class_whose_files_are_all_broken_and_keeps_nothing(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"cat": 8, "dog": 8})
    for path in (root / "cat").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"no usable image of cat for train \(8 files are unread"):
        _load(root)
    left = [path.suffix for path in (tmp_path / "cache" / "data").iterdir()]
    assert left == [".lock"]


def test_refuses_a_file_in_place_of_a_folder_and_nobodys_home(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    path.write_bytes(b"PK")
    home = "~no-such-user/photos"
    for place, message in ((path, "this is a file, not a folder"), (home, "no such folder")):
        with pytest.raises(MissingError, match=message) as caught:
            load(f"folder:{place}", resolution=16, cache=tmp_path)
        assert caught.value.place == str(place)


def test_a_path_that_the_system_refuses_is_a_plain_message(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"cat": 8, "dog": 8})
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(MissingError, match=r"/loop: it cannot be read \(Too many levels of symbol"):
        _load(root)


def test_the_home_folder_may_be_written_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_classes(tmp_path / "photos", {"cat": 8, "dog": 8})
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("folder:~/photos", resolution=16, cache=tmp_path / "cache").num_classes == 2
