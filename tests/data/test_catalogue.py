from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from archbench.data import load
from archbench.data.source import reading
from archbench.errors import MissingError, UsageError
from tests.data.conftest import request_for


def test_suggests_the_nearest_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="data: unknown data set 'cifar'; did you mean cifar10"):
        load("cifar:somewhere", resolution=32, cache=tmp_path)


@pytest.mark.parametrize("name", ["../evil", "", ":", "cluttered_digits/../x"])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown data set"):
        load(name, resolution=32, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("resolution", [7, 1025, 0, -32])
def test_refuses_resolutions_out_of_range(resolution: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="8 to 1024 px can be prepared"):
        load("folder:x", resolution=resolution, cache=tmp_path)


def test_refuses_a_negative_seed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the seed -1; 0 or more can be taken"):
        load("folder:x", resolution=32, seed=-1, cache=tmp_path)


def test_what_cannot_be_read_is_named() -> None:
    with (
        pytest.raises(MissingError, match=r"/x/secret: it cannot be read \(Permission denied\)"),
        reading(request_for("folder:x")),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", "/x/secret")


def test_the_user_may_say_where_the_cache_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHBENCH_CACHE", str(tmp_path / "here"))
    load("cluttered_digits", resolution=16)
    assert list((tmp_path / "here" / "data").glob("cluttered_digits-16px-*.images"))


def test_listing_the_sources_imports_nothing_heavy() -> None:
    program = (
        "import sys, archbench.data as data\n"
        "print(*data.SOURCES.names)\n"
        "assert not {'torch', 'torchvision', 'sklearn', 'numpy', 'PIL'} & set(sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [
        "cifar10",
        "cifar100",
        "cluttered_digits",
        "folder",
        "imagenet",
        "imagenette",
    ]


def test_unknown_names_of_the_room_are_attribute_errors() -> None:
    import archbench.data

    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        _ = archbench.data.lod
