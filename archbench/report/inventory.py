"""What was searched, how did its trials end, and under which conditions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from archbench.analysis.verdict import confirmation_in_words, source_in_words, spaces_in_words
from archbench.report.document import in_words, to_words
from archbench.report.element import Cell, Code, FactList, Fold, Groups, Part, ReportTable
from archbench.report.html import Markup, html, one_line
from archbench.report.number import exact, percent
from archbench.report.summary import Summary, number, part
from archbench.study.trial import TrialRecord

_VALUES_SHOWN = 30
_REASONS_SHOWN = 5
_OUTCOMES = {
    "complete": "trained to the last rung",
    "pruned": "training stopped early by a rule",
    "over_limit": "a limit was broken, so nothing was trained",
    "failed": "could not be built, measured or trained",
    "running": "not ended yet",
}


def searched(summary: Summary) -> list[Part]:
    """Question, size, what was optimised, the axes with what was tried, and the space file."""
    header = summary.header
    size, audited = number(header.get("size")), number(header.get("audit"))
    has_audit = audited is not None and header.get("pruner") != "none"
    facts: list[tuple[str, object]] = [
        ("question", header.get("question")),
        ("candidates", exact(int(size)) if size is not None else None),
        ("of these feasible", _feasible(header)),
        ("objectives", in_words(part(header, "objectives"))),
        ("limits", in_words(part(header, "limits"))),
        *(("earlier study", source_in_words(source)) for source in header.get("sources", ())),
        *(("its spaces", told) for told in spaces_in_words(header)),
        ("sampler", header.get("sampler")),
        ("stops early by", header.get("pruner")),
        ("audited share", percent(audited) if has_audit and audited is not None else None),
        ("seed", header.get("seed")),
        ("confirmation", confirmation_in_words(header)),
    ]
    text = header.get("space_text")
    has_file = isinstance(text, str) and bool(text)
    file = [Fold(title="The space file", parts=[Code(str(text))])] if has_file else []
    return [FactList(facts), *_axes(summary), *file]


def outcomes(summary: Summary) -> list[Part]:
    """How many trials ended in each state, with the commonest reasons."""
    rows = []
    for state, count in summary.study.counts().items():
        reasons = _reasons(record for record in summary.trials if record.state == state)
        means = Cell(_OUTCOMES.get(state, ""), why=reasons)
        if count:
            rows.append((state.replace("_", " "), exact(count), means))
    if not rows:
        return []
    titles = ("state", "trials", "what it means, and the commonest reasons")
    saved = summary.study.pruning
    return [
        ReportTable(titles=titles, rows=rows, align="lrp"),
        *([saved.in_words()] if saved else []),
    ]


def conditions(summary: Summary) -> Groups:
    """Conditions of the latency, the proxy, and the machine with its software."""
    header = summary.header
    return Groups(
        {
            "Latency": part(header, "conditions"),
            "Machine and software": part(header, "environment"),
            "Proxy training": summary.proxy,
            "How its steps are computed": part(header, "plan"),
        }
    )


def _axes(summary: Summary) -> list[Markup]:
    """The values that were tried on each axis, and how many of them stand on the front."""
    tried = _tally(summary.trials)
    if not tried:
        return []
    on_front = _tally(summary.front)
    rows = [
        html(
            "<tr><td><code>{}</code></td><td>{}{}</td></tr>\n",
            axis,
            [
                _chip(value, count, on_front.get(axis, Counter())[value])
                for value, count in sorted(values.items(), key=_by_number)[:_VALUES_SHOWN]
            ],
            f"and {len(values) - _VALUES_SHOWN} more" if len(values) > _VALUES_SHOWN else "",
        )
        for axis, values in tried.items()
    ]
    return [
        html(
            '<div class="scroll" tabindex="0"><table class="stacked"><thead><tr><th>axis</th>'
            "<th>values tried, how often; blue: those on the front</th></tr></thead><tbody>\n{}"
            "</tbody></table></div>\n",
            rows,
        )
    ]


def _tally(records: Iterable[TrialRecord]) -> dict[str, Counter[str]]:
    tally: dict[str, Counter[str]] = {}
    for record in records:
        for axis, value in record.choices.items():
            tally.setdefault(axis, Counter())[to_words(value)] += 1
    return tally


def _by_number(entry: tuple[str, int]) -> tuple[int, float, str]:
    try:
        return (0, float(entry[0]), "")
    except ValueError:
        return (1, 0.0, entry[0])


def _chip(value: str, count: int, on_front: int) -> Markup:
    times = f"{count}, {on_front} on front" if on_front else f"{count}"
    return html(
        '<span class="chip{}">{} <small>×{}</small></span>',
        " front" if on_front else "",
        one_line(value, length=120),
        times,
    )


def _reasons(records: Iterable[TrialRecord]) -> str:
    """The commonest reasons, those that differ only in their numbers as one, with an example."""
    examples: dict[str, str] = {}
    counted: Counter[str] = Counter()
    for record in records:
        text = record.failure.message if record.failure else record.reason
        if not text:
            continue
        kind = f"{record.failure.kind}: " if record.failure else ""
        line = one_line(f"{kind}{text}", length=160)
        pattern = re.sub(r"\d+(\.\d+)?", "0", line)
        examples.setdefault(pattern, line)
        counted[pattern] += 1
    commonest = counted.most_common(_REASONS_SHOWN)
    said = [
        f"{count} ×, for example: {examples[pattern]}" if count > 1 else f"1 ×: {examples[pattern]}"
        for pattern, count in commonest
    ]
    others = len(counted) - len(commonest)
    return "; ".join(said + ([f"{others} other reasons"] if others else []))


def _feasible(header: Mapping[str, Any]) -> str | None:
    value, low, high = (number(header.get(f"feasible_{key}")) for key in ("share", "low", "high"))
    if value is None:
        return None
    if low is None or high is None or low == high:
        return percent(value)
    return f"{percent(value)}, by sampling (95 % interval {percent(low)} to {percent(high)})"
