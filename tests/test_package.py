"""What ``import archbench`` offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import archbench

WITHOUT_TORCH = """
import archbench, sys
{code}
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("name", archbench.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(archbench, name) is not None
    assert name in dir(archbench)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'archbench' has no attribute 'serch'"):
        _ = archbench.serch  # type: ignore[attr-defined]


def test_counts_are_those_of_the_papers_code() -> None:
    assert archbench.count("levit_128s").macs == 304_660_832
    assert archbench.count(archbench.published("cvt_13")).params == 19_997_480


def test_search_can_be_called_after_its_room_was_imported() -> None:
    import archbench.search.events

    assert callable(archbench.search)


@pytest.mark.parametrize("code", ["", "archbench.__version__", "archbench.open_study"])
def test_what_needs_no_network_imports_no_torch(code: str) -> None:
    script = WITHOUT_TORCH.format(code=code)
    subprocess.run([sys.executable, "-c", script], check=True)
