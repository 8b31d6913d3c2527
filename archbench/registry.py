"""Which entries does a folder hold: one file is one entry, named by the file."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

from archbench.errors import unknown_name


@dataclass(frozen=True)
class Registry:
    """The entries of a package folder.

    Listing the names imports no entry, so that ``--help`` stays cheap.

    Attributes:
        package: Dotted name of the folder, for example ``archbench.models.blocks``.
        noun: What one entry is called in messages.
    """

    package: str
    noun: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all entries, sorted."""
        folder = importlib.import_module(self.package)
        found = pkgutil.iter_modules(folder.__path__)
        return tuple(sorted(entry.name for entry in found if not entry.name.startswith("_")))

    def load(self, name: str, *, place: str | None = None) -> ModuleType:
        """The module of one entry.

        Raises:
            UsageError: There is no entry of this name; the nearest names are listed.
        """
        if name not in self.names:
            raise unknown_name(self.noun, name, self.names, place=place)
        return importlib.import_module(f"{self.package}.{name}")
