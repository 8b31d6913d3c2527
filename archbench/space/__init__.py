"""YAML in, SearchSpace out: what is searched and under which conditions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archbench.space.axis import Axis, Choices
    from archbench.space.candidate import InfeasibleError
    from archbench.space.catalogue import shipped
    from archbench.space.correspondence import (
        Change,
        candidate_changes,
        choices_for,
        condition_changes,
    )
    from archbench.space.feasibility import DeadChoice, Share
    from archbench.space.space import SearchSpace

__all__ = [
    "Axis",
    "Change",
    "Choices",
    "DeadChoice",
    "InfeasibleError",
    "SearchSpace",
    "Share",
    "candidate_changes",
    "choices_for",
    "condition_changes",
    "shipped",
]

_HOMES = {
    "Axis": "axis",
    "Change": "correspondence",
    "Choices": "axis",
    "DeadChoice": "feasibility",
    "InfeasibleError": "candidate",
    "SearchSpace": "space",
    "Share": "feasibility",
    "candidate_changes": "correspondence",
    "choices_for": "correspondence",
    "condition_changes": "correspondence",
    "shipped": "catalogue",
}


def __getattr__(name: str) -> Any:
    # Networks need torch, and reading a YAML file does not: so nothing is imported before it is
    # asked for.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
