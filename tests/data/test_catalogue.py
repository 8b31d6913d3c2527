from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archbench.data import load
from archbench.errors import UsageError
from tests.data.conftest import MAKERS


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        *((name, {}, "unknown data set") for name in ("../evil", "", ":", "cluttered_digits/../x")),
        *(("folder:x", {"resolution": px}, "8 to 1024 px can be") for px in (7, 1025, 0, -32)),
        ("folder:x", {"seed": -1}, "the seed -1; 0 or more can be taken"),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_anything_is_written(
    name: str, options: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        load(name, **{"resolution": 32, **options}, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


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
    assert run.stdout.split() == sorted(MAKERS)


def test_unknown_names_of_the_room_are_attribute_errors() -> None:
    import archbench.data

    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        _ = archbench.data.lod
