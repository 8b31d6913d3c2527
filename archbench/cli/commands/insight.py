"""``archbench insight``: which choices of a study matter, and where do its bounds cut?"""

from pathlib import Path

import click

from archbench.cli import console, names, option


@click.command()
@click.argument("study")
@option.RESULTS
@option.JSON
def command(study: str, results: Path) -> None:
    """Which choices matter in STUDY: for accuracy at equal cost, and for the cost?

    Shares of variance with their 95 % intervals, pairs that work together, values that never help
    and ends of axes at which the front lies. What chance could explain is marked.
    """
    from archbench.analysis.study import open_study
    from archbench.report.findings import importance

    found = open_study(names.study_path(study, results=results))
    console.tell(importance.finding(found))
