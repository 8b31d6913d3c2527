"""Which entries does a folder hold: one file is one entry, named by the file."""

import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from archbench.errors import MissingError, UsageError, fault_text, unknown_name

OUTSIDE = "module:"
"""What stands before the dotted path of a module that is no file of the folder."""


@dataclass(frozen=True)
class Registry:
    """The entries of a package folder, such as ``archbench.models.blocks``.

    Listing the names imports no entry, so that ``--help`` stays cheap. Messages call an entry by
    the noun. Where it ``takes_modules``, ``module:PACKAGE.MODULE`` names one of the user's own.
    """

    package: str
    noun: str
    takes_modules: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all entries of the folder, sorted."""
        folder = importlib.import_module(self.package)
        found = pkgutil.iter_modules(folder.__path__)
        return tuple(sorted(entry.name for entry in found if not entry.name.startswith("_")))

    def load(self, name: str, *, place: str | None = None) -> ModuleType:
        """The module of one entry.

        Raises:
            UsageError: There is no entry of this name (the nearest names are listed), or a module
                of the user's own raised an error when it was imported.
            MissingError: There is no such module of the user's own.
        """
        if self.takes_modules and name.startswith(OUTSIDE):
            example = f"write it like {OUTSIDE}my_{self.noun}"
            return import_outside(name.removeprefix(OUTSIDE), place=place, example=example)
        if name not in self.names:
            raise unknown_name(self.noun, name, self.names, place=place)
        return importlib.import_module(f"{self.package}.{name}")


def import_outside(path: str, *, place: str | None, example: str) -> ModuleType:
    """A module of the user's own, from the current folder or among the installed ones.

    The path is dotted, like ``my_package.my_module``; the example says in errors how to write it.

    Raises:
        MissingError: There is no such module.
        UsageError: The path is empty, or importing it raised an error.
    """
    if not path or path.startswith("."):
        raise UsageError("the path of a module is missing", place=place, help=example)
    try:
        with current_folder():
            return importlib.import_module(path)
    except ModuleNotFoundError as error:
        # A module that is missing inside the user's own is the user's to mend.
        if error.name is None or not f"{path}.".startswith(f"{error.name}."):
            raise raised_outside(error, place=place) from error
        raise MissingError(
            f"there is no module {error.name}",
            place=place,
            help="modules are looked for in the current folder and among the installed ones; "
            + example,
        ) from None
    except Exception as error:  # whatever it raises is the user's
        raise raised_outside(error, place=place) from error


@contextlib.contextmanager
def current_folder() -> Iterator[None]:
    """The current folder first among those in which modules are looked for."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def raised_outside(error: Exception, *, place: str | None) -> UsageError:
    """The error of somebody else's code, with the line where it was raised."""
    import traceback

    ours = str(Path(__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(ours) and "importlib" not in frame.filename
    ]
    where = f"at {frames[-1].filename}:{frames[-1].lineno}; " if frames else ""
    return UsageError(
        fault_text(error), place=place, help=f"{where}ARCHBENCH_DEBUG=1 shows the whole trace"
    )
