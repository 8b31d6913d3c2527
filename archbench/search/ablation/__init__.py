"""What does each choice of a network cost, and what does it buy: one knob turned at a time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archbench.search.ablation.reading import read_ablation
    from archbench.search.ablation.run import ablate
    from archbench.search.ablation.store import is_ablation

__all__ = ["ablate", "is_ablation", "read_ablation"]

_HOMES = {"ablate": "run", "is_ablation": "store", "read_ablation": "reading"}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
