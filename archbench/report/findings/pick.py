"""Which design was picked, why, and what would a little more or less buy?"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from archbench.analysis.axis_change import AxisChange
from archbench.analysis.pick import Choice, Pick, Trade
from archbench.analysis.study import StudyReader
from archbench.analysis.verdict import certified
from archbench.analysis.wish import Wish
from archbench.report import number
from archbench.report.document import to_words, to_yaml
from archbench.report.element import Code, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.findings.front import accuracy_text, latency_text, precision_cell
from archbench.report.findings.retraining import accuracies
from archbench.report.html import one_line
from archbench.report.summary import Summary
from archbench.study.objective import OBJECTIVES

SCHEMA = "archbench.pick/1"
_SHOWN = 6
_VALUE = 9  # characters of a value


def finding(answer: Pick, *, study: StudyReader, next_step: str = "") -> Finding:
    """One design: its row, why it, the runner-up, what more and less would buy, its network."""
    chosen, summary = answer.chosen, Summary(study)
    record = chosen.record
    row = {
        "trial": record.number,
        "latency, ms": number.measured(record.latency) if record.latency else "",
        **precision_cell(record),
        "proxy": accuracy_text(record, summary=summary),
        "params": number.short(record.params),
        "MACs": number.short(record.macs),
        "in the limits": number.chance(chosen.keeps),
        "front": number.chance(chosen.on_front),
    }
    told = _sentences(answer, study)
    parts: list[Part] = [
        f"{study.name}: {wish_text(answer.wish)}",
        ReportTable([row], align="r" * len(row), leaves_out=True),
        *told,
        _changes(answer.changes, cost=answer.cost),
        Code("the network:\n" + to_yaml(record.spec).rstrip()),
    ]
    document = {"schema": SCHEMA, "study": study.name, **_document(answer), "why": " ".join(told)}
    return Finding(document, parts, next_step)


def wish_text(wish: Wish) -> str:
    """What was asked for."""
    limits = " and ".join(OBJECTIVES[name].text(value) for name, value in wish.limits.items())
    where = f" in {wish.precision}" if wish.precision else ""
    if wish.is_knee:
        return f"the knee of the front{where}"
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
    told = [_why(answer), *_in_full(answer, study), _runner_up(answer)]
    for word, trade in (("more", answer.more), ("less", answer.less)):
        other = OBJECTIVES[trade.name].text(trade.value) if trade.value > 0 else "nothing"
        told.append(f"{word} ({other}): {_bought(trade, answer)}")
    for name, limit in study.rule.limits.items():
        asked = answer.wish.limits.get(name, 0.0)
        if max(asked, answer.more.value if answer.more.name == name else 0.0) > limit:
            most = OBJECTIVES[name].text(limit)
            told.append(f"note: the study's own limit is {most}; nothing above it was trained.")
    if study.certificate is not None and study.certificate.state != "certified":
        told.append(f"note: {certified(study)}")
    return told


def _why(answer: Pick) -> str:
    wish, sure = answer.wish, f"at least {100 * answer.wish.sure:.0f} %"
    those = number.plural(answer.admitted, "design")
    if wish.is_knee:
        how = (
            f"of {those} that belong on the front with more than 50 %, it is the farthest above "
            "the line from the cheapest to the most accurate (cost on a log scale)"
        )
    elif wish.accuracy is not None:
        how = f"it is the cheapest of {those} that reach the accuracy with {sure} probability"
    elif answer.chosen.in_full:
        how = (
            f"of {those} that keep the limits with {sure} probability the most accurate in short "
            "training was trained in full, and among those that were this one is first"
        )
    else:
        how = (
            f"it has the highest expected accuracy of {those} that keep the limits with {sure} "
            "probability"
        )
    likely = number.percent_of(answer.chosen.accuracy)
    return f"why: {how}; its accuracy, corrected for noise between seeds, is {likely}."


def _in_full(answer: Pick, study: StudyReader) -> list[str]:
    found, reached = study.retraining, answer.chosen.in_full
    if found is None or reached is None:
        return [
            "note: it has not been trained in full; archbench retrain says whether it keeps its "
            "place there."
        ]
    return [f"in full training ({found.how}): {accuracies(reached)}. {found.sentence}"]


def _runner_up(answer: Pick) -> str:
    other = answer.runner_up
    if other is None or answer.as_good is None:
        return "runner-up: none; no other design keeps what was asked for."
    cost, likely = OBJECTIVES[answer.cost], f"likely {number.percent_of(other.accuracy)}"
    if answer.chosen.in_full and other.in_full:
        likely = f"{number.percent_of(other.in_full.accuracy)} in full training"
    return (
        f"runner-up: trial {other.record.number} ({_costs(other, answer.cost)}, {likely}) is as "
        f"good with {number.chance(answer.as_good)} probability"
        f"{f' in {cost.label}' if answer.wish.accuracy is not None else ''}."
    )


def _bought(trade: Trade, answer: Pick) -> str:
    choice, change = trade.choice, trade.accuracy
    if choice is None or change is None:
        return (
            f"no design of this study keeps that with {100 * answer.wish.sure:.0f} % probability."
        )
    if choice.record.number == answer.chosen.record.number:
        return "the same design; nothing else of this study is expected to be better."
    value, low, high = (f"{100 * end:+.1f}" for end in (change.value, change.low, change.high))
    where = " in full training" if choice.in_full and answer.chosen.in_full else ""
    return (
        f"trial {choice.record.number}, {_costs(choice, answer.cost)}, {value} points of accuracy"
        f"{where} ({low} to {high}){'' if change.is_resolved else ', not resolved from zero'}."
    )


def _costs(choice: Choice, cost: str) -> str:
    if cost == "latency_ms":
        return latency_text(choice.record.latency)
    return f"{number.short(getattr(choice.record, cost))} {OBJECTIVES[cost].label}"


def _changes(changes: Sequence[AxisChange], *, cost: str) -> Part:
    if not changes:
        return "single changes: unknown; no trial differs from this one in a single axis."
    sure = [change for change in changes if change.accuracy.is_resolved or change.trial is not None]
    if not sure:
        return (
            "single changes: none is known to matter; the study has too few trials to separate "
            "their effects from the noise between seeds."
        )
    unit = OBJECTIVES[cost]
    rows = [
        {
            "one axis changed": change.axis,
            "from -> to": " -> ".join(_apart(change.before, change.after)),
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


def _apart(*given: Any) -> list[str]:
    """The values, long ones from where they differ."""
    values = ["none" if value is None else to_words(value) for value in given]
    if all(len(value) <= _VALUE for value in values):
        return values
    shortest = min(map(len, values))
    alike = next((i for i in range(shortest) if len({v[i] for v in values}) > 1), shortest)
    begin = max(0, alike - 2)
    return [one_line(("…" if begin else "") + value[begin:], length=_VALUE) for value in values]
