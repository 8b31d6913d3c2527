"""Options that several commands share; what reads a text raises BadParameter for any other."""

import re
from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from archbench.bounds import BOUNDS, LARGEST, is_finite
from archbench.cli.console import FORMAT, FORMATS, LOUDNESS
from archbench.command_line import RESULTS as RESULTS_FOLDER
from archbench.command_line import command_line

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*([kKmMgG]?)")
_RESOURCE = re.compile(r"\d{1,6}(\.\d{1,4})?")
_LATENCY = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)?")
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
FILE = click.Path(path_type=Path, dir_okay=False)
DATA_HELP = "What to train on: cluttered_digits, folder:PATH, cifar10:PATH."


class _WholeRange(click.IntRange):
    """A range of whole numbers, in plain words."""

    name = "number"


def whole(name: str, *, least: int | None = None) -> click.IntRange:
    """A whole number within the bounds of what it counts."""
    low, high = BOUNDS[name]
    return _WholeRange(low if least is None else least, high)


class _FiniteRange(click.FloatRange):
    """A range of which neither an infinite number nor none, as ``nan``, is a part."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found: float = super().convert(value, param, ctx)
        if not is_finite(found):
            self.fail(f"{value!r} is not a number of at most {LARGEST:g}", param, ctx)
        return found


def finite(least: float, most: float | None = None, *, is_open: bool = False) -> click.FloatRange:
    """A finite number from ``least`` on, which itself is none where the range is open."""
    return _FiniteRange(min=least, max=most, min_open=is_open)


def pixels(text: str) -> tuple[int, int]:
    """Height and width of a side in pixels or of ``160x224``."""
    sides = [_whole(side, name="side") for side in text.lower().split("x")]
    if len(sides) > 2:
        raise click.BadParameter(f"{text!r} is not a side or HEIGHTxWIDTH, as 224 or 160x224")
    return sides[0], sides[-1]


def batches(text: str) -> tuple[int, ...]:
    """Numbers of images with commas between them, as ``1,16``."""
    return tuple(_whole(part, name="batch") for part in text.split(","))


def numbers(text: str) -> tuple[int, ...]:
    """Numbers of trials or of GPUs with commas between them, as ``3,7,9``."""
    return tuple(_whole(part, name="seed") for part in text.split(","))


def resources(text: str) -> dict[str, float]:
    """Names and amounts with commas between them, as ``gpu=1,cpu=4``."""
    found = {}
    for part in text.split(","):
        name, _, amount = part.partition("=")
        if not (name.strip() and _RESOURCE.fullmatch(amount.strip())):
            raise click.BadParameter(f"{part!r} is not a resource and its amount, as gpu=1")
        found[name.strip()] = float(amount)
    return found


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them, as ``eager,openvino``, each once."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(names):
        raise click.BadParameter(f"{text!r} is not a list of names, as eager,openvino")
    return names


def number(text: str) -> float:
    """A number above zero such as ``5M``, ``400k``, ``4e6`` or ``1.2G``."""
    found = _AMOUNT.fullmatch(text.strip())
    number = float(found[1]) * _SCALES[(found[2] or "").lower()] if found else 0.0
    if not 0 < number < 1e30:
        raise click.BadParameter(f"{text!r} is not a number such as 5M or 4e6")
    return number


def percent(text: str) -> float:
    """A share, from 0 to 1, of ``70``, ``70%`` or ``0.7``; up to 1 it is the share itself."""
    written = text.strip()
    try:
        number = float(written.removesuffix("%"))
    except ValueError:
        number = -1.0
    is_percent = written.endswith("%") or number > 1
    number = number / 100 if is_percent else number
    if not 0 < number <= 1:
        raise click.BadParameter(f"{text!r} is not a percentage such as 70")
    return number


def time(text: str) -> float:
    """Seconds of a time such as ``90s``, ``20m``, ``1.5h`` or ``1h30m``."""
    from archbench.space.reader import parse_duration

    total = parse_duration(text)
    if total is None:
        raise click.BadParameter(f"{text!r} is not a time such as 90s, 20m or 1h30m")
    return total


def milliseconds(text: str) -> float:
    """Milliseconds of ``5``, ``5ms`` or ``0.1s``."""
    found = _LATENCY.fullmatch(text.strip().lower())
    number = float(found[1]) * (1e3 if found[2] == "s" else 1.0) if found else 0.0
    if not 0 < number < LARGEST:
        raise click.BadParameter(f"{text!r} is not a latency such as 5 or 5ms")
    return number


def _whole(text: str, *, name: str) -> int:
    digits, (low, high) = text.strip(), BOUNDS[name]
    is_whole = digits.isascii() and digits.isdigit() and len(digits) <= 18
    if not (is_whole and low <= int(digits) <= high):
        raise click.BadParameter(f"{text!r} is not a whole number from {low:,} to {high:,}")
    return int(digits)


def _keep_format(ctx: click.Context, param: click.Parameter, value: bool | str | None) -> None:
    """Keeps what ``--json`` or ``--format`` says; the former is the latter of JSON."""
    if value:
        ctx.meta[FORMAT] = "json" if value is True else value


def _keep_loudness(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[LOUDNESS] = param.name


JSON_ALONE = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_keep_format,
    help="Print one JSON document instead of text.",
)
_FORMAT = click.option(
    "--format",
    type=click.Choice(FORMATS),
    metavar="NAME",
    expose_value=False,
    callback=_keep_format,
    help="Form of the output: table, csv, md or json.",
)


_Function = TypeVar("_Function", bound=Callable[..., Any])


def JSON(function: _Function) -> _Function:  # noqa: N802  used as the options are
    """``--json``, and ``--format`` where a table is printed."""
    return _FORMAT(JSON_ALONE(function))


def with_loudness(command: click.Command) -> None:
    """Lets ``--quiet`` and ``--verbose`` stand behind a command, too, where its help is silent."""
    if not isinstance(command, click.Group) and all(p.name != "quiet" for p in command.params):
        QUIET(command)
        VERBOSE(command)
        for param in command.params:
            if isinstance(param, click.Option) and param.name in ("quiet", "verbose"):
                param.hidden = True


_loudness = partial(click.option, is_flag=True, expose_value=False, callback=_keep_loudness)
QUIET = _loudness("-q", "--quiet", help="Print only the result, warnings and errors.")
VERBOSE = _loudness(
    "-v", "--verbose", help="Print also what is usually left out, and traces of errors."
)
SET = click.option(
    "--set",
    "overrides",
    metavar="PATH=VALUE",
    multiple=True,
    help="Change a field, as in stages[all].block.kv_stride=1. Repeatable.",
)
folder = partial(click.option, metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))
RESULTS = folder("--results", default=RESULTS_FOLDER, help="Folder that holds the studies.")
DATA = click.option("--data", metavar="NAME", help=DATA_HELP)
CALIBRATION = click.option(
    "--data", metavar="NAME", help="Images on which int8 is calibrated, as folder:PATH."
)
DOWNLOAD = click.option("--download", is_flag=True, help="Download the data if they are missing.")
WORKERS = click.option(
    "--workers", type=whole("workers"), help="Number of trainings that run at the same time."
)
_ON = {
    "gpus": click.option(
        "--gpus", type=numbers, metavar="NUMBERS", help="GPUs to use, as 0,2; by default all."
    ),
    "trials_per_gpu": click.option(
        "--trials-per-gpu",
        metavar="NUMBER",
        type=whole("workers"),
        default=1,
        help="Number of trials that share a GPU.",
    ),
    "engine": click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        help="Where trials run: on this machine, or on a cluster by Ray.",
    ),
    "address": click.option(
        "--address", metavar="ADDRESS", help="Ray cluster to join, as auto or HOST:6379."
    ),
    "resources": click.option(
        "--resources",
        type=resources,
        metavar="AMOUNTS",
        help="What a trial takes of the cluster, as gpu=1,cpu=4.",
    ),
}


def machines(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of where trials run, which are handed over as one: ``machines``."""

    @wraps(command)
    def run(*arguments: Any, **how: Any) -> Any:
        from archbench.search.machines import Machines

        said = {name: how.pop(name) for name in _ON}
        said["resources"] = said["resources"] or {}
        return command(*arguments, machines=Machines(**said), **how)

    for one in reversed(_ON.values()):
        run = one(run)
    return run


max_minutes = partial(click.option, "--max-minutes", type=finite(0, is_open=True))
DRY_RUN = click.option("--dry-run", is_flag=True, help="Print what it would cost, and stop.")
SEED = click.option("--seed", type=whole("seed"), default=0)
RESOLUTION = click.option(
    "--resolution", type=pixels, help="Image size: a side, or height and width as 160x224."
)
BATCH = click.option("--batch", type=whole("batch"), default=1)
THREADS = click.option("--threads", type=whole("threads"), default=1)
BACKEND = click.option(
    "--backend", metavar="NAME", help="Backend; by default eager, or another device's runtime."
)
TARGET = click.option(
    "--device",
    metavar="NAME",
    default="cpu",
    help="Device: cpu, cuda, or one that archbench device added.",
)
DEVICE = click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu")


def typed_command(*without: str) -> str:
    """What the person typed, as one line for a shell, without some flags."""
    typed: Sequence[str] = click.get_current_context().obj or ()
    return command_line("archbench", *(word for word in typed if word not in without))


class ListByDefault(click.Group):
    """A group that lists when its first argument names none of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with ``list`` put in front where no command is named."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["list", *args]
        return super().parse_args(ctx, args)
