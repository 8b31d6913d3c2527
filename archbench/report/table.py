"""What stands in the tables of the page: the front, the references, all trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

from archbench.report.html import Markup, html, one_line
from archbench.report.number import NOT_THERE, chance, exact, percent, short, with_interval
from archbench.report.summary import Summary
from archbench.study.measurement import Measurement
from archbench.study.trial import TrialRecord

TRIALS_SHOWN = 300
"""Rows of the table of all trials; the study's ``trials.csv`` has them all."""

_STATES = {
    "complete": "complete",
    "pruned": "stopped early",
    "over_limit": "over the limit",
    "failed": "failed",
    "running": "running",
}


def front_table(summary: Summary) -> Markup:
    """The members of the front, cheapest first; empty where there are none."""
    if not summary.front:
        return Markup()
    headings = [
        html("<th>{}</th>", "trial"),
        _number_heading("latency", "ms, 95 % interval"),
        _number_heading("proxy accuracy", "± standard error"),
        _number_heading("on the front", "probability"),
        *([_number_heading("in the limits", "probability")] if summary.limit_names else []),
        _number_heading("test accuracy", "sealed share"),
        html("<th>{}</th>", "measurement"),
        _number_heading("parameters", ""),
        _number_heading("MACs", "one image"),
        html("<th>{}</th>", "digest"),
    ]
    rows = [_front_row(summary, record) for record in summary.front]
    note = f"Latency per batch under: {summary.conditions_text}." if summary.conditions_text else ""
    return html('{}<p class="note">{}</p>{}', _table(headings, rows), note, _others(summary))


def _others(summary: Summary) -> Markup:
    """Who is not on the front and may belong there; empty without any."""
    if not summary.others_with_a_chance:
        return Markup()
    named = ", ".join(
        f"trial {number} ({chance(share)})" for number, share in summary.others_with_a_chance
    )
    return html('<p class="note">{}</p>', f"Not on the front, but with a chance: {named}.")


def reference_table(summary: Summary) -> Markup:
    """The published networks measured beside the study; empty where there are none."""
    if not summary.references:
        return Markup()
    headings = [
        html("<th>{}</th>", "network"),
        _number_heading("latency", "ms, 95 % interval"),
        html("<th>{}</th>", "measurement"),
        _number_heading("parameters", ""),
        _number_heading("MACs", "one image"),
    ]
    rows = [
        html(
            '<tr><td class="name">{}</td>{}{}{}{}</tr>',
            reference.name,
            _latency_cell(reference.latency),
            _verdict_cell(reference.latency),
            _count_cell(reference.params),
            _count_cell(reference.macs),
        )
        for reference in summary.references
    ]
    return html(
        "<p>Measured on the same machine under the same conditions as the trials, to hold their "
        "latency against. They were not trained here, so they have no accuracy on this data.</p>{}",
        _table(headings, rows),
    )


def trials_table(summary: Summary) -> Markup:
    """The trials, the most accurate first; unfolded where there is no front to look at."""
    if not summary.trials:
        return Markup()
    shown = sorted(summary.trials, key=_most_accurate_first)[:TRIALS_SHOWN]
    headings = [
        html("<th>{}</th>", "trial"),
        html("<th>{}</th>", "state"),
        _number_heading("latency", "ms, 95 % interval"),
        _number_heading("proxy accuracy", "± standard error"),
        _number_heading("parameters", ""),
        _number_heading("MACs", "one image"),
        html("<th>{}</th>", "why it ended"),
    ]
    rows = [_trial_row(summary, record) for record in shown]
    all_shown = len(shown) == len(summary.trials)
    title = (
        f"{exact(len(shown))} trials, the most accurate first"
        if all_shown
        else f"the {len(shown)} most accurate of {exact(len(summary.trials))} trials; "
        "trials.csv in the study's folder has all"
    )
    return html(
        '<details{}><summary>{}</summary><div class="inner">{}</div></details>',
        "" if summary.front else Markup(" open"),
        title,
        _table(headings, rows),
    )


