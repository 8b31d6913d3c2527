"""``archbench measure``: does the front of a study stand on another device, too?"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archbench.cli import console
from archbench.cli.option import json_option, results_option
from archbench.command_line import command_line, study_argument
from archbench.report.text import WIDTH

if TYPE_CHECKING:
    from archbench.evaluate.remeasure import Elsewhere, Which
    from archbench.study.measurement import Verdict

_DOUBTS: dict[Verdict, str] = {
    "disturbed": "measure again on a quiet machine (archbench doctor says why)",
    "incomplete": "they have no value, and --json says why",
}


@click.command()
@click.argument("study")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--backend", metavar="NAME", default="eager", show_default=True)
@click.option("--precision", metavar="NAME", help="That of the search by default.")
@click.option("--batch", type=click.IntRange(min=1), help="That of the search by default.")
@click.option("--threads", type=click.IntRange(min=1), help="Those of the search by default.")
@click.option(
    "--trials",
    type=click.Choice(["front", "all"]),
    default="front",
    show_default=True,
    help="Which networks: those of the front, or all that were trained to the end.",
)
@results_option
@json_option
def command(
    study: str,
    device: str,
    backend: str,
    precision: str | None,
    batch: int | None,
    threads: int | None,
    trials: Which,
    results: Path,
    as_json: bool,
) -> None:
    """Time the networks of a STUDY again elsewhere, and say what becomes of its front.

    Nothing is trained. The front by the new times is written beside the study's own tables.
    """
    from archbench.cli.console import meter
    from archbench.cli.names import study_path
    from archbench.evaluate.remeasure import measure_elsewhere

    path = study_path(study, results=results)
    with meter(quiet=as_json) as told:
        found = measure_elsewhere(
            path,
            device=device,
            backend=backend,
            precision=precision,
            batch=batch,
            threads=threads,
            trials=trials,
            on_progress=told,
        )
    if as_json:
        console.document(found.document())
        return
    console.result(_text(found))
    named = study_argument(path)
    target = ("--device", device, "--backend", backend, "--trials", "all")
    again = command_line("archbench", "measure", named, *target)
    console.next_step(
        f"{again} also says what was lost by not searching there"
        if trials == "front"
        else command_line("archbench", "report", named)
    )


def _text(found: Elsewhere) -> str:
    from archbench.report.findings.front import front_table

    moved = found.transfer
    parts = [f"{found.study}: {len(found.trials)} networks on {found.conditions}"]
    parts.append(front_table(found.front) if found.front else "no network stands on a front here")
    lines = [
        f"on the front of the search and of this device: {_listed(moved.kept)}",
        f"on the front of the search only: {_listed(moved.left)}",
        f"on the front of this device only: {_listed(moved.joined)}",
    ]
    if moved.kendall_tau is not None:
        lines.append(
            f"rank correlation of both latencies (Kendall's tau): {moved.kendall_tau:.2f} over "
            f"{moved.compared} networks"
        )
    if moved.lost is not None:
        lines.append(
            f"without a search here {100 * moved.lost:.1f} % of the hypervolume are lost, of what "
            "this study has trained"
        )
    verdicts = [record.latency.verdict for record in found.trials if record.latency]
    for verdict, meaning in _DOUBTS.items():
        if number := verdicts.count(verdict):
            lines.append(f"{number} of {len(verdicts)} latencies are {verdict}: {meaning}")
    parts.append("\n".join(map(_wrapped, lines)))
    parts.append("written:\n" + "\n".join(f"  {path}" for path in found.files))
    return "\n\n".join(parts)


def _listed(numbers: tuple[int, ...]) -> str:
    return f"trials {', '.join(map(str, numbers))}" if numbers else "none"


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
