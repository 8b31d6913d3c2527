"""A file gets its content whole or not at all."""

from pathlib import Path

import pytest

from archbench.errors import StorageError
from archbench.study.atomic_file import write_atomically


def test_content_replaces_content_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "front.csv"
    for content in (b"old, and longer", b"new"):
        write_atomically(path, content)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_reader_of_the_old_content_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "front.csv"
    write_atomically(path, b"old")
    with path.open("rb") as reader:
        write_atomically(path, b"new, and longer")
        assert reader.read() == b"old"


def test_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "front.csv"
    path.mkdir()
    (path / "kept").touch()
    with pytest.raises(StorageError, match=r"front\.csv: cannot write the file"):
        write_atomically(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["front.csv"]
    assert (path / "kept").exists()
    with pytest.raises(StorageError, match=r"cannot write the file \(No such file"):
        write_atomically(tmp_path / "gone" / "front.csv", b"new")
