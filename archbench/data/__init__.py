"""Which images does a network learn from: a name becomes byte tensors, decoded once and cached.

Nothing heavy is imported before a name is used, so that ``--help`` can list the sources.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from archbench.registry import Registry

if TYPE_CHECKING:
    from archbench.data.augmentation import PIXEL_MEAN, PIXEL_STD, augment, normalise
    from archbench.data.cache import cache_folder
    from archbench.data.catalogue import load
    from archbench.data.dataset import DataError, DataSet, Split

__all__ = [
    "PIXEL_MEAN",
    "PIXEL_STD",
    "SOURCES",
    "DataError",
    "DataSet",
    "Split",
    "augment",
    "cache_folder",
    "load",
    "normalise",
]

SOURCES = Registry("archbench.data.sources", "data set")

_HOMES = {
    "PIXEL_MEAN": "augmentation",
    "PIXEL_STD": "augmentation",
    "augment": "augmentation",
    "normalise": "augmentation",
    "cache_folder": "cache",
    "load": "catalogue",
    "DataError": "dataset",
    "DataSet": "dataset",
    "Split": "dataset",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
