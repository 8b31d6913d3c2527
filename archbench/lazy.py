"""How does a package hand on names whose files are imported only when a name is first used?"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

_HANDED_ON = re.compile(r"^    from ([\w.]+) import (\w+) as \2$", re.MULTILINE)


def exports(package: str) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """``__all__``, ``__getattr__`` and ``__dir__`` of a package that is being imported.

    The package names what it hands on once: ``from file import Name as Name`` under ``if
    TYPE_CHECKING:``. A type checker reads these lines, and so does this function, in the
    package's source; at run time each is done when its name is first used.
    """
    module: Any = sys.modules[package]
    source = module.__loader__.get_source(package)
    homes = {name: file for file, name in _HANDED_ON.findall(source)}

    def fetch(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = import_module(homes[name])
        try:
            return getattr(home, name)
        except AttributeError:  # a file of a package, which nobody has imported yet
            return import_module(f"{homes[name]}.{name}")

    def names() -> list[str]:
        return sorted({*vars(module), *module.__all__})

    return sorted(homes), fetch, names
