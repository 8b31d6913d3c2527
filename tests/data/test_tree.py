import os
import unicodedata
from pathlib import Path

import pytest

from archbench.data.dataset import DataError
from archbench.data.tree import look_alike, shown, tree
from tests.data.conftest import write_classes, write_image


def test_finds_images_of_each_class_sorted_and_however_deep(tmp_path: Path) -> None:
    write_classes(tmp_path, {"b": 2, "a": 1})
    write_classes(tmp_path / "b", {"deep": 1})
    found = tree(tmp_path)
    names = {
        name: [str(path.relative_to(tmp_path)) for path in paths]
        for name, paths in found.classes.items()
    }
    assert names == {"a": ["a/0.png"], "b": ["b/0.png", "b/1.png", "b/deep/0.png"]}


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 1, ".cache": 1})
    (tmp_path / "a" / "._0.png").write_bytes(b"x")
    found = tree(tmp_path)
    assert list(found.classes) == ["a"]
    assert len(found.classes["a"]) == 1
    assert found.passed_over.others.total() == 0


def test_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    write_classes(tmp_path / "elsewhere", {"x": 2})
    root = write_classes(tmp_path / "photos", {"a": 1})
    (root / "b").symlink_to(tmp_path / "elsewhere" / "x")
    (root / "a" / "again").symlink_to(root / "a")
    (root / "a" / "gone.png").symlink_to(root / "nowhere.png")
    found = tree(root)
    assert {name: len(paths) for name, paths in found.classes.items()} == {"a": 1, "b": 2}


@pytest.mark.parametrize("change", ["size", "time", "name", "more", "fewer"])
def test_fingerprint_changes_with_every_image_and_no_other_file(
    tmp_path: Path, change: str
) -> None:
    root = write_classes(tmp_path, {"a": 2, "b": 2})
    before = tree(root).fingerprint
    (root / "a" / "readme.txt").write_text("x")
    assert tree(root).fingerprint == before
    assert tree(root).passed_over.others.total() == 1
    path = root / "a" / "1.png"
    status = path.stat()
    match change:
        case "size":
            path.write_bytes(path.read_bytes() + b"x")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "time":
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        case "name":
            path.rename(root / "a" / "2.png")
        case "more":
            write_classes(root, {"c": 1})
        case "fewer":
            path.unlink()
    assert tree(root).fingerprint != before


def test_folders_and_files_of_other_programs_are_counted_by_reason(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"cat": 2, "dog": 2, "lost+found": 1, "__MACOSX": 1})
    write_image(root / "cat" / "@eaDir" / "0.png" / "SYNOPHOTO_THUMB_M.jpg", seed=8)
    (root / "dog" / "IMG_1.HEIC").write_bytes(b"x")
    (root / "dog" / "IMG_1.AAE").write_bytes(b"x")
    (root / "dog" / "README").write_bytes(b"x")
    (root / "dog" / ".DS_Store").write_bytes(b"x")
    (root / "dog" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    found = tree(root)
    assert {name: len(paths) for name, paths in found.classes.items()} == {"cat": 2, "dog": 2}
    assert found.passed_over.in_words() == [
        "passed over, images in a format that is not read; save them as JPEG or PNG: 1 (.heic 1)",
        "passed over, files that are not images: 2 (.aae 1, no suffix 1)",
        "passed over, folders that other programs keep: 3 (@eaDir 1, __MACOSX 1, lost+found 1)",
        "passed over, hidden files and folders: 1",
        "passed over, links that lead nowhere: 1",
    ]


@pytest.mark.parametrize(
    "name", ["caf\u00e9", "two words", "trailing.", " lead", "-dash", "\N{CAT FACE}", "a'b\"c", "#"]
)
def test_a_class_may_have_any_name(tmp_path: Path, name: str) -> None:
    root = write_classes(tmp_path / "photos", {name: 1, "dog": 1})
    assert set(tree(root).classes) == {name, "dog"}


def test_a_name_is_the_same_in_both_spellings_of_unicode(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
    root = write_classes(tmp_path / "photos", {apart: 1})
    assert list(tree(root).classes) == [composed]
    assert shown(apart) == shown(composed) == composed
    try:
        write_classes(root, {composed: 1}, seed=1)
    except FileExistsError:
        pytest.skip("this file system takes them for one")
    if len(list(root.iterdir())) > 1:
        with pytest.raises(DataError, match="two class folders are called"):
            tree(root)


def test_names_that_differ_in_capitals_or_dots_alone_are_found() -> None:
    assert look_alike(["Cat", "cat", "dog", "dog.", "cow"]) == [["Cat", "cat"], ["dog", "dog."]]
