"""How does a package hand on names whose files are imported only when a name is first used?"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast


def exports(package: str) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """``__all__``, ``__getattr__`` and ``__dir__`` of a package that is being imported.

    The package names what it hands on once: ``from file import Name as Name`` under ``if
    TYPE_CHECKING:``. A type checker reads these imports, and so does this function, in the
    package's source; at run time each is done when its name is first used.
    """
    module: Any = sys.modules[package]
    source = module.__loader__.get_source(package)
    homes = {
        alias.name: cast(str, statement.module)
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if alias.asname == alias.name
    }

    def fetch(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    def names() -> list[str]:
        return sorted({*vars(module), *module.__all__})

    return sorted(homes), fetch, names
