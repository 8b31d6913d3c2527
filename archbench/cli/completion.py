"""Which names does a shell complete: of networks, spaces and studies, without importing torch?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class
from click.shell_completion import shell_complete as complete

import archbench as package
from archbench.command_line import RESULTS
from archbench.errors import ArchbenchError
from archbench.registry import Registry
from archbench.space.file import shipped

VARIABLE = "_ARCHBENCH_COMPLETE"
"""By which a shell asks for completions; its scripts set it."""

SHELLS = ("bash", "zsh", "fish")

Names = Callable[[click.Context], Iterable[str]]


class _Named(click.types.StringParamType):
    """Text that a shell completes by some names, and by files where none of them fits."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so."""
        found = [name for name in self._names(ctx) if name.startswith(incomplete)]
        return list(map(CompletionItem, found)) or [CompletionItem(incomplete, type="file")]


def _spaces(ctx: click.Context) -> Iterable[str]:
    return shipped()


def _networks(ctx: click.Context) -> Iterable[str]:
    """The names of published networks, which their files hold; the catalogue would import torch."""
    import tomllib

    files = (Path(package.__file__).parent / "models" / "published").glob("*.toml")
    found = (tomllib.loads(file.read_text(encoding="utf-8"))["variants"] for file in files)
    return sorted(name for names in found for name in names)


def _studies(ctx: click.Context) -> Iterable[str]:
    from archbench.study.study_folder import studies_in

    return [path.name for path in studies_in(Path(ctx.params.get("results") or RESULTS))]


def _designs(ctx: click.Context) -> Iterable[str]:
    """Networks, and studies of which a trial is to be named."""
    return [*_networks(ctx), *(f"{study}:" for study in _studies(ctx))]


def _entries(folder: str) -> Names:
    return lambda ctx: Registry(f"archbench.{folder}", "").names


_OF_ARGUMENT: dict[str, Names] = {
    "space": _spaces,
    "study": _studies,
    "studies": _studies,
    "network": _designs,
    "networks": _designs,
    "model": _designs,
    "pattern": _networks,
    "name": _networks,
}
_OF_OPTION: dict[str, Names] = {
    "--space": _spaces,
    "--base": _networks,
    "--from": _studies,
    "--backend": _entries("measure.backends"),
    "--sampler": _entries("search.samplers"),
    "--pruner": _entries("search.pruners"),
}


def with_names(command: click.Command) -> None:
    """Lets the arguments and options of a command complete by the names that they take."""
    for param in command.params:
        names = _OF_ARGUMENT.get(str(param.name)) if isinstance(param, click.Argument) else None
        names = names or next(filter(None, map(_OF_OPTION.get, param.opts)), None)
        if names and type(param.type) is click.types.StringParamType:
            param.type = _Named(names)


def script(command: click.Command, shell: str) -> str:
    """What a shell is to run so that it completes a command."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows each shell"
    return kind(command, {}, "archbench", VARIABLE).source()


def answer(command: click.Command, instruction: str) -> int:
    """Prints what a shell asks for; nothing where what is typed so far is a mistake."""
    try:
        return complete(command, {}, "archbench", VARIABLE, instruction)
    except (ArchbenchError, click.ClickException):
        return 0
