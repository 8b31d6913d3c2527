"""Which commands are there, and how does each end: with which exit code, and which words?"""

import errno
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import click

import archbench as package
from archbench import errors
from archbench.cli import completion, configuration, console, option
from archbench.command_line import command_line
from archbench.errors import ArchbenchError, ParkedError, Terminated
from archbench.registry import Registry

REGISTRY = Registry("archbench.cli.commands", "command")
_SECTIONS = {
    "Search": ("search", "space", "certify", "ablate"),
    "Read a study": (
        *("report", "watch", "serve", "pick", "insight", "confirm", "measure", "studies"),
    ),
    "Train and ship": ("train", "retrain", "weights", "export", "predict"),
    "Measure": ("profile", "compare", "estimate", "models", "doctor", "device"),
    "Shell": ("completion",),
}
_KEPT = {  # by command: what an interruption leaves of it
    "estimate": "the blocks timed so far are kept",
    "export": "the formats written so far are kept",
    "measure": "the latencies taken so far are kept",
}
_ALIASES = {"list": "studies"}  # what is typed for want of the name
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
_IMPORT_S = 2.0  # an interruption waits no longer for its end
_LOOK_EVERY_S = 0.05
_AGAIN_S = 2.0  # after it has come to nothing


class RunContext(click.Context):
    """A context in which stdout is for results, and code of others prints to stderr."""

    def invoke(self, callback: Any, /, *arguments: Any, **options: Any) -> Any:
        """As click does, while stdout is kept."""
        if console.STDOUT in self.meta:
            return super().invoke(callback, *arguments, **options)
        with console.keeping_stdout() as stream:
            self.meta[console.STDOUT] = stream
            try:
                return super().invoke(callback, *arguments, **options)
            finally:
                del self.meta[console.STDOUT]


class CommandFolder(click.Group):
    """A group whose commands are the files of ``archbench/cli/commands``, listed by sections."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, from the file names."""
        return list(REGISTRY.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; its file is imported now. None for an option.

        Raises:
            UsageError: No command has this name; the known ones are named.
        """
        if cmd_name.startswith("-"):
            return None
        command: click.Command = REGISTRY.load(cmd_name, place="archbench").command
        inner = command.commands if isinstance(command, click.Group) else {}
        for one, path in ((command, ()), *((one, (name,)) for name, one in inner.items())):
            one.context_class = RunContext
            option.with_loudness(one)
            completion.with_names(one)
            configuration.with_variables(one, cmd_name, *path)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a command's own name in place of what is typed for want of it."""
        return super().resolve_command(ctx, [_ALIASES.get(args[0], args[0]), *args[1:]])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections; a command that is in none comes under Other."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        width = max(map(len, commands))
        placed = {name for members in _SECTIONS.values() for name in members}
        others = tuple(name for name in commands if name not in placed)
        for section, members in (*_SECTIONS.items(), ("Other", others)):
            found = [(name, commands.get(name)) for name in members]
            rows = [
                (name.ljust(width), command.get_short_help_str(formatter.width - 6 - width))
                for name, command in found
                if command and not command.hidden
            ]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)


@click.group(
    cls=CommandFolder,
    no_args_is_help=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog="Start with:  archbench search quickstart",
)
@option.QUIET
@option.VERBOSE
@click.version_option(
    package.__version__, message="archbench %(version)s", help="Print the version and stop."
)
def archbench() -> None:
    """Which convolution/attention hybrid to ship on this device, for your data.

    Searches spaces of vision networks for the best accuracy within your milliseconds, counts
    exactly, times honestly, and says how sure it is.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, by default with the arguments of this process, and leave.

    Raises:
        SystemExit: Always; the codes are those of ``archbench.errors``.
    """
    console.open_missing_streams()
    if instruction := os.environ.get(completion.VARIABLE):
        sys.exit(completion.answer(archbench, instruction))
    if arguments is None:
        arguments = sys.argv[1:]
        del sys.argv[1:]  # code of others that reads arguments finds none
    code = run(archbench, arguments)
    console.close_streams()
    sys.exit(code)


