"""Files that are damaged, huge or unsafe are refused in words; writing loses nothing."""

import argparse
import errno
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archbench.errors import ArchbenchError, MissingError, StorageError, WeightsError
from archbench.models.weights.weight_file import read_weights, write_pickle, write_safetensors
from tests.models.test_checkpoints import saved

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.number": torch.tensor(3)}


class Deed:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("deed",)


def _written(kind: str, path: Path) -> bytes:
    """A file of weights as PyTorch writes it now, as it did, or in safetensors."""
    if kind == "safetensors":
        write_safetensors(path, STATE, metadata={})
    else:
        path.write_bytes(saved(STATE, _use_new_zipfile_serialization=kind == "zip"))
    return path.read_bytes()


@pytest.mark.parametrize("content", [STATE, {"model": STATE, "epoch": 3}, {"state_dict": STATE}])
@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}])
def test_pytorch_files_are_read_wrapped_or_not(
    content: dict[str, Any], how: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(saved(content, **how))
    found = read_weights(path)
    assert found.kind == "pickle"
    assert found.part.path == (() if content is STATE else tuple(content)[:1])
    assert {name: value.tolist() for name, value in found.tensors.items()} == {
        name: value.tolist() for name, value in STATE.items()
    }


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_the_content_says_what_a_file_is(suffix: str, tmp_path: Path) -> None:
    write_safetensors(tmp_path / f"a{suffix}", STATE, metadata={"who": "we"})
    found = read_weights(tmp_path / f"a{suffix}")
    assert (found.kind, found.metadata) == ("safetensors", {"who": "we"})
    write_pickle(tmp_path / f"b{suffix}", STATE)
    assert read_weights(tmp_path / f"b{suffix}").kind == "pickle"


def test_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (Deed(), argparse.Namespace(lr=1)):
        Path("a.pth").write_bytes(saved({"model": STATE, "args": content}))
        assert set(read_weights(Path("a.pth")).tensors) == set(STATE)
        Path("a.pth").write_bytes(pickle.dumps({"a": content}))
        with pytest.raises(WeightsError, match="a pickle of Python, but no file of PyTorch"):
            read_weights(Path("a.pth"))
    assert not Path("deed").exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "neither a safetensors file nor"),
        (b"<!doctype html><title>Not found</title>", "neither a safetensors file nor"),
        (b"version https://git-lfs.github.com/spec/v1\noid ", "git lfs pull"),
        (b"\x80\x02", "PyTorch"),
        (b"PK\x03\x04" + b"\0" * 40, "BadZipFile"),
        (struct.pack("<Q", 2**62) + b"{}", "neither a safetensors file nor"),
        (struct.pack("<Q", 2) + b"{}x", "not a safetensors file that is whole"),
    ],
)
def test_what_is_no_file_of_weights_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=words) as refused:
        read_weights(path)
    assert str(refused.value).startswith(str(path))


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_that_was_cut_off_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    data = _written(kind, path)
    for length in range(0, len(data) - 1, max(1, len(data) // 50)):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsError):
            read_weights(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(["zip", "legacy", "safetensors"]),
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_read_or_refused_and_nothing_else(
    kind: str, changes: list[tuple[float, int]], tmp_path: Path
) -> None:
    path = tmp_path / "a"
    data = bytearray(_written(kind, path))
    for place, value in changes:
        data[int(place * len(data))] = value
    path.write_bytes(data)
    try:
        read_weights(path)
    except ArchbenchError as error:
        assert "\n" not in str(error)  # noqa: PT017  either is allowed


def test_an_archive_that_is_larger_inside_is_refused(tmp_path: Path) -> None:
    source = zipfile.ZipFile(io.BytesIO(saved(STATE)))
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in source.infolist():
            archive.writestr(entry.filename, source.read(entry))
    with pytest.raises(WeightsError, match="compressed, as PyTorch never writes"):
        read_weights(tmp_path / "a.pth")


WIDE = torch.zeros(1).expand(10**6, 10**6)  # claims more than the file holds


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a.b": WIDE}, "a.b claims 1,000,000,000,000 values"),
        ({"a.b": torch.eye(3).to_sparse()}, "a.b is not a plain array"),
        ({"a.b": torch.zeros(2, dtype=torch.complex64)}, "a.b is not a plain array"),
        ({"a.b": torch.zeros(3, device="meta")}, "a.b is not a plain array"),
        ([1, 2], "holds no weights by name, but"),
        ({"optimizer": {}, "epoch": 1}, "holds no weights by name, but"),
        ({"model": {}}, "holds no weights by name, but"),
        (3, "holds no weights by name, but"),
    ],
)
def test_a_file_of_something_else_is_refused(content: object, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(saved(content))
    with pytest.raises(WeightsError, match=words):
        read_weights(tmp_path / "a.pth")


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no such file"):
        read_weights(tmp_path / "a.pth")
    with pytest.raises(MissingError, match="not a file"):
        read_weights(tmp_path)
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(WeightsError, match="more than any network here has"):
        read_weights(tmp_path / "huge")


@pytest.mark.parametrize("fault", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    write_safetensors(path, STATE, metadata={"number": "1"})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if fault == "write":
        monkeypatch.setattr("builtins.open", full)
    else:
        monkeypatch.setattr(os, fault, full)
    with pytest.raises(StorageError, match="No space left"):
        write_safetensors(path, STATE, metadata={"number": "2"})
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["a.safetensors"]
    assert read_weights(path).metadata == {"number": "1"}


def test_slices_of_one_memory_are_written_apart(tmp_path: Path) -> None:
    whole = torch.arange(4.0)
    write_safetensors(tmp_path / "a", {"a.a": whole[:2], "a.b": whole[1:]}, metadata={})
    assert read_weights(tmp_path / "a").tensors["a.b"].tolist() == [1, 2, 3]
