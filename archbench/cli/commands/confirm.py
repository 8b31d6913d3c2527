"""``archbench confirm``: whose place on the front of a study is uncertain?"""

from pathlib import Path
from typing import Any

import click

from archbench.cli import console, names, option


@click.command()
@click.argument("study")
@click.option(
    "--budget",
    metavar="SHARE|TIME",
    help="Time for training uncertain candidates again: 10m, or 20% of the search.",
)
@option.WORKERS
@option.DOWNLOAD
@option.RESULTS
@option.JSON
def command(study: str, *, budget: str | None, results: Path, **how: Any) -> int:
    """Confirm the front of STUDY without searching on.

    STUDY is the folder of a study or its name. Candidates whose place on the front is uncertain
    are timed again and trained with more seeds, until the front is certain or the budget is spent.
    Ctrl-C parks it; the same command continues.
    """
    from archbench.cli.progress import SearchProgress, shown
    from archbench.search import confirm
    from archbench.search.settings import parse_budget

    if budget is not None:
        parse_budget(budget, place="--budget")
    path = names.study_path(study, results=results)
    with shown(SearchProgress()) as listener:
        found = confirm(path, budget=budget, on_event=listener, **how)
    return console.tell_study(found)
