"""``archbench search``: which networks of a space are worth having?"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from archbench.cli import console, names, option
from archbench.command_line import command_line
from archbench.errors import UsageError

if TYPE_CHECKING:
    from archbench.cli.progress import SearchProgress

PLAN_SCHEMA = "archbench.plan/1"
_TARGET = ("device", "backend", "precision", "batch", "threads")
_OF_A_CONFIRMATION = {
    "space", "confirm", "confirm_budget", "workers", "download", "name", "results", "json",
}  # fmt: skip


@click.command()
@click.argument("space")
@click.option(
    "--trials", type=option.whole("trials"), help="Number of trials; by default that of the space."
)
@click.option(
    "--epochs",
    type=option.whole("trained epochs"),
    help="Begin no trial after so many trained epochs.",
)
@click.option(
    "--time",
    "time_limit_s",
    type=option.time,
    help="Begin no trial after this time: 90s, 20m, 1h30m.",
)
@click.option(
    "--hours",
    metavar="HOURS",
    type=option.finite(0, is_open=True),
    help="Plan a new search for so many hours: resolution, images, epochs and trials.",
)
@click.option(
    "--latency",
    "latency_ms",
    metavar="MS",
    type=option.milliseconds,
    help="Train no candidate that is slower, in ms: 5 or 5ms.",
)
@option.SET
@click.option(
    "--device",
    metavar="NAME",
    help="Device to search for: cpu, cuda, cuda:1, or one that archbench device added.",
)
@click.option(
    "--backend",
    metavar="NAME",
    help="Runtime to search for: eager, onnxruntime, openvino and others; auto is the fastest.",
)
@click.option("--precision", metavar="NAME", help="Precision to search for; fp32,int8 is both.")
@click.option("--batch", type=option.whole("batch"), help="Images per forward pass.")
@click.option("--threads", type=option.whole("threads"), help="Threads of a forward pass.")
@option.DATA
@option.DOWNLOAD
@click.option("--name", help="Name of the study; by default that of the space.")
@click.option(
    "--from",
    "earlier",
    metavar="STUDY",
    multiple=True,
    help="Take over the trials of an earlier study that was made alike. Repeatable.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue a study; --trials adds trials, and a wider SPACE adds candidates.",
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help="With --resume: run the trials again that failed by a crash or a timeout.",
)
@click.option("--confirm", is_flag=True, help="Deprecated: use archbench confirm STUDY.")
@click.option(
    "--confirm-budget",
    metavar="SHARE|TIME",
    help="Time for training uncertain candidates again at the end: 10m, or 20% of the search.",
)
@click.option("--dry-run", is_flag=True, help="Print what the search would cost, and stop.")
@click.option(
    "--sampler",
    metavar="NAME",
    help="Sampler: cost_aware, tpe, nsga2, gp, random, optuna:CLASS or hub:PACKAGE[:CLASS].",
)
@click.option(
    "--pruner", metavar="NAME", help="Pruner, which stops trials early: curve, promotion or none."
)
@click.option(
    "--workers", type=option.whole("workers"), help="Number of trials that run at the same time."
)
@option.machines
@click.option("--seed", type=option.whole("seed"), help="Seed of all random choices of the search.")
@click.option(
    "--certify/--no-certify",
    default=None,
    help="Certify the proxy first; by default if the search is long.",
)
@option.RESULTS
@option.JSON
def command(
    space: str,
    *,
    overrides: tuple[str, ...],
    latency_ms: float | None,
    earlier: tuple[str, ...],
    confirm: bool,
    results: Path,
    **how: Any,
) -> int:
    """Search SPACE, a file or the name of one that comes with archbench.

    Shows the front as it grows, and confirms it at the end. Ctrl-C parks the study; --resume goes
    on with it. --device, --backend, --precision, --batch and --threads stand for --set
    target.device=NAME and so on.
    """
    from archbench.cli.progress import SearchProgress, shown
    from archbench.search import events, search
    from archbench.space import SearchSpace

    target = {name: how.pop(name) for name in _TARGET}
    if confirm:
        return _confirmed(space, results=results, **how)
    if latency_ms is not None:
        overrides = (*overrides, f"limits.latency_ms={latency_ms:g}")
    progress = SearchProgress()
    hidden = (events.Planned, events.Prepared) if how["dry_run"] else ()  # then they are the result
    with shown(progress, hidden=hidden) as listener:
        study = search(
            SearchSpace.load(space, overrides=(*overrides, *_settings(**target))),
            results=results,
            start_from=[names.study_path(study, results=results) for study in earlier],
            on_event=listener,
            **how,
        )
    if study is None:
        _show_plan(progress)
        return 0
    return console.tell_study(study)


def _settings(*, precision: str | None, **said: Any) -> list[str]:
    """What is said of the target, as settings of a space; a fault is told of its option."""
    from archbench.space.sections import TargetSection, override

    override(TargetSection(), **said)
    said["precision"] = precision and f"[{precision}]"
    return [f"target.{name}={value}" for name, value in said.items() if value is not None]


def _confirmed(text: str, *, name: str | None, results: Path, **how: Any) -> int:
    """``--confirm``, which is to go: the study of ``--name``, of a folder, a name or a space."""
    from archbench.cli.progress import SearchProgress, shown
    from archbench.search import confirm

    is_space = text.endswith((".yaml", ".yml"))
    named = name or (Path(text).stem if is_space else text)
    path = results / named if name or is_space else names.study_path(named, results=results)
    ctx = click.get_current_context()
    instead = command_line("archbench", "confirm", path)
    for param in ctx.command.params:
        is_said = ctx.get_parameter_source(str(param.name)) == ParameterSource.COMMANDLINE
        if is_said and param.name not in _OF_A_CONFIRMATION:
            said = "/".join((*param.opts, *param.secondary_opts))
            raise UsageError(
                "a confirmation does not search",
                place=said,
                help=f"leave out {said} and type: {instead}; or leave out --confirm",
            )
    if not console.is_json():
        console.warn(f"search --confirm becomes archbench confirm; type: {instead}")
    options = {key: how[key] for key in ("workers", "download")}
    with shown(SearchProgress()) as listener:
        found = confirm(path, budget=how["confirm_budget"], on_event=listener, **options)
    return console.tell_study(found)


def _show_plan(progress: SearchProgress) -> None:
    """What a dry run found."""
    from archbench.cli.progress import preparation
    from archbench.report.element import Code
    from archbench.report.finding import Finding

    found = progress.prepared
    assert found is not None, "a dry run ends with the preparation"
    document = {"schema": PLAN_SCHEMA, **asdict(found), "plan": progress.plan}
    document["path"] = str(found.path)
    text = Code("\n".join([*progress.plan, *preparation(found, now=datetime.now())]))
    console.tell(Finding(document, [text], option.typed_command("--dry-run")))
