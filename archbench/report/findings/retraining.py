"""Did the order of a study's best designs hold in full training, and what would it take to see?"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from archbench.analysis.pick import Finalist
from archbench.analysis.retraining import FullResult, Retraining
from archbench.analysis.study import StudyReader
from archbench.command_line import command_line, study_argument
from archbench.report import number
from archbench.report.element import Cell, Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.study.trial import TrialRecord

_ONCE = (
    "validation: the best weights of each training, and what the order goes by; held-out: the same "
    "weights, looked at once; in parentheses: 95 % intervals, over images"
)

_bare = partial(number.percent_of, sign="")  # in columns of percents


def finding(study: StudyReader) -> Finding:
    """Whether the order held, each design with its ranks, tau, the noise, what was trained."""
    found = study.retraining
    assert found is not None, "something was trained"
    head = f"{study.name}: {number.plural(len(found.results), 'design')} in full, {found.how}"
    step = ""
    if found.results:
        best = f"{study_argument(study.path)}:{found.results[0].number}"
        step = command_line("archbench", "export", best, "--to", "onnx")
    return Finding(found.document(), [found.sentence, *parts(found), head], step)


def parts(found: Retraining) -> list[Part]:
    """The table, and what belongs beneath it."""
    left = f"{number.plural(found.left, 'training')} left" if found.left else ""
    remarks = [*found.failures, found.tau_text, found.noise if found.results else "", left]
    table: list[Part] = [_table(found)] if found.results else []
    return [*table, Lines(remarks)]


def planned(
    document: Mapping[str, Any], *, study: StudyReader, designs: list[Finalist], next_step: str
) -> Finding:
    """A plan of the schema ``archbench.retraining-plan/1``: what is trained, how long it takes."""
    how, seconds = document["how"], document["seconds_left"]
    each = [one["seconds_each"] for one in document["designs"]]
    seeds = number.plural(document["seeds"], "seed")
    epochs = number.plural(how["epochs"], "epoch")
    head = (
        f"{study.name}: {number.plural(len(designs), 'design')} in full, {seeds} each, "
        f"{how['recipe']}, {epochs}, {how['data']}"
    )
    rows = [
        {
            "trial": one.record.number,
            "cost": _cost(one.record),
            "proxy, %": number.percent_of(
                study.front_probabilities.accuracy[one.record.number], sign=""
            ),
            "as good as a pick": "pick" if one.is_pick else number.chance(one.chance),
            "a training takes": number.NOT_THERE if takes is None else number.duration(takes),
        }
        for one, takes in zip(designs, each, strict=True)
    ]
    left = number.plural(document["trainings_left"], "training")
    told = f"{left} to come; their time is unknown, as data or device are not those of the search."
    if seconds is not None:
        about = number.duration(seconds)
        told = f"{left} to come: about {about}, by the epochs of the search and the MACs."
    return Finding(document, [told, ReportTable(rows, align="rrrrr"), head], next_step)


def accuracies(found: FullResult) -> str:
    """What a design reached in full, on images to validate on and on held-out ones."""
    told = f"{number.percent_of(found.accuracy)} of the validation images"
    return (
        told if found.test is None else f"{told}, {number.percent_of(found.test)} of the held-out"
    )


def _table(found: Retraining) -> ReportTable:
    rows = [
        {
            "trial": Cell(one.number, value=one.number),
            "cost": _cost(one.record),
            "proxy, %": _bare(one.likely),
            "validation, %": _bare(one.accuracy),
            "held-out, %": number.NOT_THERE if one.test is None else _bare(one.test),
            "rank": f"{found.by_proxy.index(one) + 1} -> {rank}",
        }
        for rank, one in enumerate(found.results, start=1)
    ]
    return ReportTable(rows, align="rrrrrl", notes=[_ONCE])


def _cost(record: TrialRecord) -> str:
    latency = number.alone(record.latency)
    return f"{latency} ms" if latency else f"{number.short(record.macs)} MACs"