def _front_row(summary: Summary, record: TrialRecord) -> Markup:
    return html(
        '<tr id="trial-{}"><td data-value="{}"><a href="#design-{}">{}</a></td>'
        "{}{}{}{}{}{}{}{}<td><code>{}</code></td></tr>",
        record.number,
        record.number,
        record.number,
        record.number,
        _latency_cell(record.latency),
        _share_cell(record.proxy_accuracy, summary.accuracy_error(record)),
        _chance_cell(summary.doubt.on_front.get(record.number)),
        _chance_cell(summary.doubt.meets_limits.get(record.number)) if summary.limit_names else "",
        _share_cell(record.test_accuracy, summary.test_error(record)),
        _verdict_cell(record.latency),
        _count_cell(record.params),
        _count_cell(record.macs),
        record.digest,
    )


def _trial_row(summary: Summary, record: TrialRecord) -> Markup:
    why = record.failure.message if record.failure else record.reason
    if record.origin:
        why = "; ".join(filter(None, (f"taken from {record.origin}", why)))
    return html(
        '<tr><td data-value="{}">{}</td><td>{}</td>{}{}{}{}<td class="prose">{}</td></tr>',
        record.number,
        record.number,
        _STATES.get(record.state, record.state),
        _latency_cell(record.latency),
        _share_cell(record.proxy_accuracy, summary.accuracy_error(record)),
        _count_cell(record.params),
        _count_cell(record.macs),
        one_line(why, length=200),
    )


def _table(headings: Sequence[Markup], rows: Sequence[Markup]) -> Markup:
    return html(
        '<div class="scroll" tabindex="0"><table class="sortable">\n<thead><tr>{}</tr></thead>\n'
        "<tbody>\n{}</tbody>\n</table></div>",
        headings,
        [html("{}\n", row) for row in rows],
    )


def _number_heading(name: str, unit: str) -> Markup:
    return html('<th class="number">{}<small>{}</small></th>', name, unit)


def _latency_cell(latency: Measurement | None) -> Markup:
    if latency is None or latency.value is None:
        return html('<td class="number" data-value="">{}</td>', NOT_THERE)
    value, _, interval = with_interval(latency.value, latency.low, latency.high).partition(" ")
    return html(
        '<td class="number" data-value="{}">{} <small>{}</small></td>',
        latency.value,
        value,
        interval,
    )


def _verdict_cell(latency: Measurement | None) -> Markup:
    if latency is None:
        return html("<td>{}</td>", NOT_THERE)
    why = html('<span class="why">{}</span>', one_line(latency.reason)) if latency.reason else ""
    kind = latency.verdict if latency.verdict in ("stable", "disturbed") else "incomplete"
    return html('<td data-value="{}"><span class="{}">{}</span>{}</td>', kind, kind, kind, why)


def _share_cell(share: float | None, error: float | None) -> Markup:
    if share is None:
        return html('<td class="number" data-value="">{}</td>', NOT_THERE)
    value, _, spread = percent(share, error).removesuffix(" %").partition(" ")
    return html(
        '<td class="number" data-value="{}">{} <small>{}</small> %</td>', share, value, spread
    )


def _chance_cell(share: float | None) -> Markup:
    if share is None:
        return html('<td class="number" data-value="">{}</td>', NOT_THERE)
    return html('<td class="number" data-value="{}">{}</td>', share, chance(share))


def _count_cell(count: int) -> Markup:
    return html(
        '<td class="number" data-value="{}" title="{}">{}</td>', count, exact(count), short(count)
    )


def _most_accurate_first(record: TrialRecord) -> tuple[float, float, int]:
    accuracy = -1.0 if record.proxy_accuracy is None else record.proxy_accuracy
    latency = record.latency.value if record.latency else None
    return (-accuracy, math.inf if latency is None else latency, record.number)
