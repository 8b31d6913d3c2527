"""``archbench pick``: which one network of a study to take?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line, study_argument
from archbench.errors import UsageError

if TYPE_CHECKING:
    from archbench.analysis.pick import Pick
    from archbench.analysis.wish import Wish

_OPTIONS = {"latency_ms": "--latency", "params": "--params", "macs": "--macs"}


@click.command()
@click.argument("study")
@click.option(
    "--latency",
    "latency_ms",
    type=option.milliseconds,
    metavar="MS",
    help="Pick the most accurate design below this latency, in ms: 5 or 5ms.",
)
@click.option("--params", type=option.number, help="At most so many parameters: 5M.")
@click.option("--macs", type=option.number, help="At most so many MACs: 400M.")
@click.option(
    "--accuracy",
    type=option.percent,
    help="Pick the cheapest design above this accuracy: in full training where it had one, else of "
    "the proxy.",
)
@click.option(
    "--knee", is_flag=True, help="Pick the knee, from which more cost buys little accuracy."
)
@click.option(
    "--sure",
    type=option.finite(1, 99.9),
    default=90.0,
    metavar="PERCENT",
    help="Required probability that limits and accuracy are kept, in percent.",
)
@click.option(
    "--precision",
    type=click.Choice(["any", "fp32", "bf16", "fp16", "int8"]),
    default="any",
    metavar="NAME",
    help="Pick a design in this precision, as int8.",
)
@click.option("--spec", "spec_file", type=option.FILE, help="Write the network to this YAML file.")
@option.RESULTS
@option.JSON
def command(
    study: str,
    *,
    accuracy: float | None,
    knee: bool,
    sure: float,
    precision: str,
    spec_file: Path | None,
    results: Path,
    **limits: float | None,
) -> None:
    """Pick one design of STUDY, a folder or a name, and say why and how sure that is.

    Without a limit it is the cheapest design within one standard error of the likely most accurate
    one. The study may still be running.
    """
    from archbench.analysis.pick import pick
    from archbench.analysis.study import open_study
    from archbench.analysis.verdict import train_command
    from archbench.analysis.wish import Wish
    from archbench.report.document import to_yaml
    from archbench.report.findings import pick as findings
    from archbench.study.atomic_file import write_atomically

    wish = Wish(
        limits={name: value for name in _OPTIONS if (value := limits[name]) is not None},
        accuracy=accuracy,
        is_knee=knee,
        sure=sure / 100,
        precision=None if precision == "any" else precision,
    )
    _check(wish)
    found = open_study(names.study_path(study, results=results))
    answer = pick(found, wish)
    record = answer.chosen.record
    if spec_file is not None:
        write_atomically(spec_file, to_yaml(record.spec).encode())
    trial = f"{study_argument(found.path)}:{record.number}"
    step = command_line("archbench", "export", trial, "--to", "onnx")
    if answer.chosen.in_full is None:
        step = _retrain_command(answer, study=study_argument(found.path))
        if record.is_int8 and record.design is None:  # a full training is one of floats
            step = train_command(found, record.number)
    console.tell(findings.finding(answer, study=found, next_step=step))


def _retrain_command(answer: Pick, *, study: str) -> str:
    """What to type to train the pick and who may be as good in full."""
    from archbench.analysis.wish import SURE

    wish, rivals = answer.wish, [answer.chosen, answer.runner_up]
    words = [word for n, v in wish.limits.items() for word in (_OPTIONS[n], f"{v:.10g}")]
    if not wish.limits or wish.accuracy is not None or wish.sure != SURE:
        records = [one.record for one in rivals if one]
        trained = [one.number if one.design is None else one.design for one in records]  # not int8
        words = ["--trials", ",".join(map(str, dict.fromkeys(trained)))]
    return command_line("archbench", "retrain", study, *words)


def _check(wish: Wish) -> None:
    """Sees that something was asked for, and one thing only."""
    if wish.is_knee and (wish.limits or wish.accuracy is not None):
        raise UsageError("the knee has no limits", place="--knee", help="leave out the others")
