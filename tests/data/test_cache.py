import fcntl
import re
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from archbench.cache_folder import cache_folder
from archbench.data.cache import EntryWriter, cached
from archbench.data.dataset import DataError, DataSet
from archbench.data.source import SHARES, DataFacts, ImageSource, Share, Sink
from archbench.errors import StorageError
from tests.conftest import needs_full_device
from tests.data.conftest import request_for

RESOLUTION = 4


class Plain:
    """A source of three small shares that counts how often it is made."""

    def __init__(
        self, *, num_classes: int = 2, pause: float = 0.0, shares: tuple[Share, ...] = SHARES
    ) -> None:
        self.shares = shares
        self.num_made = 0
        self.num_classes = num_classes
        self.pause = pause
        self.lock = threading.Lock()

    def make(self, sink: Sink) -> DataFacts:
        with self.lock:
            self.num_made += 1
        time.sleep(self.pause)
        rng = np.random.default_rng(0)
        for share in self.shares:
            for _ in range(2):
                images = rng.integers(0, 256, (5, 3, RESOLUTION, RESOLUTION), dtype=np.uint8)
                sink(share, images, np.arange(5) % 2)
        names = tuple(f"class {index}" for index in range(self.num_classes))
        return DataFacts(class_names=names, description="noise", flip=False, notes=("a note",))


def _cached(plain: Plain, folder: Path) -> DataSet:
    request = request_for("plain", resolution=RESOLUTION)
    source = ImageSource(settings={}, make=plain.make)
    return cached(source, request=request, folder=folder)


def _file(folder: Path) -> Path:
    (path,) = (folder / "data").glob("*.images")
    return path


def test_gives_back_what_was_put_in(cache: Path) -> None:
    dataset = _cached(Plain(), cache)
    rng = np.random.default_rng(0)
    expected = rng.integers(0, 256, (30, 3, RESOLUTION, RESOLUTION), dtype=np.uint8)
    found = torch.cat([getattr(dataset, share).images for share in SHARES])
    assert np.array_equal(found.numpy(), expected)
    assert dataset.test.labels.tolist() == [0, 1, 0, 1, 0] * 2
    assert dataset.train.labels.dtype == torch.int64
    assert dataset.class_names == ("class 0", "class 1")
    assert (dataset.description, dataset.flip, dataset.notes) == ("noise", False, ("a note",))
    assert dataset.majority_share == 0.6


def test_what_is_there_needs_no_writing(cache: Path) -> None:
    plain = Plain()
    _cached(plain, cache)
    _file(cache).with_suffix(".lock").unlink()
    before = sorted((cache / "data").iterdir())
    _cached(plain, cache)
    assert sorted((cache / "data").iterdir()) == before


def test_several_at_once_make_it_once(cache: Path) -> None:
    plain = Plain(pause=0.05)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _cached(plain, cache), range(4)))
    assert plain.num_made == 1
    assert len({dataset.digest for dataset in found}) == 1


def test_who_waits_for_data_that_another_process_prepares_says_so(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archbench.lock.TOLD_AFTER_S", 0.0)
    plain = Plain()
    _cached(plain, cache)
    file, told = _file(cache), []
    file.unlink()
    with file.with_suffix(".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def tell(what: str, done: int, total: int) -> None:
            told.append(what)
            fcntl.flock(held, fcntl.LOCK_UN)

        request = replace(request_for("plain", resolution=RESOLUTION), progress=tell)
        cached(ImageSource(settings={}, make=plain.make), request=request, folder=cache)
    assert re.fullmatch("waiting for .*process.*, which prepares the same data", told[0])


def test_every_turned_bit_and_a_file_cut_short_is_noticed_and_repaired(cache: Path) -> None:
    plain = Plain()
    digest = _cached(plain, cache).digest
    path = _file(cache)
    whole = path.read_bytes()
    damaged = [(whole[:length], "was damaged (cut short") for length in (0, 1, 55, 56, 500, -1)]
    for place in [*range(0, len(whole), 97), *range(len(whole) - 60, len(whole))]:
        turned = bytearray(whole)
        turned[place] ^= 1 << (place % 8)
        damaged.append((turned, "was damaged"))
    for content, told in damaged:
        path.write_bytes(content)
        dataset = _cached(plain, cache)
        assert dataset.digest == digest
        assert f"{path} {told}" in dataset.notes[-1]
        assert path.read_bytes() == whole
    assert _cached(plain, cache).notes == ("a note",)


def test_what_a_killed_process_left_is_cleared_away(cache: Path) -> None:
    plain = Plain()
    _cached(plain, cache)
    path = _file(cache)
    left = path.parent / f".{path.name}.abc123"
    left.write_bytes(b"half")
    path.unlink()
    _cached(plain, cache)
    assert not left.exists()
    assert path.exists()


@pytest.mark.parametrize(
    ("num_classes", "shares", "message"),
    [
        (1, SHARES, "label 1 is out of range; 1 classes take 0 to 0"),
        (2, SHARES[:1], "plain: validation: there is no image"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_and_nothing_kept(
    cache: Path, num_classes: int, shares: tuple[Share, ...], message: str
) -> None:
    plain = Plain(num_classes=num_classes, shares=shares)
    with pytest.raises(DataError, match=message):
        _cached(plain, cache)
    assert [path.suffix for path in (cache / "data").iterdir()] == [".lock"]


def test_a_full_disk_is_said(cache: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))  # the kernel then refuses to write on
    try:
        with pytest.raises(StorageError, match=r"cannot be kept \(File too large\)") as caught:
            _cached(Plain(), cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.exit_code == 4
    assert "ARCHBENCH_CACHE" in str(caught.value.help)
    assert [path.suffix for path in (cache / "data").iterdir()] == [".lock"]
    assert _cached(Plain(), cache).notes == ("a note",)


@needs_full_device
def test_no_space_is_called_a_full_disk() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file:
        writer = EntryWriter(file, request=request_for("x", resolution=2), place="/dev/full")
        with pytest.raises(StorageError, match="the disk is full"):
            writer.add("train", np.zeros((1, 3, 2, 2), np.uint8), np.zeros(1, np.int64))


def test_a_cache_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match="cannot be kept") as caught:
        _cached(Plain(), tmp_path / "cache")
    assert str(tmp_path / "cache") in str(caught.value.place)


def test_a_cached_file_that_cannot_be_read_is_said(cache: Path) -> None:
    plain = Plain()
    _cached(plain, cache)
    path = _file(cache)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageError, match=r"cannot be read \(Is a directory\); delete the file"):
        _cached(plain, cache)


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"ARCHBENCH_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/archbench"),
        ({"XDG_CACHE_HOME": "relative"}, "~/.cache/archbench"),
        ({"XDG_CACHE_HOME": ""}, "~/.cache/archbench"),
        ({}, "~/.cache/archbench"),
        ({"ARCHBENCH_CACHE": "~/c"}, "~/c"),
    ],
)
def test_the_cache_lies_where_the_user_says(environment: dict[str, str], folder: str) -> None:
    assert cache_folder(environment) == Path(folder).expanduser()
