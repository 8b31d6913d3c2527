"""Which design was picked, why, and what would a little more or less buy?"""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from archbench.analysis.axis_change import AxisChange
from archbench.analysis.pick import Choice, Pick, Trade
from archbench.analysis.study import StudyReader
from archbench.analysis.verdict import certified, design_in_words
from archbench.analysis.wish import Wish
from archbench.report import number
from archbench.report.document import to_words
from archbench.report.element import FactList, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.findings.front import accuracy_text, latency_text, precision_cell
from archbench.report.findings.retraining import accuracies
from archbench.report.html import one_line
from archbench.report.summary import Summary
from archbench.study.objective import OBJECTIVES

SCHEMA = "archbench.pick/1"
_SHOWN = 6
_CALL = re.compile(r"(\w+)\((.*)\)")  # a part with its fields, as conv(kernel=7, stride=4)


def finding(answer: Pick, *, study: StudyReader, next_step: str = "") -> Finding:
    """The design to take, its numbers, why it, the runner-up, what more and less would buy."""
    chosen, summary = answer.chosen, Summary(study)
    record, told = chosen.record, _sentences(answer, study)
    limits = {**study.rule.limits, **answer.wish.limits}
    asked = "P(as asked)" if answer.wish.accuracy is not None else "P(within limits)"
    facts = {
        "latency": f"{number.measured(record.latency)} ms" if record.latency else "",
        **{name: str(cell) for name, cell in precision_cell(record).items()},
        "proxy accuracy": f"{accuracy_text(record, summary=summary)}; expected with another seed: "
        f"{number.percent_of(chosen.accuracy)}",
        "test accuracy": number.percent(record.test_accuracy, summary.test_error(record))
        if record.test_accuracy is not None
        else "",
        "size": f"{number.short(record.params)} parameters, {number.short(record.macs)} MACs",
        asked: number.chance(chosen.keeps) if limits or answer.wish.accuracy else "",
        "P(Pareto-optimal)": number.chance(chosen.on_front),
    }
    parts: list[Part] = [
        told[0],
        FactList(facts, left=max(map(len, facts)) + 2),
        *told[1:],
        _changes(answer.changes, cost=answer.cost),
    ]
    document = {"schema": SCHEMA, "study": study.name, **_document(answer), "why": " ".join(told)}
    return Finding(document, parts, next_step)


def wish_text(wish: Wish) -> str:
    """What was asked for."""
    limits = " and ".join(OBJECTIVES[name].text(value) for name, value in wish.limits.items())
    where = f" in {wish.precision}" if wish.precision else ""
    if wish.is_knee:
        return f"the knee of the front{where}"
    if wish.is_open:
        return f"the cheapest within one standard error of the likely most accurate{where}"
    if wish.accuracy is not None:
        within = f" within {limits}" if limits else ""
        return f"the cheapest with {number.percent(wish.accuracy)} proxy accuracy{within}{where}"
    return f"the most accurate within {limits}{where}"


def _document(answer: Pick) -> dict[str, Any]:
    wish, second = answer.wish, answer.runner_up
    return {
        "asked": {
            "limits": dict(wish.limits),
            "accuracy": wish.accuracy,
            "knee": wish.is_knee,
            "sure": wish.sure,
            "precision": wish.precision,
        },
        "pick": {**_choice(answer.chosen), "spec": dict(answer.chosen.record.spec)},
        "admitted": answer.admitted,
        "runner_up": {**_choice(second), "as_good": answer.as_good} if second else None,
        "cost": answer.cost,
        "tighter": _trade(answer.less),
        "looser": _trade(answer.more),
        "knobs": [asdict(change) for change in answer.changes],
    }


def _choice(choice: Choice) -> dict[str, Any]:
    record, latency = choice.record, choice.record.latency
    return {
        "trial": record.number,
        "digest": record.digest,
        "proxy_accuracy": record.proxy_accuracy,
        "likely_accuracy": asdict(choice.accuracy),
        "latency_ms": latency.value if latency else None,
        "latency_low_ms": latency.low if latency else None,
        "latency_high_ms": latency.high if latency else None,
        "params": record.params,
        "macs": record.macs,
        "keeps": choice.keeps,
        "on_front": choice.on_front,
        "full_accuracy": asdict(full.accuracy) if (full := choice.in_full) else None,
        "full_test_accuracy": asdict(full.test) if full and full.test else None,
        "choices": dict(record.choices),
    }


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "limited": trade.name,
        "value": trade.value,
        "pick": trade.choice and _choice(trade.choice),
        "accuracy": trade.accuracy and asdict(trade.accuracy),
        "cost": trade.cost,
    }


def _sentences(answer: Pick, study: StudyReader) -> list[str]:
    record = answer.chosen.record
    told = [
        f"Take trial {record.number}, {wish_text(answer.wish)}: {design_in_words(study, record)}.",
        _why(answer),
        *_in_full(answer, study),
        _runner_up(answer),
        *(_bought(trade, answer) for trade in (answer.more, answer.less)),
    ]
    for name, limit in study.rule.limits.items():
        asked = answer.wish.limits.get(name, 0.0)
        if max(asked, answer.more.value if answer.more.name == name else 0.0) > limit:
            most = OBJECTIVES[name].text(limit)
            told.append(f"The study's own limit is {most}; nothing above it was trained.")
    if study.certificate is not None and study.certificate.state != "certified":
        told.append(certified(study))
    return told


