"""The programs of benchmarks/ are no package: each imports its neighbours by name."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def module(folder: str, name: str) -> ModuleType:
    """A file of a folder of benchmarks, imported as its neighbours do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS / folder))
        return importlib.import_module(name)