def parked(
    by: BaseException | None, message: str, *, place: str = "archbench", help: str
) -> ArchbenchError:
    """The ending of work that was interrupted, with the exit code of what interrupted it."""
    number = signal.SIGTERM if isinstance(by, Terminated) else signal.SIGINT
    return ParkedError(message, place=place, help=help, signal_number=number)


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command; nothing escapes: every ending becomes words and an exit code.

    A command returns None or an exit code. With ``--json`` among the arguments an error is one
    JSON document on stderr. An interruption amid an import may come out as another error.
    """
    typed = tuple(arguments)  # given on to commands that say how to repeat themselves
    came: list[type[KeyboardInterrupt]] = []
    try:
        with _interruptions(came):
            code = command.main(
                typed,
                prog_name="archbench",
                standalone_mode=False,
                obj=typed,
                default_map=_defaults(command, typed),
            )
        return code if isinstance(code, int) else 0
    except console.ReaderGoneError:
        return 0
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.message)
        return 0
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  the last defence
        is_foreseen = isinstance(error, ArchbenchError | click.ClickException | KeyboardInterrupt)
        told = _told(came[0]() if came and not is_foreseen else error, arguments)
        typed_json = "--json" in arguments or "--format=json" in arguments
        is_json = typed_json or ("--format", "json") in pairwise(arguments)
        is_traced = bool({"-v", "--verbose"} & set(arguments))
        console.report(told, as_json=is_json, is_traced=is_traced)
        return told.exit_code


def _defaults(command: click.Command, words: Sequence[str]) -> dict[str, Any]:
    """What files of the person and of the project give to options."""
    if not isinstance(command, click.Group) or not (found := configuration.read(Path.cwd())):
        return {}
    return configuration.defaults(command, found, typed=_typed_command(words))


def _typed_command(words: Sequence[str]) -> str:
    """The name of the command among what was typed; empty where there is none."""
    name = next((word for word in words if not word.startswith("-")), "")
    return _ALIASES.get(name, name)


def _told(error: BaseException, arguments: Sequence[str]) -> ArchbenchError:
    """The error in our words."""
    if isinstance(error, ArchbenchError):
        return error
    if isinstance(error, click.BadParameter) and (place := configuration.place_of(error)):
        return errors.UsageError(_sentence(error.message), place=place)
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "archbench"
        message = _sentence(error.format_message())
        return errors.UsageError(message, place=path, help=f"see  {path} --help")
    if isinstance(error, click.ClickException):
        return errors.UsageError(_sentence(error.format_message()))
    if isinstance(error, click.Abort | KeyboardInterrupt):
        by = error.__cause__ if isinstance(error, click.Abort) else error
        if (before := _parked_before(by)) is not None:
            return before
        if "--resume" in arguments:
            again = command_line("archbench", *arguments)
            return parked(by, "interrupted", help=f"the same command goes on: {again}")
        if kept := _KEPT.get(_typed_command(arguments)):
            return parked(by, f"interrupted, and {kept}", help="the same command does the rest")
        return parked(by, "interrupted, and nothing is kept", help="the same command starts over")
    if isinstance(error, SystemExit):
        message = f"code of others would have ended this command: {errors.fault_text(error)}"
        return errors.UsageError(message, help="take such calls out of what was named")
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = str(error.filename or "")
        shown = f"{name[:40]}..." if len(name) > 40 else name
        message = "the name is too long for a file: 255 bytes can be had"
        return errors.UsageError(message, place=shown or None, help="use a shorter one")
    return _bug(error, arguments)


def _parked_before(error: BaseException | None) -> ParkedError | None:
    """What said how to go on when a further interruption came between."""
    while error is not None and not isinstance(error, ParkedError):
        error = error.__context__
    return error


@contextmanager
def _interruptions(came: list[type[KeyboardInterrupt]]) -> Iterator[None]:
    """SIGTERM and SIGHUP raise ``Terminated`` while this lasts; an ignored one stays ignored.

    They and Ctrl-C wait for the end of an import, for a while: amid it they leave a half-made
    module, and may come out as an ``ImportError``, or be lost. They come again until this ends.
    What was raised stands in ``came``.
    """
    until = math.inf

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal until
        if signum != signal.SIGALRM:
            came.append(KeyboardInterrupt if signum == signal.SIGINT else Terminated)
            until = time.monotonic() + _IMPORT_S
        if _is_importing(frame) and time.monotonic() < until:
            signal.setitimer(signal.ITIMER_REAL, _LOOK_EVERY_S)
            return
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        raise came[-1]

    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    ignored = {n for n in before if before[n] is signal.SIG_IGN and n != signal.SIGALRM}
    replaced = [number for number in before if is_main and number not in ignored]
    for number in replaced:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        if came:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number in replaced:
            signal.signal(number, before[number])


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _sentence(message: str) -> str:
    """The message in our form: no capital after the place, no stop."""
    text = " ".join(message.split()).removesuffix(".")
    return text[:1].lower() + text[1:]


def _bug(error: BaseException, arguments: Sequence[str]) -> ArchbenchError:
    """What to say of an exception that nobody foresaw; its trace is kept in a file."""
    import platform
    import tempfile
    import traceback

    lines = [
        f"archbench {package.__version__}",
        f"{platform.python_implementation()} {platform.python_version()} on {platform.platform()}",
        command_line("archbench", *arguments),
        "",
        "".join(traceback.format_exception(error)),
    ]
    try:
        handle, name = tempfile.mkstemp(prefix="archbench-error-", suffix=".txt")
        os.close(handle)
        Path(name).write_text("\n".join(lines), encoding="utf-8")
        kept = f"the trace is in {name}; please report it"
    except OSError:  # the disk may be full
        kept = "please report it; ARCHBENCH_DEBUG=1 prints the trace"
    told = ArchbenchError(
        f"this is a bug of archbench: {type(error).__name__}: {str(error) or 'no message'}",
        help=kept,
    )
    told.exit_code = errors.INTERNAL_BUG
    told.__cause__ = error
    return told
