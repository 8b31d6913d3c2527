"""``archbench certify``: can this proxy rank this space?"""

from __future__ import annotations

from pathlib import Path

import click

from archbench.cli import console
from archbench.cli.option import json_option, results_option, set_option, typed_command
from archbench.errors import NEGATIVE_RESULT


@click.command()
@click.argument("space", required=False)
@click.option(
    "--candidates",
    type=click.IntRange(min=8),
    help="In the sample, spread over the MACs; 32 by default.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    help="Trainings of each candidate, of either length; 2 by default.",
)
@click.option(
    "--longer",
    metavar="EPOCHS",
    type=click.IntRange(min=2),
    help="Of the trainings that judge the proxy; twice its own by default.",
)
@set_option
@click.option(
    "--data", metavar="NAME", help="What to train on: cluttered_digits, folder:PATH, cifar10:PATH."
)
@click.option("--download", is_flag=True, help="Allow the data to be fetched.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the sample and of all trainings.")
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Plan fewer candidates, then fewer seeds, to take no longer.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Trainings at a time.")
@click.option("--name", help="Of its folder; certify-SPACE by default.")
@click.option("--resume", is_flag=True, help="Go on where it stood; SPACE may be left out.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and stop.")
@results_option
@json_option
def command(
    space: str | None,
    candidates: int | None,
    seeds: int | None,
    longer: int | None,
    overrides: tuple[str, ...],
    data: str | None,
    download: bool,
    seed: int | None,
    max_minutes: float | None,
    workers: int | None,
    name: str | None,
    resume: bool,
    dry_run: bool,
    results: Path,
    as_json: bool,
) -> int:
    """Can the proxy of SPACE rank it? Trains a sample as the search would, and longer.

    Says how well the short trainings order candidates, at large and at equal cost, and ends with
    code 1 where a front that they find is not to be trusted. Ctrl-C parks it.
    """
    from archbench.cli.certificate import show, show_design
    from archbench.cli.console import meter
    from archbench.search.certificate import certify
    from archbench.search.certificate_design import Design
    from archbench.space import SearchSpace

    typed = typed_command(click.get_current_context(), without=("--resume", "--json"))
    with meter(quiet=as_json) as told:
        found = certify(
            SearchSpace.load(space, overrides=overrides) if space else None,
            candidates=candidates,
            seeds=seeds,
            longer=longer,
            data=data,
            seed=seed,
            max_minutes=max_minutes,
            workers=workers,
            download=download,
            name=name,
            results=results,
            resume=resume,
            dry_run=dry_run,
            command=typed,
            on_progress=told,
            on_note=told.say,
        )
    if isinstance(found, Design):
        show_design(found, as_json=as_json)
        if not as_json:
            console.next_step(typed_command(click.get_current_context(), without=("--dry-run",)))
        return 0
    show(found, as_json=as_json)
    return 0 if found.is_certified else NEGATIVE_RESULT
