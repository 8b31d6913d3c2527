"""Which defaults do the files of a person and of a project give to the options of commands?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from archbench.errors import StorageError, UsageError, unknown_name

FILE = "archbench.toml"
SCHEMA = "archbench.configuration/1"

_PROJECT = "pyproject.toml"
_NEVER = {"help", "version"}


@dataclass(frozen=True)
class Configuration:
    """What one file says: options by command, those of every command under no name."""

    path: Path
    content: Mapping[str, Any]

    def place(self, *keys: str) -> str:
        """Where a key stands, for messages: the file with its line, where it is found, and key."""
        line = _line_of(self.path, keys[-1])
        return f"{self.path}{f':{line}' if line else ''}: {'.'.join(keys)}"


def read(folder: Path) -> list[Configuration]:
    """The configurations that hold in a folder, the person's first, then the project's.

    That of the person is ``archbench/archbench.toml`` below ``XDG_CONFIG_HOME``; that of the
    project is the nearest ``archbench.toml``, or ``pyproject.toml`` with a table
    ``tool.archbench``, in the folder or above it.

    Raises:
        UsageError: A file is not valid TOML.
        StorageError: A file cannot be read.
    """
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    person = Path(home, "archbench", FILE)
    found = [Configuration(person, _content(person))] if person.is_file() else []
    for one in (folder, *folder.parents):
        if (own := one / FILE).is_file():
            return [*found, Configuration(own, _content(own))]
        if (shared := one / _PROJECT).is_file():
            content = _content(shared).get("tool", {}).get("archbench")
            if content is not None:
                return [*found, Configuration(shared, content)]
    return found


def defaults(
    group: click.Group, configurations: Sequence[Configuration], *, typed: str
) -> dict[str, Any]:
    """What the configurations say, as click takes defaults; later ones count more.

    All that they say is checked. Keys that stand under no command are defaults of those options of
    the command that was ``typed``, if one was, and of the group itself.

    Raises:
        UsageError: A key names no command or no option, or its value is none of an option.
    """
    found: dict[str, Any] = {}
    for one in configurations:
        for option in _options(group, one):
            if option.command == ():
                targets = [(), *_paths(group, typed)] if typed else [()]
            else:
                targets = [option.command]
            for path in targets:
                command = _command(group, path)
                if (param := _param(command, option.key)) is not None:
                    place = found
                    for name in path:
                        place = place.setdefault(name, {})
                    place[str(param.name)] = _value(option, param)
    return found


def with_variables(command: click.Command, *path: str) -> None:
    """Lets the environment set the options of a command: ``ARCHBENCH_SEARCH_TRIALS``, or of all.

    What sets an option of every command that has it is called ``ARCHBENCH_RESULTS`` and the like.
    """
    for key, param in _named(command):
        words = [*path, key]
        param.envvar = [_variable(*words[number:]) for number in dict.fromkeys((0, len(path)))]


def place_of(error: click.BadParameter) -> str:
    """Where a default stands that an option refuses; empty where it was typed."""
    param, ctx = error.param, error.ctx
    if param is None or ctx is None or param.name is None:
        return ""
    if ctx.get_parameter_source(param.name) != ParameterSource.DEFAULT_MAP:
        return ""
    group, path = ctx.find_root().command, tuple(ctx.command_path.split()[1:])
    assert isinstance(group, click.Group), "only its commands have such defaults"
    keys = [key for key, one in _named(ctx.command) if one is param]
    said = [
        one.place
        for configuration in read(Path.cwd())
        for one in _options(group, configuration)
        if one.key in keys and one.command in ((), path)
    ]
    return said[-1] if said else ""


def in_effect(group: click.Group, configurations: Sequence[Configuration]) -> dict[str, Any]:
    """What the configurations and the environment set, as a JSON document; the last count most.

    Raises:
        UsageError: See ``defaults``.
    """
    said = [
        {"command": " ".join(one.command), "option": one.key, "value": one.value, "from": one.place}
        for configuration in configurations
        for one in _options(group, configuration)
    ]
    variables: dict[str, tuple[tuple[str, ...], str]] = {}
    for path in _all_paths(group):
        for key, _ in _named(_command(group, path)):
            variables |= {_variable(*path, key): (path, key), _variable(key): ((), key)}
    said += [
        {"command": " ".join(path), "option": key, "value": os.environ[name], "from": name}
        for name, (path, key) in variables.items()
        if name in os.environ
    ]
    files = [str(one.path) for one in configurations]
    return {"schema": SCHEMA, "files": files, "options": said}


@dataclass(frozen=True)
class _Option:
    """What a configuration says of one option."""

    configuration: Configuration
    command: tuple[str, ...]
    key: str
    value: Any

    @property
    def place(self) -> str:
        return self.configuration.place(*self.command, self.key)


def _options(group: click.Group, configuration: Configuration) -> Iterator[_Option]:
    """Every option of a configuration, once it is known that there is one."""
    known = group.list_commands(click.Context(group))
    for key, value in configuration.content.items():
        if isinstance(value, Mapping):
            if key not in known:
                raise unknown_name("command", key, known, place=configuration.place(key))
            yield from _of_command(group, configuration, (key,), value)
        else:
            yield _Option(configuration, (), _dashed(key), value)
            if not _has_somewhere(group, _dashed(key)):
                raise UsageError(
                    f"no command has the option {key!r}",
                    place=configuration.place(key),
                    help="see  archbench --help, or name a command:  [search]",
                )


def _of_command(
    group: click.Group,
    configuration: Configuration,
    path: tuple[str, ...],
    table: Mapping[str, Any],
) -> Iterator[_Option]:
    command = _command(group, path)
    inner = command.commands if isinstance(command, click.Group) else {}
    for key, value in table.items():
        if isinstance(value, Mapping) and key in inner:
            yield from _of_command(group, configuration, (*path, key), value)
            continue
        if _param(command, _dashed(key)) is None:
            known = [*_keys(command), *inner]
            noun = f"option of archbench {' '.join(path)}"
            raise unknown_name(noun, key, known, place=configuration.place(*path, key))
        yield _Option(configuration, path, _dashed(key), value)


def _value(option: _Option, param: click.Parameter) -> Any:
    """A value as it would be typed; a relative path is one from the folder of the file."""
    value = option.value
    items = value if isinstance(value, list) else [value]
    is_flag = isinstance(param, click.Option) and param.is_flag
    fits = all(isinstance(one, bool) if is_flag else _is_scalar(one) for one in items)
    if not fits or (isinstance(value, list) and not param.multiple):
        wanted = "true or false" if is_flag else "a text or a number"
        wanted += ", or a list of them" if param.multiple else ""
        raise UsageError(f"{value!r} is not {wanted}", place=option.place)
    if is_flag:
        return value
    texts = [_from_folder(str(one), option) if _is_path(param) else str(one) for one in items]
    return texts if param.multiple else texts[0]


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_path(param: click.Parameter) -> bool:
    return isinstance(param.type, click.Path)


def _from_folder(text: str, option: _Option) -> str:
    path = option.configuration.path.parent / Path(text).expanduser()
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _all_paths(group: click.Group) -> Iterator[tuple[str, ...]]:
    """The paths of the group itself and of every command; its file is imported on its turn."""
    yield ()
    for name in group.list_commands(click.Context(group)):
        yield from _paths(group, name)


def _paths(group: click.Group, name: str) -> list[tuple[str, ...]]:
    """The path of a command, and those of the commands in it."""
    if name not in group.list_commands(click.Context(group)):
        return []
    command = _command(group, (name,))
    inner = command.commands if isinstance(command, click.Group) else ()
    return [(name,), *((name, one) for one in inner)]


def _command(group: click.Group, path: Sequence[str]) -> click.Command:
    command: click.Command = group
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None, "its name is known"
        command = found
    return command


def _has_somewhere(group: click.Group, key: str) -> bool:
    return any(_param(_command(group, path), key) is not None for path in _all_paths(group))


def _param(command: click.Command, key: str) -> click.Parameter | None:
    return next((param for name, param in _named(command) if name == key), None)


def _keys(command: click.Command) -> list[str]:
    return [name for name, _ in _named(command)]


def _named(command: click.Command) -> Iterator[tuple[str, click.Parameter]]:
    """The options of a command by the keys that they have in a file."""
    for param in command.params:
        for name in param.opts if isinstance(param, click.Option) else ():
            key = name.removeprefix("--")
            if name.startswith("--") and key not in _NEVER:
                yield key, param


def _variable(*words: str) -> str:
    return "_".join(("archbench", *words)).replace("-", "_").upper()


def _dashed(key: str) -> str:
    return key.replace("_", "-")


def _content(path: Path) -> Mapping[str, Any]:
    import tomllib  # not for who has no such file

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"cannot be read: {error.strerror}", place=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"is not valid TOML: {error}", place=str(path)) from None


def _line_of(path: Path, key: str) -> int | None:
    """The first line in which a key, with - or _, gets a value, or begins a table."""
    written = "[-_]".join(map(re.escape, re.split("[-_]", key)))
    begins = re.compile(rf"""\s*(\[[^\]]*\b)?["']?{written}["']?\s*[=\].]""")
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((n for n, line in enumerate(lines, start=1) if begins.match(line)), None)
