"""Which convolution/attention hybrid to ship: the public functions of archbench.

Importing the package imports nothing else; each name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archbench.analysis.study import StudyReader, open_study
    from archbench.evaluate import compare, fetch_weights, profile, train_network
    from archbench.models import (
        ArchSpec,
        ablation_names,
        build,
        convert_weights,
        count,
        deploy,
        fold,
        load_weights,
        published_names,
        save_weights,
    )
    from archbench.models.catalogue import published
    from archbench.search import search
    from archbench.search.ablation.run import ablate
    from archbench.search.bayes.cost_aware import CostAwareSampler
    from archbench.space import SearchSpace

    __version__: str

__all__ = [
    "ArchSpec",
    "CostAwareSampler",
    "SearchSpace",
    "StudyReader",
    "__version__",
    "ablate",
    "ablation_names",
    "build",
    "compare",
    "convert_weights",
    "count",
    "deploy",
    "fetch_weights",
    "fold",
    "load_weights",
    "open_study",
    "profile",
    "published",
    "published_names",
    "save_weights",
    "search",
    "train_network",
]

_HOMES = {
    "ArchSpec": "archbench.models",
    "CostAwareSampler": "archbench.search.bayes.cost_aware",
    "SearchSpace": "archbench.space",
    "StudyReader": "archbench.analysis.study",
    "ablation_names": "archbench.models",
    "ablate": "archbench.search.ablation",
    "build": "archbench.models",
    "compare": "archbench.evaluate",
    "convert_weights": "archbench.models",
    "count": "archbench.models",
    "deploy": "archbench.models",
    "fetch_weights": "archbench.evaluate",
    "fold": "archbench.models",
    "load_weights": "archbench.models",
    "open_study": "archbench.analysis.study",
    "profile": "archbench.evaluate",
    "published": "archbench.models.catalogue",
    "published_names": "archbench.models",
    "save_weights": "archbench.models",
    "search": "archbench.search",
    "train_network": "archbench.evaluate",
}


def __getattr__(name: str) -> Any:
    """A public name, imported from the room it lives in."""
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("archbench")
    if name not in _HOMES:
        raise AttributeError(f"module 'archbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
