"""``archbench retrain``: does the order of the best designs hold in full training?"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, names, option, training
from archbench.cli.main import parked
from archbench.command_line import study_argument
from archbench.errors import NEGATIVE_RESULT, UsageError

if TYPE_CHECKING:
    from archbench.analysis.wish import Wish
    from archbench.evaluate.training import Weights
    from archbench.models import ArchSpec
    from archbench.report.finding import Finding
    from archbench.search.retraining import RetrainingPlan

_LIMITS = ("latency_ms", "params", "macs")


@click.command()
@click.argument("study")
@click.option(
    "--latency",
    "latency_ms",
    type=option.milliseconds,
    metavar="MS",
    multiple=True,
    help="Take the pick below this latency, in ms, as archbench pick does: 5 or 5ms. Repeatable.",
)
@click.option("--params", type=option.number, multiple=True, help="At most so many parameters: 5M.")
@click.option("--macs", type=option.number, multiple=True, help="At most so many MACs: 400M.")
@click.option(
    "--top",
    type=option.whole("trainings"),
    default=3,
    help="Train so many designs in all: the picks, and who may be as good.",
)
@click.option(
    "--trials", type=option.numbers, metavar="NUMBERS", help="Train these instead, as 3,7,9."
)
@click.option("--seeds", type=option.whole("seeds"), default=1, help="Trainings of each design.")
@click.option(
    "--data", metavar="NAME", help="What to train on; by default what the search trained on."
)
@training.options
@click.option(
    "--set",
    "settings",
    metavar="recipe.FIELD=VALUE",
    multiple=True,
    help="Change a field of the recipe. Repeatable.",
)
@option.DRY_RUN
@option.RESULTS
@option.JSON
def command(
    study: str,
    *,
    trials: tuple[int, ...] | None,
    teacher: str | None,
    dry_run: bool,
    results: Path,
    **asked: Any,
) -> int:
    """Train the best of STUDY in full, and say whether their order held.

    STUDY is the folder of a study or its name. Trained are the pick, as archbench pick would choose
    it, and its runners-up; without a limit the pick is the most accurate design within the study's
    own. archbench pick, export and predict go by these trainings from then on.
    Exit code 1 means that a runner-up overtook the first. Ctrl-C parks it; the same command
    continues.
    """
    from archbench.report.findings import retraining as findings
    from archbench.search.retraining import RetrainingPlan, retrain

    limits = {name: asked.pop(name) for name in _LIMITS}
    if trials and any(limits.values()):
        raise UsageError("trials that are named have no limits", place="--trials")
    path, typed = names.study_path(study, results=results), option.typed_command("--json")
    try:
        with console.Meter() as progress:

            def train(spec: ArchSpec, *, folder: Path, **how: Any) -> Weights:
                weights = training.trained(spec, progress, folder=folder, **how)
                network = f"{study_argument(path)}:{spec.name.rpartition(':')[2]}"
                training.write(weights, network=network, folder=folder, again=typed)
                return weights

            found = retrain(
                path,
                wishes=_wishes(limits),
                trials=trials or (),
                teacher=training.teacher(teacher, results=results),
                dry_run=dry_run,
                on_plan=lambda plan: None if dry_run else progress.say(_plan(plan).text()),
                on_note=progress.say,
                train=train,
                **asked,
            )
    except KeyboardInterrupt as stop:
        told = "what was being trained is parked at its last checkpoint"
        raise parked(stop, told, place=str(path), help=f"go on with: {typed}") from None
    if isinstance(found, RetrainingPlan):
        console.tell(_plan(found, next_step=option.typed_command("--dry-run", "--json")))
        return 0
    from archbench.analysis.study import open_study

    console.tell(findings.finding(open_study(path)))
    return NEGATIVE_RESULT if found.state == "overtaken" else 0


def _plan(plan: RetrainingPlan, *, next_step: str = "") -> Finding:
    from archbench.report.findings import retraining as findings

    designs = list(plan.designs)
    return findings.planned(plan.document(), study=plan.study, designs=designs, next_step=next_step)


def _wishes(limits: dict[str, tuple[float, ...]]) -> list[Wish]:
    """A wish for each combination of the limits; none without one."""
    from archbench.analysis.wish import Wish

    given = {name: values for name, values in limits.items() if values}
    every = [dict(zip(given, values, strict=True)) for values in product(*given.values())]
    return [Wish(limits=one) for one in every] if given else []
