"""Which design was picked, why, and what would a little more or less buy?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from archbench.analysis.pick import Choice, Knob, Pick, Trade, Wish
from archbench.analysis.statistics import Estimate
from archbench.analysis.study import StudyReader
from archbench.analysis.verdict import certified
from archbench.report import number
from archbench.report.document import to_words, to_yaml
from archbench.report.element import Code, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.findings.front import accuracy_text, latency_text
from archbench.report.summary import Summary
from archbench.report.text import shortened
from archbench.study.objective import OBJECTIVES

SCHEMA = "archbench.pick/1"
_KNOBS = 6
_VALUE = 9  # characters of a knob's value


def finding(answer: Pick, *, study: StudyReader, next_step: str = "") -> Finding:
    """One design: its row, why it, the runner-up, what more and less would buy, its network."""
    told = _sentences(answer, study)
    parts = [
        f"{study.name}: {wish_text(answer.wish)}",
        _row(answer, Summary(study)),
        *told,
        _knobs(answer.knobs, cost=answer.cost),
        Code("the network:\n" + to_yaml(answer.chosen.record.spec).rstrip()),
    ]
    return Finding(_document(answer, study=study, why=" ".join(told)), parts, next_step)


def wish_text(wish: Wish) -> str:
    """What was asked for."""
    limits = " and ".join(OBJECTIVES[name].text(value) for name, value in wish.limits.items())
    if wish.is_knee:
        return "the knee of the front"
    if wish.accuracy is not None:
        within = f" within {limits}" if limits else ""
        return f"the cheapest with {number.percent(wish.accuracy)} proxy accuracy{within}"
    return f"the most accurate within {limits}"


def _document(answer: Pick, *, study: StudyReader, why: str) -> dict[str, Any]:
    wish, second = answer.wish, answer.runner_up
    return {
        "schema": SCHEMA,
        "study": study.name,
        "asked": {
            "limits": dict(wish.limits),
            "accuracy": wish.accuracy,
            "knee": wish.is_knee,
            "sure": wish.sure,
        },
        "pick": {**_choice(answer.chosen), "spec": dict(answer.chosen.record.spec)},
        "admitted": answer.admitted,
        "runner_up": {**_choice(second), "as_good": answer.as_good} if second else None,
        "cost": answer.cost,
        "tighter": _trade(answer.less),
        "looser": _trade(answer.more),
        "knobs": [asdict(knob) for knob in answer.knobs],
        "why": why,
    }


def _row(answer: Pick, summary: Summary) -> ReportTable:
    record = answer.chosen.record
    row = {
        "trial": record.number,
        "latency, ms": number.measured(record.latency) if record.latency else "",
        "proxy": accuracy_text(record, summary=summary),
        "params": number.short(record.params),
        "MACs": number.short(record.macs),
        "in the limits": number.chance(answer.chosen.keeps),
        "front": number.chance(answer.chosen.on_front),
    }
    return ReportTable([row], align="r" * len(row), leaves_out=True)


def _sentences(answer: Pick, study: StudyReader) -> list[str]:
    told = [_why(answer), _runner_up(answer)]
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
    chosen, wish = answer.chosen, answer.wish
    likely = _interval(chosen.accuracy)
    those = f"{answer.admitted} design{'s' if answer.admitted != 1 else ''}"
    if wish.is_knee:
        how = (
            f"of {those} that more likely than not belong on the front, it is the farthest above "
            "the line from the cheapest to the most accurate (cost on a log scale)"
        )
    elif wish.accuracy is not None:
        how = f"of {those} that reach it with {100 * wish.sure:.0f} % or more, it is the cheapest"
    else:
        how = (
            f"of {those} that keep it with {100 * wish.sure:.0f} % or more, it is expected to be "
            "the most accurate"
        )
    return f"why: {how}; without the luck of its seed its accuracy is {likely}."


def _runner_up(answer: Pick) -> str:
    other = answer.runner_up
    if other is None or answer.as_good is None:
        return "runner-up: none; no other design keeps what was asked for."
    cost = OBJECTIVES[answer.cost]
    return (
        f"runner-up: trial {other.record.number} ({_costs(other, answer.cost)}, likely "
        f"{_interval(other.accuracy)}) is as good with {number.chance(answer.as_good)}"
        f"{f' in {cost.label}' if answer.wish.accuracy is not None else ''}."
    )


def _bought(trade: Trade, answer: Pick) -> str:
    if trade.choice is None or trade.accuracy is None:
        return f"no design of this study keeps it with {100 * answer.wish.sure:.0f} %."
    if trade.choice.record.number == answer.chosen.record.number:
        return "the same design; nothing else of this study is expected to be better."
    change = trade.accuracy
    told = (
        f"trial {trade.choice.record.number}, {_costs(trade.choice, answer.cost)}, "
        f"{100 * change.value:+.1f} points of accuracy ({100 * change.low:+.1f} to "
        f"{100 * change.high:+.1f})"
    )
    return f"{told}{'' if change.low > 0 or change.high < 0 else ', not told apart from none'}."


def _costs(choice: Choice, cost: str) -> str:
    record = choice.record
    if cost == "latency_ms":
        return latency_text(record.latency)
    return f"{number.short(getattr(record, cost))} {OBJECTIVES[cost].label}"


def _knobs(knobs: Sequence[Knob], *, cost: str) -> Part:
    if not knobs:
        return "knobs: nothing is known of single changes; no trial differs in one knob alone."
    sure = [knob for knob in knobs if knob.is_told_apart or knob.trial is not None]
    shown = sorted(sure, key=lambda k: (k.trial is None, -abs(k.accuracy.value)))[:_KNOBS]
    if not shown:
        return (
            "knobs: no single change from here is known to matter; the study has too few trials "
            "to tell one from the luck of a seed."
        )
    unit = OBJECTIVES[cost]
    rows = [
        {
            "one knob changed": knob.axis,
            "from -> to": " -> ".join(_apart(_value(knob.before), _value(knob.after))),
            "points, 95 %": f"{100 * knob.accuracy.value:+.1f} ± "
            f"{50 * (knob.accuracy.high - knob.accuracy.low):.1f}",
            unit.shown_in: "?"
            if knob.cost is None
            else f"{knob.cost / unit.scale:+.{unit.digits}f}",
            "trial": "model" if knob.trial is None else knob.trial,
        }
        for knob in shown
    ]
    return ReportTable(rows, align="llrrr")


def _value(value: Any) -> str:
    return "none" if value is None else to_words(value)


def _apart(*values: str) -> list[str]:
    """The values, long ones from where they differ."""
    if all(len(value) <= _VALUE for value in values):
        return list(values)
    shortest = min(len(value) for value in values)
    alike = next((i for i in range(shortest) if len({v[i] for v in values}) > 1), shortest)
    begin = max(0, alike - 2)
    shown = [("…" if begin else "") + value[begin:] for value in values]
    return [shortened(value, _VALUE) for value in shown]


def _interval(estimate: Estimate) -> str:
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.1f} % ({low:.1f}–{high:.1f})"


def _choice(choice: Choice) -> dict[str, Any]:
    record = choice.record
    latency = record.latency
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
        "choices": dict(record.choices),
    }


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "limited": trade.name,
        "value": trade.value,
        "pick": None if trade.choice is None else _choice(trade.choice),
        "accuracy": None if trade.accuracy is None else asdict(trade.accuracy),
        "cost": trade.cost,
    }
