"""How is a front told: a line for each member, in a terminal, on a page and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from archbench.analysis.front_probability import SURE
from archbench.report import number
from archbench.report.element import Cell, ReportTable
from archbench.report.html import html, one_line
from archbench.report.summary import Summary
from archbench.study.measurement import Measurement
from archbench.study.objective import OBJECTIVES, Objective
from archbench.study.trial import TrialRecord

_NOT_STABLE = "*"
_OWN_COLUMN = ("proxy_accuracy", "latency_ms", "params", "macs")
_OTHERS = 2  # named; a line holds no more


def front_table(members: Sequence[TrialRecord], *, summary: Summary | None = None) -> ReportTable:
    """The front in a terminal, cheapest first; a column that would be empty is left out.

    Args:
        members: The front.
        summary: Of the whole study, for standard errors; a search that goes on has none.
    """
    columns: dict[str, tuple[str, list[str]]] = {
        "trial": ("r", [str(record.number) for record in members]),
        "latency, ms": ("l", [_marked(record.latency) for record in members]),
        **{
            one.label: ("r", [str(_objective_cell(one, record)) for record in members])
            for one in _others(summary)
        },
        "proxy": ("r", [accuracy_text(record, summary=summary) for record in members]),
        "front": ("r", [_on_front(record, summary) for record in members]),
        "test": ("r", [_test(record, summary) for record in members]),
        "params": ("r", [number.short(record.params) for record in members]),
        "MACs": ("r", [number.short(record.macs) for record in members]),
    }
    filled = {title: column for title, column in columns.items() if any(column[1])}
    marked = any(_is_marked(record.latency) for record in members)
    notes = [f"{_NOT_STABLE} taken on a disturbed machine"] if marked else []
    return ReportTable(
        titles=list(filled),
        rows=list(zip(*(cells for _, cells in filled.values()), strict=True)),
        align="".join(side for side, _ in filled.values()),
        notes=[*notes, *(_notes(members, summary) if summary else [])],
    )


def _others(summary: Summary | None) -> list[Objective]:
    """The objectives of a study that have no column of their own."""
    names = summary.study.rule.objectives if summary else ()
    return [OBJECTIVES[name] for name in names if name not in _OWN_COLUMN]


def _objective_cell(one: Objective, record: TrialRecord) -> Cell:
    value = one.value(record)
    return Cell("", value="") if value is None else Cell(one.text(value), value=value)


def latency_text(latency: Measurement | None) -> str:
    """A latency with its interval and unit, or none."""
    return f"{number.measured(latency)} ms".replace("none ms", "none")


def accuracy_text(record: TrialRecord, *, summary: Summary | None = None) -> str:
    """The proxy accuracy of a trial, with its standard error where a study is given, or none."""
    reached = record.proxy_accuracy
    error = summary.accuracy_error(record) if summary else None
    return "none" if reached is None else number.percent(reached, error)


def cost_text(record: TrialRecord) -> str:
    """What a trial costs: its latency, or its MACs where none was measured."""
    return latency_text(record.latency) if record.latency else f"{number.short(record.macs)} MACs"


def _marked(latency: Measurement | None) -> str:
    mark = _NOT_STABLE if _is_marked(latency) else ""
    return "" if latency is None else f"{number.measured(latency)}{mark}"


def _is_marked(latency: Measurement | None) -> bool:
    return latency is not None and latency.verdict != "stable"


def _on_front(record: TrialRecord, summary: Summary | None) -> str:
    chance = summary.front_probabilities.on_front.get(record.number) if summary else None
    return "" if chance is None else number.chance(chance)


def _test(record: TrialRecord, summary: Summary | None) -> str:
    if record.test_accuracy is None:
        return ""
    return number.percent(record.test_accuracy, summary.test_error(record) if summary else None)


def _notes(members: Sequence[TrialRecord], summary: Summary) -> list[str]:
    """Who may break a limit, and who else may belong on the front."""
    kept = {
        record.number: summary.front_probabilities.meets_limits.get(record.number)
        for record in members
    }
    notes = [
        f"trial {trial} keeps the limits with {number.chance(chance)} only"
        for trial, chance in kept.items()
        if chance is not None and chance < SURE
    ]
    others = summary.others_with_a_chance
    if others:
        named = ", ".join(
            f"trial {trial} ({number.chance(chance)})" for trial, chance in others[:_OTHERS]
        )
        rest = f" and {len(others) - _OTHERS} more" if len(others) > _OTHERS else ""
        notes.append(f"not on it, but with a chance: {named}{rest}")
    return notes


def front_columns(summary: Summary) -> dict[str, tuple[str, Callable[[TrialRecord], Cell]]]:
    """Title to alignment and cells of the front on a page and in Markdown."""
    doubt = summary.front_probabilities
    columns: dict[str, tuple[str, Callable[[TrialRecord], Cell]]] = {
        "trial": ("l", _linked),
        "latency, ms, 95 % interval": ("r", lambda record: latency_cell(record.latency)),
        **{one.label: ("r", partial(_objective_cell, one)) for one in _others(summary)},
        "proxy accuracy, ± standard error": (
            "r",
            lambda record: share_cell(record.proxy_accuracy, summary.accuracy_error(record)),
        ),
        "on the front, probability": ("r", lambda r: _chance_cell(doubt.on_front.get(r.number))),
        "in the limits, probability": (
            "r",
            lambda record: _chance_cell(doubt.meets_limits.get(record.number)),
        ),
        "test accuracy, sealed share": (
            "r",
            lambda record: share_cell(record.test_accuracy, summary.test_error(record)),
        ),
        "measurement": ("l", lambda record: verdict_cell(record.latency)),
        "parameters": ("r", lambda record: count_cell(record.params)),
        "MACs, one image": ("r", lambda record: count_cell(record.macs)),
        "digest": ("l", lambda record: Cell(record.digest, around="<code>{}</code>")),
    }
    if not summary.limit_names:
        del columns["in the limits, probability"]
    return columns


def _linked(record: TrialRecord) -> Cell:
    link = html('<a href="#design-{}">', record.number)
    return Cell(record.number, value=record.number, around=f"{link}{{}}</a>")


def latency_cell(latency: Measurement | None) -> Cell:
    """A latency with its interval."""
    if latency is None or latency.value is None:
        return Cell(value="")
    value, _, interval = number.measured(latency).partition(" ")
    return Cell(value, small=interval, value=latency.value)


def verdict_cell(latency: Measurement | None) -> Cell:
    """Whether a measurement can be relied on, and why not."""
    if latency is None:
        return Cell()
    kind = latency.verdict if latency.verdict in ("stable", "disturbed") else "incomplete"
    around = html('<span class="{}">', kind)
    return Cell(kind, value=kind, around=f"{around}{{}}</span>", why=one_line(latency.reason))


def share_cell(share: float | None, error: float | None) -> Cell:
    """An accuracy with its standard error."""
    if share is None:
        return Cell(value="")
    value, _, spread = number.percent(share, error).removesuffix(" %").partition(" ")
    return Cell(value, small=spread, unit="%", value=share)


def count_cell(count: int) -> Cell:
    """A count to three digits, with all of them on hovering over it."""
    return Cell(number.short(count), value=count, hint=number.exact(count))


def _chance_cell(share: float | None) -> Cell:
    return Cell(value="") if share is None else Cell(number.chance(share), value=share)
