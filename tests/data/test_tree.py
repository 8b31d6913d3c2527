from __future__ import annotations

import os
from pathlib import Path

import pytest

from archbench.data.image_files import has_class_folders, shown, tree
from tests.data.conftest import write_classes


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
    assert found.num_others == 0


def test_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    write_classes(tmp_path / "elsewhere", {"x": 2})
    root = write_classes(tmp_path / "photos", {"a": 1})
    (root / "b").symlink_to(tmp_path / "elsewhere" / "x")
    (root / "a" / "again").symlink_to(root / "a")
    (root / "a" / "gone.png").symlink_to(root / "nowhere.png")
    found = tree(root)
    assert {name: len(paths) for name, paths in found.classes.items()} == {"a": 1, "b": 2}


@pytest.mark.parametrize("change", ["size", "time", "name", "more", "fewer"])
def test_fingerprint_changes_with_every_image(tmp_path: Path, change: str) -> None:
    root = write_classes(tmp_path, {"a": 2, "b": 2})
    before = tree(root).fingerprint
    assert tree(root).fingerprint == before
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


def test_files_of_other_kinds_do_not_count(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 1})
    before = tree(root).fingerprint
    (root / "a" / "readme.txt").write_text("x")
    assert tree(root).fingerprint == before
    assert tree(root).num_others == 1


def test_a_folder_of_images_is_not_one_of_classes(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 1})
    assert has_class_folders(root)
    assert not has_class_folders(root / "a")
    assert not has_class_folders(root / "nowhere")


@pytest.mark.parametrize(
    ("name", "text"),
    [("häuser 家", "häuser 家"), ("a\x07b", r"a\x07b"), (os.fsdecode(b"\xff"), r"\xff")],
)
def test_names_are_shown_printable(name: str, text: str) -> None:
    assert shown(name) == text
