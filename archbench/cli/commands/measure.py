"""``archbench measure``: does the front of a study stand on another device, too?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line, study_argument

if TYPE_CHECKING:
    from archbench.evaluate.remeasure import Which


@click.command()
@click.argument("study")
@option.TARGET
@option.BACKEND
@click.option("--precision", metavar="NAME", help="That of the search by default.")
@click.option("--batch", type=option.whole("batch"), help="That of the search by default.")
@click.option("--threads", type=option.whole("threads"), help="Those of the search by default.")
@click.option(
    "--trials",
    type=click.Choice(["front", "all"]),
    default="front",
    help="Networks to time: those of the front, or all that were trained to the end.",
)
@option.RESULTS
@option.JSON
def command(study: str, *, trials: Which, results: Path, **how: Any) -> None:
    """Time the networks of a STUDY again elsewhere, and say what becomes of its front.

    Nothing is trained. The front by the new times is written beside the study's own tables.
    """
    from archbench.evaluate.remeasure import measure_elsewhere
    from archbench.measure.device.known import default_backend
    from archbench.report.findings.front import elsewhere

    path = names.study_path(study, results=results)
    how["backend"] = how["backend"] or default_backend(how["device"])
    with console.Meter() as progress:
        document, front = measure_elsewhere(path, trials=trials, on_progress=progress, **how)
    step = (
        f"{option.typed_command()} --trials all"
        if trials == "front"
        else command_line("archbench", "report", study_argument(path))
    )
    finding = elsewhere(document, front=front, next_step=step)
    console.tell(finding, files=[Path(file) for file in document["files"]])
