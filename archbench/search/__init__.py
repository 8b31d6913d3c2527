"""Which networks of a space are worth shipping: samplers, trials, and the study they fill.

The package itself can be called, as ``archbench.search("quickstart")``: a package and a function
cannot otherwise have the same name.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from archbench.lazy import exports

if TYPE_CHECKING:
    from archbench.errors import ParkedError as ParkedError
    from archbench.search.confirmation import confirm as confirm
    from archbench.search.run import search as search
    from archbench.search.trials import AllFailedError as AllFailedError

__all__, __getattr__, __dir__ = exports(__name__)


class _Callable(ModuleType):
    """A package that is called like its function."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return import_module(f"{__name__}.run").search(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
