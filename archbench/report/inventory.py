"""What was searched, how did its trials end, and under which conditions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from archbench.analysis.verdict import confirmation_in_words, source_in_words, spaces_in_words
from archbench.report.command import code
from archbench.report.document import to_flow, to_words
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


def searched(summary: Summary) -> Markup:
    """Question, size, what was optimised, the axes with what was tried, and the space file."""
    header = summary.header
    rows: list[tuple[str, object]] = [("question", header.get("question"))]
    size = number(header.get("size"))
    rows += [
        ("candidates", exact(int(size)) if size is not None else None),
        ("of these feasible", _feasible(header)),
        ("objectives", _written(part(header, "objectives"))),
        ("limits", _written(part(header, "limits"))),
        *(("earlier study", source_in_words(source)) for source in header.get("sources", ())),
        *(("its spaces", told) for told in spaces_in_words(header)),
        ("sampler", header.get("sampler")),
        ("stops early by", header.get("pruner")),
        ("audited share", _audit(header)),
        ("seed", header.get("seed")),
        ("confirmation", confirmation_in_words(header)),
    ]
    text = header.get("space_text")
    file = (
        html(
            '<details><summary>{}</summary><div class="inner">{}</div></details>',
            "The space file",
            code(text),
        )
        if isinstance(text, str) and text
        else ""
    )
    return html("{}{}{}", _facts(rows), _axes(summary), file)


def outcomes(summary: Summary) -> Markup:
    """How many trials ended in each state, with the commonest reasons."""
    rows = []
    for state, count in summary.study.counts().items():
        if not count:
            continue
        reasons = _reasons(record for record in summary.trials if record.state == state)
        rows.append(
            html(
                '<tr><td>{}</td><td class="number">{}</td><td class="prose">{}{}</td></tr>\n',
                state.replace("_", " "),
                exact(count),
                _OUTCOMES.get(state, ""),
                html("<br><small>{}</small>", reasons) if reasons else "",
            )
        )
    if not rows:
        return Markup()
    return html(
        '<div class="scroll" tabindex="0"><table><thead><tr><th>state</th>'
        '<th class="number">trials</th><th>what it means, and the commonest reasons</th></tr>'
        "</thead><tbody>\n{}</tbody></table></div>{}",
        rows,
        html("<p>{}</p>", report.in_words()) if (report := summary.study.pruning) else "",
    )


def conditions(summary: Summary) -> Markup:
    """Conditions of the latency, the proxy, and the machine with its software."""
    header = summary.header
    groups = (
        ("Latency", part(header, "conditions")),
        ("Machine and software", part(header, "environment")),
        ("Proxy training", summary.proxy),
        ("How its steps are computed", part(header, "plan")),
    )
    return html(
        '<div class="groups">{}</div>',
        [
            html("<div><h3>{}</h3>\n{}</div>\n", title, _facts(_said(content)))
            for title, content in groups
            if content
        ],
    )


def _axes(summary: Summary) -> Markup:
    """The values that were tried on each axis, and how many of them stand on the front."""
    tried = _tally(summary.trials)
    if not tried:
        return Markup()
    on_front = _tally(summary.front)
    rows = [
        html(
            "<tr><td><code>{}</code></td><td>{}{}</td></tr>\n",
            axis,
            [
                _chip(value, count, on_front.get(axis, Counter())[value])
                for value, count in _in_order(values)[:_VALUES_SHOWN]
            ],
            f"and {len(values) - _VALUES_SHOWN} more" if len(values) > _VALUES_SHOWN else "",
        )
        for axis, values in tried.items()
    ]
    return html(
        '<div class="scroll" tabindex="0"><table class="stacked"><thead><tr><th>axis</th>'
        "<th>values tried, how often; blue: those on the front</th></tr></thead><tbody>\n{}</tbody>"
        "</table></div>",
        rows,
    )


def _tally(records: Iterable[TrialRecord]) -> dict[str, Counter[str]]:
    tally: dict[str, Counter[str]] = {}
    for record in records:
        for axis, value in record.choices.items():
            tally.setdefault(axis, Counter())[to_words(value)] += 1
    return tally


def _in_order(values: Counter[str]) -> list[tuple[str, int]]:
    def order(entry: tuple[str, int]) -> tuple[int, float, str]:
        try:
            return (0, float(entry[0]), "")
        except ValueError:
            return (1, 0.0, entry[0])

    return sorted(values.items(), key=order)


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


def _audit(header: Mapping[str, Any]) -> str | None:
    """Trials trained to the end whatever the rule said; nothing where no rule stops any."""
    share = number(header.get("audit"))
    return None if share is None or header.get("pruner") == "none" else percent(share)


def _said(content: Mapping[str, Any]) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in content.items():
        label = str(key).removesuffix("_bytes").replace("_", " ")
        size = number(value)
        if str(key).endswith("_bytes") and size is not None:
            rows.append((label, f"{size / 2**30:.1f} GiB"))
        else:
            rows.append((label, _written(value)))
    return rows


def _written(value: object) -> str:
    """A value in words; empty where it says nothing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_written(item)}" for key, item in value.items())
    if isinstance(value, str) or value is None:
        return value or ""
    if isinstance(value, list | tuple) and any(isinstance(item, str) for item in value):
        return "; ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else to_flow(value)


def _facts(rows: Iterable[tuple[str, object]]) -> Markup:
    return html(
        '<dl class="facts">{}</dl>',
        [
            html("<dt>{}</dt><dd>{}</dd>\n", name, value)
            for name, value in rows
            if value not in (None, "", "[]")
        ],
    )
