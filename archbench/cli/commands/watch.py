"""``archbench watch``: a study in the terminal, as it stands while its search runs."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path

import click

from archbench.cli import console, names, option


@click.command()
@click.argument("study")
@click.option(
    "--every",
    type=option.finite(0.2, 3600),
    default=2.0,
    metavar="SECONDS",
    help="How often it looks.",
)
@option.RESULTS
@option.JSON
def command(study: str, every: float, results: Path) -> None:
    """Show how STUDY stands, until its search ends.

    It reads the study's folder, so it may run in another terminal than the
    search, and Ctrl-C ends it alone. Where stderr is no terminal each change
    is a line.
    """
    from archbench.analysis.study import open_study
    from archbench.cli.progress import picture
    from archbench.report.findings import front
    from archbench.report.findings.standing import stamp, standing
    from archbench.study.study_folder import resume_command

    path = open_study(names.study_path(study, results=results)).path
    is_drawn = console.is_terminal(sys.stderr)
    is_told = not is_drawn and not console.is_json()
    before, now, told = stamp(path), standing(path), ""
    with picture(lambda: now) if is_drawn else nullcontext():
        while True:
            if is_told and now.headline() != told:
                told = now.headline()
                console.note(told)
            if not now.is_running:
                break
            time.sleep(every)
            if (latest := stamp(path)) != before:
                before, now = latest, standing(path)
    if now.trials_done < now.trials and not console.is_json():
        console.note(f"its search has not ended; go on with it: {resume_command(path)}")
    console.tell(front.finding(now.study))
