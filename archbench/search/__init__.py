"""Which networks of a space are worth shipping: samplers, trials, and the study they fill.

The package itself can be called, as ``archbench.search("quickstart")``: a package and a function
cannot otherwise have the same name.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archbench.search.interruption import ParkedError
    from archbench.search.run import search
    from archbench.search.trials import AllFailedError

__all__ = ["AllFailedError", "ParkedError", "search"]

_HOMES = {
    "AllFailedError": "trials",
    "ParkedError": "interruption",
    "search": "run",
}


def __getattr__(name: str) -> Any:
    """A public name, imported from the file it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


class _Callable(ModuleType):
    """A package that is called like its function."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return import_module(f"{__name__}.run").search(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
