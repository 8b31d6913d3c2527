"""Which entries does a folder hold, and which come from outside: one file is one entry."""

import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from archbench.errors import MissingError, UsageError, fault_text, unknown_name, wrong_type

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

OUTSIDE = "module:"
"""What stands before the dotted path of a module that is no file of the folder."""
OBJECT = "object:"
"""What stands before the class of an object that was given in the place of a name."""


@dataclass(frozen=True)
class Registry:
    """The entries of a package folder, such as ``archbench.models.blocks``.

    Listing the names imports no entry, so that ``--help`` stays cheap. Messages call an entry by
    the noun. Where there is a ``group``, entries come from outside, too: ``module:PACKAGE.MODULE``
    names a module, ``module:PACKAGE.MODULE:NAME`` something in it, and installed packages name
    entries of theirs in the entry points of the group. Each holds what an entry ``needs``, of
    ``this or that`` one.
    """

    package: str
    noun: str
    group: str = ""
    needs: tuple[str, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all entries of the folder, sorted."""
        folder = importlib.import_module(self.package)
        found = pkgutil.iter_modules(folder.__path__)
        return tuple(sorted(entry.name for entry in found if not entry.name.startswith("_")))

    @property
    def plugins(self) -> Mapping[str, tuple["EntryPoint", ...]]:
        """What installed packages name in the entry points of the group; nothing is imported."""
        return _entry_points().get(self.group, {}) if self.group else {}

    def is_outside(self, name: str) -> bool:
        """Whether a name is one that an entry from outside has, sound or not."""
        return bool(self.group) and (name.startswith(OUTSIDE) or name in self.plugins)

    def load(self, name: str, *, place: str | None = None) -> Any:
        """The module of one entry; of one from outside the module or the object that is named.

        Raises:
            UsageError: There is no entry of this name (the nearest are listed) or there are
                several, or one from outside cannot be imported or is none.
            MissingError: There is no such module of the user's own.
        """
        if not isinstance(name, str):
            raise wrong_type(name, place=place, allowed=f"the name of a {self.noun}")
        if self.group and name.startswith(OUTSIDE):
            path = name.removeprefix(OUTSIDE)
            example = f"write it like {OUTSIDE}my_{self.noun.replace(' ', '_')}"
            found = named_outside(path, place=place, example=example)
            return self._checked(found, name=name, place=place)
        plugins, is_own = self.plugins.get(name, ()), name in self.names
        if is_own and not plugins:
            return importlib.import_module(f"{self.package}.{name}")
        if not plugins:
            raise unknown_name(self.noun, name, {*self.names, *self.plugins}, place=place)
        homes = ["archbench itself"] * is_own + [_home(plugin) for plugin in plugins]
        if len(homes) > 1:
            raise UsageError(
                f"the {self.noun} {name!r} is there several times: in {', and in '.join(homes)}",
                place=place,
                help="rename or uninstall one of them",
            )
        with guest(place=place, inside=homes[0]):
            found = plugins[0].load()
        return self._checked(found, name=name, place=place)

    def _checked(self, found: Any, *, name: str, place: str | None) -> Any:
        """An entry from outside, which nobody has held to what an entry is."""
        if missing := [
            need
            for need in self.needs
            if not any(hasattr(found, name) for name in need.split(" or "))
        ]:
            raise UsageError(
                f"{name} is no {self.noun}: it lacks {', '.join(missing)}",
                place=place,
                help=f"the files of {self.package} show what a {self.noun} holds",
            )
        return found


@cache
def _entry_points() -> Mapping[str, Mapping[str, tuple["EntryPoint", ...]]]:
    """The entry points in all installed packages, which are read once, by group and by name."""
    from importlib.metadata import entry_points

    installed = entry_points()
    found: dict[str, dict[str, tuple[EntryPoint, ...]]] = {}
    for group in installed.groups:
        named = found.setdefault(group, {})
        for point in installed.select(group=group):
            named[point.name] = (*named.get(point.name, ()), point)
    return found


def _home(plugin: "EntryPoint") -> str:
    """Where an entry point stands, in words."""
    package = f"{plugin.dist.name} {plugin.dist.version}" if plugin.dist else "a package"
    return f"the package {package} ({plugin.value})"


def refuse_object(name: object, *, noun: str, place: str | None) -> None:
    """Refuses a name that stands in a study for an object that was given in Python.

    Raises:
        UsageError: It is one.
    """
    if isinstance(name, str) and name.startswith(OBJECT):
        raise UsageError(
            f"the {noun} {name.removeprefix(OBJECT)} was given as an object, which no name makes "
            "again",
            place=place,
            help=f"give it in Python: archbench.search(..., {noun}={noun})",
        )


def named_outside(path: str, *, place: str | None, example: str) -> Any:
    """The module ``PACKAGE.MODULE``, or what ``PACKAGE.MODULE:NAME`` names in it.

    Raises:
        MissingError: There is no such module.
        UsageError: The path is empty, importing it raised an error, or it holds no such name.
    """
    path, _, name = path.partition(":")
    module = import_outside(path, place=place, example=example)
    return attribute_of(module, name, place=place) if name else module


def attribute_of(module: ModuleType, name: str, *, place: str | None) -> Any:
    """What a module of the user's own calls by a name.

    Raises:
        UsageError: It holds no such name; those nearest that it defines itself are listed.
    """
    if not hasattr(module, name):
        path = module.__name__
        own = [key for key, one in vars(module).items() if getattr(one, "__module__", "") == path]
        raise unknown_name(f"name in {path}", name, own, place=place)
    return getattr(module, name)


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
        with guest(place=place, passes=(ModuleNotFoundError,)):
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


@contextlib.contextmanager
def guest(
    *, place: str | None, inside: str = "", passes: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Runs code of others: what it prints goes to stderr, and our arguments are not its own.

    The current folder is the first among those in which it finds modules. ``inside`` is where the
    code stands, for messages; what ``passes`` is raised as it is.

    Raises:
        UsageError: It raised anything else, or called ``sys.exit``.
    """
    folder, arguments = str(Path.cwd()), sys.argv
    sys.path.insert(0, folder)
    sys.argv = arguments[:1]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except passes:
        raise
    except (Exception, SystemExit) as error:  # whatever it raises is its author's
        raise raised_outside(error, place=place, inside=inside) from error
    finally:
        sys.argv = arguments
        if folder in sys.path:
            sys.path.remove(folder)


def raised_outside(error: BaseException, *, place: str | None, inside: str = "") -> UsageError:
    """The error of somebody else's code, with the line where it was raised."""
    import traceback

    ours = str(Path(__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(ours)
        and not any(part in frame.filename for part in ("importlib", "contextlib.py"))
    ]
    where = f"at {frames[-1].filename}:{frames[-1].lineno}; " if frames else ""
    told = f"{inside}: {fault_text(error)}" if inside else fault_text(error)
    return UsageError(told, place=place, help=f"{where}ARCHBENCH_DEBUG=1 shows the whole trace")
