"""Options that several commands share; what reads a text raises BadParameter for any other."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from archbench.cli.console import IS_JSON
from archbench.command_line import RESULTS as RESULTS_FOLDER
from archbench.command_line import command_line

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*([kKmMgG]?)")
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
FILE = click.Path(path_type=Path, dir_okay=False)
COUNT = click.IntRange(min=1)
DATA_HELP = "What to train on: cluttered_digits, folder:PATH, cifar10:PATH."


def pixels(text: str) -> tuple[int, int]:
    """Height and width of a side in pixels or of ``160x224``."""
    sides = [_whole(side) for side in text.lower().split("x")]
    if len(sides) > 2:
        raise click.BadParameter(f"{text!r} is not a side or HEIGHTxWIDTH, as 224 or 160x224")
    return sides[0], sides[-1]


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers of at least 1 with commas between them, as ``1,16``."""
    return tuple(_whole(part) for part in text.split(","))


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
    from archbench.space.sections import parse_duration

    total = parse_duration(text)
    if total is None:
        raise click.BadParameter(f"{text!r} is not a time such as 90s, 20m or 1h30m")
    return total


def _whole(text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9 and int(digits) >= 1):
        raise click.BadParameter(f"{text!r} is not a whole number of at least 1")
    return int(digits)


def _keep_is_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    ctx.meta[IS_JSON] = value


JSON = click.option(
    "--json",
    is_flag=True,
    expose_value=False,
    callback=_keep_is_json,
    help="Print one JSON document instead of text.",
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
DOWNLOAD = click.option("--download", is_flag=True, help="Download the data if they are missing.")
WORKERS = click.option(
    "--workers", type=COUNT, help="Number of trainings that run at the same time."
)
max_minutes = partial(click.option, "--max-minutes", type=click.FloatRange(min=0, min_open=True))
DRY_RUN = click.option("--dry-run", is_flag=True, help="Print what it would cost, and stop.")
SEED = click.option("--seed", type=click.IntRange(min=0), default=0)
mirror = partial(
    click.option,
    "--mirror/--no-mirror",
    help="Mirror photos at random; not where left and right tell classes apart.",
)
RESOLUTION = click.option(
    "--resolution", type=pixels, help="Image size: a side, or height and width as 160x224."
)
BATCH = click.option("--batch", type=COUNT, default=1)
THREADS = click.option("--threads", type=COUNT, default=1)
BACKEND = click.option("--backend", metavar="NAME", default="eager")
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
