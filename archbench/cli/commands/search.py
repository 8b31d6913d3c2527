"""``archbench search``: which networks of a space are worth having?"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archbench.cli import console, option
from archbench.command_line import command_line
from archbench.errors import UsageError

if TYPE_CHECKING:
    from archbench.cli.progress import SearchProgress

PLAN_SCHEMA = "archbench.plan/1"
_OF_A_CONFIRMATION = {
    "space", "confirm", "confirm_budget", "workers", "download", "name", "results", "as_json",
}  # fmt: skip


@click.command()
@click.argument("space")
@click.option("--trials", type=option.COUNT, help="How many; the space says by default.")
@click.option("--epochs", type=option.COUNT, help="Begin no trial after so many trained epochs.")
@click.option(
    "--time",
    "time_limit_s",
    metavar="TIME",
    callback=option.seconds,
    help="Stop after 90s, 20m, 1h30m.",
)
@option.SET
@option.DATA
@option.DOWNLOAD
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
    "--confirm", is_flag=True, help="Type archbench confirm STUDY instead; this option will go."
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
@click.option("--workers", type=option.COUNT, help="Trials at a time.")
@click.option("--seed", type=click.IntRange(min=0), help="Of all that is random in the search.")
@click.option(
    "--certify/--no-certify",
    default=None,
    help="Begin with a certificate of the proxy; long searches do by themselves.",
)
@option.RESULTS
@option.JSON
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
    from archbench.cli.names import study_path
    from archbench.cli.progress import SearchProgress, shown
    from archbench.search import confirm as run_confirmation
    from archbench.search import events, search
    from archbench.space import SearchSpace

    if confirm:
        path = _study_to_confirm(space, name=name, results=results)
        _refuse_search_options(path, as_json=as_json)
    progress = SearchProgress()
    hidden = events.Prepared if dry_run else None  # then it is the result
    with shown(progress, quiet=as_json, hidden=hidden) as listener:
        study = (
            run_confirmation(
                path, budget=confirm_budget, workers=workers, download=download, on_event=listener
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
    return console.tell_study(study, as_json=as_json)


def _refuse_search_options(path: Path, *, as_json: bool) -> None:
    """Only what says how to confirm may stand beside ``--confirm``, which is to go.

    Raises:
        UsageError: Something else does.
    """
    from click.core import ParameterSource

    ctx = click.get_current_context()
    instead = command_line("archbench", "confirm", path)
    for param in ctx.command.params:
        is_said = ctx.get_parameter_source(str(param.name)) == ParameterSource.COMMANDLINE
        if is_said and param.name not in _OF_A_CONFIRMATION:
            said = "/".join((*param.opts, *param.secondary_opts))
            raise UsageError(
                "a confirmation searches nothing",
                place=said,
                help=f"leave out {said} and type: {instead}; or leave out --confirm",
            )
    if not as_json:
        console.warn(f"search --confirm becomes archbench confirm; type: {instead}")


def _study_to_confirm(text: str, *, name: str | None, results: Path) -> Path:
    """The study behind ``--name``, or behind SPACE: its folder, its name, or its space's."""
    from archbench.cli.names import study_path

    is_space = text.endswith((".yaml", ".yml"))
    named = name or (Path(text).stem if is_space else text)
    return results / named if name or is_space else study_path(named, results=results)


def _show_plan(progress: SearchProgress, *, as_json: bool) -> None:
    """What a dry run found."""
    from archbench.cli.progress import preparation
    from archbench.report.element import Code
    from archbench.report.finding import Finding

    found = progress.prepared
    assert found is not None, "a dry run ends with the preparation"
    plan = Finding(
        document={"schema": PLAN_SCHEMA, **asdict(found), "path": str(found.path)},
        parts=[Code("\n".join(preparation(found, now=datetime.now())))],
        next_step=option.typed_command("--dry-run"),
    )
    console.tell(plan, as_json=as_json)
