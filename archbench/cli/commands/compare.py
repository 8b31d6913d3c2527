"""``archbench compare``: which network is faster here, and is that more than chance?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line
from archbench.errors import NegativeResultError, UsageError

if TYPE_CHECKING:
    from archbench.models import ArchSpec

_NUMBERED = re.compile(r"(\d+):(.+)")


@click.command()
@click.argument("networks", metavar="A B...", nargs=-1, required=True)
@click.option(
    "--set",
    "overrides",
    metavar="[NUMBER:]PATH=VALUE",
    multiple=True,
    help="Change a field of every network, or of the one at this place: "
    "2:stages[all].block.mlp_ratio=4. Repeatable.",
)
@click.option(
    "--fail-if",
    metavar="LIMIT",
    help="End with 1 if a network is slower:3%, faster:3% or either:3% beside the first (or "
    "beside its stored self): by more than that, with an interval that excludes a tie.",
)
@click.option("--save", type=option.FILE, help="Store the result for later comparisons.")
@click.option("--against", type=option.FILE, help="Compare with a stored result, too.")
@option.BATCH
@option.RESOLUTION
@option.THREADS
@option.TARGET
@option.BACKEND
@click.option("--precision", metavar="NAME", default="fp32")
@option.CALIBRATION
@click.option(
    "--seconds",
    "budget_s",
    type=option.finite(0.5),
    default=3.0,
    help="Time limit for each network.",
)
@option.RESULTS
@option.JSON
def command(
    networks: tuple[str, ...],
    *,
    overrides: tuple[str, ...],
    fail_if: str | None,
    save: Path | None,
    against: Path | None,
    results: Path,
    **how: Any,
) -> None:
    """Say which network is faster, all timed in turn in one process.

    Each network is named as for archbench profile; A is the reference. A difference is one where
    the 95 % interval of the ratio leaves out 1; all else is a tie. The same network twice shows
    what this machine can resolve.
    """
    from archbench.evaluate import comparison
    from archbench.measure.device.known import default_backend
    from archbench.report.findings import speed

    limit = speed.Limit.read(fail_if) if fail_if else None
    stored = comparison.read_stored(against) if against else None
    how["backend"] = how["backend"] or default_backend(how["device"])
    contestants = _networks(networks, overrides=overrides, results=results)
    with console.Meter() as progress:
        found = comparison.compare(contestants, against=stored, on_progress=progress, **how)
    document = found.document()
    if save:
        comparison.save(found, save)
    console.tell(speed.comparison(document))
    if limit:
        judged = [
            pair for pair in document["pairs"] if pair["first"] == document["networks"][0]["name"]
        ]
        _judge([*judged, *document["stored"]], limit=limit, text=fail_if or "")
    if not console.is_json():
        console.next_step(_next(networks, saved=save, against=against))


def _networks(
    texts: Sequence[str], *, overrides: Sequence[str], results: Path
) -> list[ArchSpec | str]:
    changes: dict[int, list[str]] = {place: [] for place, _ in enumerate(texts, start=1)}
    for override in overrides:
        numbered = _NUMBERED.fullmatch(override)
        for place in [int(numbered[1])] if numbered else changes:
            if place not in changes:
                raise UsageError(
                    f"there is no network {place}",
                    place=f"--set {override}",
                    help=f"the networks are numbered 1 to {len(texts)}",
                )
            changes[place].append(numbered[2] if numbered else override)
    return [
        names.opened(text, overrides=changes[place], results=results)
        for place, text in enumerate(texts, start=1)
    ]


def _judge(pairs: Sequence[Mapping[str, Any]], *, limit: Any, text: str) -> None:
    from archbench.report.findings.speed import sentence

    broken = [sentence(pair) for pair in pairs if limit.is_broken_by(pair)]
    unknown = [sentence(pair) for pair in pairs if pair["outcome"] == "unknown"]
    if broken or unknown:
        raise NegativeResultError(
            "; ".join([*broken, *unknown]),
            place=f"--fail-if {text}",
            help="archbench profile A B shows what each costs",
        )
    if any(limit.is_out_of_sight(pair) for pair in pairs):
        console.warn(
            f"the intervals are too wide to resolve {100 * limit.share:g} %: give more "
            "--seconds or a quieter machine (archbench doctor)"
        )


def _next(networks: Sequence[str], *, saved: Path | None, against: Path | None) -> str:
    """The command of a test that ends with 1 where a network has become slower."""
    kept = saved or against
    since = ("--against", kept) if kept else ()
    return command_line("archbench", "compare", *networks, *since, "--fail-if", "slower:3%")
