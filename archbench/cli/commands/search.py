"""``archbench search``: which networks of a space are worth having?"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archbench.cli import console
from archbench.cli.option import json_option, results_option, seconds, set_option, typed_command
from archbench.errors import NEGATIVE_RESULT, UsageError

if TYPE_CHECKING:
    from archbench.analysis.study import StudyReader
    from archbench.cli.progress import SearchProgress
    from archbench.search.events import Listener

PLAN_SCHEMA = "archbench.plan/1"
_OF_A_SEARCH = (
    "trials", "time_limit_s", "overrides", "data", "earlier", "resume", "dry_run", "sampler",
    "seed",
)  # fmt: skip


@click.command()
@click.argument("space")
@click.option("--trials", type=click.IntRange(min=1), help="How many; the space says by default.")
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Begin no trial after so many trained epochs."
)
@click.option(
    "--time", "time_limit_s", metavar="TIME", callback=seconds, help="Stop after 90s, 20m, 1h30m."
)
@set_option
@click.option(
    "--data", metavar="NAME", help="What to train on: cluttered_digits, folder:PATH, cifar10:PATH."
)
@click.option("--download", is_flag=True, help="Allow the data to be fetched.")
@click.option("--name", help="Name of the study; that of the space by default.")
@click.option(
    "--from",
    "earlier",
    metavar="STUDY",
    multiple=True,
    help="Start from an earlier study: its trials count as done where nothing differs. Repeatable.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with a study where it stood; --trials gives it more, a wider SPACE more to choose.",
)
@click.option(
    "--confirm", is_flag=True, help="Confirm the front of the study SPACE, and search nothing."
)
@click.option(
    "--confirm-budget",
    metavar="SHARE|TIME",
    help="What training those in doubt again may take at the end: 20% of the search's time, 10m.",
)
@click.option("--dry-run", is_flag=True, help="Say what it would cost, and stop.")
@click.option(
    "--sampler",
    metavar="NAME",
    help="What proposes: cost_aware, tpe, nsga2, gp, random, optuna:CLASS or hub:PACKAGE[:CLASS].",
)
@click.option(
    "--pruner", metavar="NAME", help="What stops hopeless trials: curve, promotion or none."
)
@click.option("--workers", type=click.IntRange(min=1), help="Trials at a time.")
@click.option("--seed", type=click.IntRange(min=0), help="Of all that is random in the search.")
@click.option(
    "--certify/--no-certify",
    default=None,
    help="Begin with a certificate of the proxy; long searches do by themselves.",
)
@results_option
@json_option
def command(
    space: str,
    trials: int | None,
    epochs: int | None,
    time_limit_s: float | None,
    overrides: tuple[str, ...],
    data: str | None,
    download: bool,
    name: str | None,
    earlier: tuple[str, ...],
    resume: bool,
    confirm: bool,
    confirm_budget: str | None,
    dry_run: bool,
    sampler: str | None,
    pruner: str | None,
    workers: int | None,
    seed: int | None,
    certify: bool | None,
    results: Path,
    as_json: bool,
) -> int:
    """Search SPACE, a file or the name of one that comes with archbench.

    Shows the front as it grows, and confirms it at the end. Ctrl-C parks the study; --resume goes
    on with it.
    """
    from archbench.cli.progress import SearchProgress, shown
    from archbench.cli.study import next_after, show, study_path
    from archbench.report import write_report
    from archbench.search import events, search
    from archbench.space import SearchSpace

    if confirm:
        _refuse_search_options()
    progress = SearchProgress()
    hidden = events.Prepared if dry_run else None  # then it is the result
    with shown(progress, quiet=as_json, hidden=hidden) as listener:
        study = (
            _confirmed(
                space,
                name=name,
                results=results,
                budget=confirm_budget,
                workers=workers,
                download=download,
                listener=listener,
            )
            if confirm
            else search(
                SearchSpace.load(space, overrides=overrides),
                trials=trials,
                epochs=epochs,
                time_limit_s=time_limit_s,
                name=name,
                results=results,
                resume=resume,
                data=data,
                download=download,
                workers=workers,
                seed=seed,
                sampler=sampler,
                pruner=pruner,
                certify=certify,
                confirm_budget=confirm_budget,
                dry_run=dry_run,
                start_from=[study_path(study, results=results) for study in earlier],
                on_event=listener,
            )
        )
    if study is None:
        _show_plan(progress, as_json=as_json)
        return 0
    files = write_report(study, study.path / "report")
    if as_json:
        console.document(study.document())
    else:
        show(study, files=[study.path / "study.db", *files])
        page = next((path for path in files if path.suffix == ".html"), None)
        console.next_step(next_after(study, page=page))
    return 0 if study.front_records() else NEGATIVE_RESULT


def _refuse_search_options() -> None:
    """Only what says how to confirm may stand beside ``--confirm``.

    Raises:
        UsageError: Something else does.
    """
    from click.core import ParameterSource

    ctx = click.get_current_context()
    said = [
        name
        for name in _OF_A_SEARCH
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
    ]
    if said:
        option = next(p.opts[0] for p in ctx.command.params if p.name == said[0])
        raise UsageError(
            "a confirmation searches nothing",
            place=option,
            help=f"leave out {option}, or leave out --confirm",
        )


def _confirmed(
    text: str,
    *,
    name: str | None,
    results: Path,
    budget: str | None,
    workers: int | None,
    download: bool,
    listener: Listener,
) -> StudyReader:
    """The study behind ``--name``, or behind SPACE: its folder, its name, or its space's."""
    from archbench.cli.study import study_path
    from archbench.search.confirming import confirm

    is_space = text.endswith((".yaml", ".yml"))
    named = name or (Path(text).stem if is_space else text)
    path = results / named if name or is_space else study_path(named, results=results)
    return confirm(path, budget=budget, workers=workers, download=download, on_event=listener)


def _show_plan(progress: SearchProgress, *, as_json: bool) -> None:
    """What a dry run found."""
    from archbench.cli.progress import preparation

    found = progress.prepared
    assert found is not None, "a dry run ends with the preparation"
    if as_json:
        known = {**asdict(found), "path": str(found.path)}
        console.document({"schema": PLAN_SCHEMA, **known})
        return
    console.result("\n".join(preparation(found, now=datetime.now())))
    console.next_step(typed_command(click.get_current_context(), without=("--dry-run",)))