def _why(answer: Pick) -> str:
    wish, sure = answer.wish, f"at least {100 * answer.wish.sure:.0f} %"
    those = f"the {number.plural(answer.admitted, 'design')}"
    if wish.is_knee:
        return (
            f"Of {those} with a front probability above 50 % it lies farthest above the line from "
            "the cheapest to the most accurate, with the cost on a log scale."
        )
    if wish.is_open:
        return "No dearer design is expected to gain more than one standard error of its accuracy."
    if wish.accuracy is not None:
        return f"It is the cheapest of {those} that reach the accuracy with {sure} probability."
    if answer.chosen.in_full:
        return (
            f"Of {those} that keep the limits with {sure} probability, the most accurate in short "
            "training was trained in full; of those that were, this one is first."
        )
    return (
        f"It has the highest expected accuracy of {those} that keep the limits with {sure} "
        "probability."
    )


def _in_full(answer: Pick, study: StudyReader) -> list[str]:
    found, reached = study.retraining, answer.chosen.in_full
    if found is None or reached is None:
        return ["It has not been trained in full."]
    return [f"In full training ({found.how}): {accuracies(reached)}. {found.sentence}"]


def _runner_up(answer: Pick) -> str:
    other = answer.runner_up
    if other is None or answer.as_good is None:
        return "No other design keeps what was asked for."
    cost, likely = OBJECTIVES[answer.cost], f"expected {number.percent_of(other.accuracy)}"
    if answer.chosen.in_full and other.in_full:
        likely = f"{number.percent_of(other.in_full.accuracy)} in full training"
    better = f"cheap in {cost.label}" if answer.wish.accuracy is not None else "accurate"
    if answer.wish.is_knee:
        better = "good a compromise"
    return (
        f"Runner-up: trial {other.record.number}, {_costs(other, answer.cost)}, {likely}; "
        f"{number.chance(answer.as_good)} chance that it is at least as {better}."
    )


def _bought(trade: Trade, answer: Pick) -> str:
    """What a tighter or a looser limit would give."""
    choice, change = trade.choice, trade.accuracy
    other = OBJECTIVES[trade.name].text(trade.value) if trade.value > 0 else "nothing"
    where = f"With {other} accuracy" if trade.name == "proxy_accuracy" else f"Within {other}"
    if choice is None or change is None:
        return f"{where}: no design reaches that with {100 * answer.wish.sure:.0f} % probability."
    if choice.record.number == answer.chosen.record.number:
        return f"{where}: the same design; no other is expected to be better."
    value, low, high = (f"{100 * end:+.1f}" for end in (change.value, change.low, change.high))
    full = " in full training" if choice.in_full and answer.chosen.in_full else ""
    return (
        f"{where}: trial {choice.record.number}, {_costs(choice, answer.cost)}, {value} points"
        f"{full} ({low} to {high}){'' if change.is_resolved else ': not significant'}."
    )


def _costs(choice: Choice, cost: str) -> str:
    if cost == "latency_ms":
        return latency_text(choice.record.latency)
    return f"{number.short(getattr(choice.record, cost))} {OBJECTIVES[cost].label}"


def _changes(changes: Sequence[AxisChange], *, cost: str) -> Part:
    if not changes:
        return "No trial differs from this one in a single axis, so single changes are unknown."
    sure = [change for change in changes if change.accuracy.is_resolved or change.trial is not None]
    if not sure:
        return "The study has too few trials to separate single changes from the noise of seeds."
    unit = OBJECTIVES[cost]
    rows = [
        {
            "one axis changed": change.axis,
            "from -> to": one_line(_change(change.before, change.after), length=24),
            "points, 95 %": f"{100 * change.accuracy.value:+.1f} ± "
            f"{50 * (change.accuracy.high - change.accuracy.low):.1f}",
            unit.shown_in: "?"
            if change.cost is None
            else f"{change.cost / unit.scale:+.{unit.digits}f}",
            "trial": "model" if change.trial is None else change.trial,
        }
        for change in sorted(sure, key=lambda k: (k.trial is None, -abs(k.accuracy.value)))[:_SHOWN]
    ]
    return ReportTable(rows, align="llrrr")


def _change(before: object, after: object) -> str:
    """What is changed; of parts of one kind only the fields that differ.

    >>> _change("conv(kernel=7, stride=4)", "conv(kernel=4, stride=4)")
    'kernel 7 -> 4'
    """
    texts = ["none" if value is None else to_words(value) for value in (before, after)]
    calls = [_CALL.fullmatch(text) for text in texts]
    names = [call[1] if call else text for call, text in zip(calls, texts, strict=True)]
    if names[0] != names[1] or not (calls[0] and calls[1]):
        return " -> ".join(names)
    old, new = (dict(p.split("=", 1) for p in c[2].split(", ") if "=" in p) for c in calls if c)
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return ", ".join(
        f"{key} {old.get(key, 'default')} -> {new.get(key, 'default')}" for key in differing
    )
