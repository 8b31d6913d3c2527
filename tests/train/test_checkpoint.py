import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from archbench.errors import MissingError, StorageError
from archbench.train.checkpoint import previous_path, read_checkpoint, write_checkpoint


class _Killed(BaseException):
    """The process ends here: nothing after it runs that a kill -9 would not run."""


def _tensors(value: float) -> dict[str, Tensor]:
    wide = torch.full((2, 3, 4, 4), value).to(memory_format=torch.channels_last)
    return {"wide": wide, "count": torch.tensor(3), "half": torch.ones(5, dtype=torch.bfloat16)}


def _write(path: Path, epoch: int) -> str:
    return write_checkpoint(path, tensors=_tensors(epoch), document={"epoch": epoch})


def _epoch(path: Path, *, sha256: str | None = None) -> int:
    found = read_checkpoint(path, sha256=sha256)
    assert found is not None
    return int(found.document["epoch"])


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_what_was_written_is_read_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert read_checkpoint(path) is None
    sha256 = _write(path, 4)
    found = read_checkpoint(path, sha256=sha256)
    assert found is not None
    assert (found.document, found.path, found.note) == ({"epoch": 4}, path, "")
    assert found.sha256 == sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.tensors.keys() == _tensors(4).keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in _tensors(4).items())


def test_previous_checkpoint_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    _write(path, 4)
    _write(path, 8)
    assert _epoch(path) == 8
    assert _epoch(previous_path(path)) == 4
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "a.previous"]


@pytest.mark.parametrize(
    ("function", "call", "kept"),
    [("fsync", 0, 4), ("replace", 0, 4), ("replace", 1, 4), ("fsync", 1, 8)],
)
def test_kill_while_writing_leaves_a_sound_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, call: int, kept: int
) -> None:
    path = tmp_path / "a"
    _write(path, 4)
    with monkeypatch.context() as patch:
        real, calls = getattr(os, function), iter(range(9))

        def killed(*args: object) -> None:
            if next(calls) == call:
                raise _Killed
            real(*args)

        patch.setattr(os, function, killed)
        with pytest.raises(_Killed):
            _write(path, 8)
    assert _epoch(path) == kept
    _write(path, 8)
    assert _epoch(path) == 8
    assert not list(tmp_path.glob("*.partial"))


def test_truncated_temporary_file_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a"
    _write(path, 4)
    (tmp_path / ".a.partial").write_bytes(path.read_bytes()[:100])
    assert _epoch(path) == 4
    _write(path, 8)
    assert _epoch(path) == 8


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    _write(path, 4)
    for at in range(0, path.stat().st_size, 5):
        _flip(path, at)
        with pytest.raises(StorageError, match="put the file back from a copy, or delete it"):
            read_checkpoint(path)
        _flip(path, at)
    assert _epoch(path) == 4


def test_previous_checkpoint_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    _write(path, 4)
    recorded = _write(path, 8)
    path.write_bytes(path.read_bytes()[:-7])
    for sha256 in (None, recorded):
        found = read_checkpoint(path, sha256=sha256)
        assert found is not None
        assert found.document["epoch"] == 4
        assert found.note == (
            f"{path}: not a whole safetensors file; going on from {previous_path(path)}"
        )


def test_recorded_checkpoint_goes_before_a_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    recorded = _write(path, 4)
    _write(path, 8)
    found = read_checkpoint(path, sha256=recorded)
    assert found is not None
    assert (found.document["epoch"], found.note) == (4, "")


def test_checkpoint_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    _write(path, 4)
    with pytest.raises(StorageError, match="not the checkpoint on record: its sha256 differs"):
        read_checkpoint(path, sha256="0" * 64)


def test_recorded_checkpoint_that_is_gone_is_missed(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not there; train from the start"):
        read_checkpoint(tmp_path / "a", sha256="0" * 64)


class _Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_payload_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(pickle.dumps(_Payload(tmp_path / "executed")))
    torch.save({"weights": _Payload(tmp_path / "executed")}, tmp_path / "b")
    for name in "ab":
        with pytest.raises(StorageError, match="not a whole safetensors file"):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    _write(path, 4)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="a: cannot write: No space left on device"):
            _write(path, 8)
    assert _epoch(path) == 4
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone/a: cannot write: No such file or directory"):
        _write(tmp_path / "gone" / "a", 4)
