"""What is each design of the front: its choices and its spec, to copy."""

from __future__ import annotations

from archbench.report.command import code, train_command
from archbench.report.document import to_words, to_yaml
from archbench.report.html import Markup, html
from archbench.report.number import exact, percent, with_interval
from archbench.report.summary import Summary
from archbench.study.trial import TrialRecord


def designs(summary: Summary) -> Markup:
    """One foldable block for each member of the front; empty where there are none."""
    if not summary.front:
        return Markup()
    return html(
        "<p>Each spec is a network that archbench builds as it stands, and a valid start of a "
        "space: save it as a file, then profile or train it.</p>\n{}",
        [_design(summary, record) for record in summary.front],
    )


def _design(summary: Summary, record: TrialRecord) -> Markup:
    return html(
        '<details id="design-{}"><summary><b>Trial {}</b> {}</summary><div class="inner">\n'
        "{}\n{}\n{}\n</div></details>\n",
        record.number,
        record.number,
        [html("<span>{}</span> ", text) for text in _headline(record)],
        _facts(record),
        code(to_yaml(record.spec)),
        code(train_command(summary, record.number)),
    )


def _headline(record: TrialRecord) -> list[str]:
    words = []
    if record.latency and record.latency.value is not None:
        low, high = record.latency.low, record.latency.high
        words.append(f"{with_interval(record.latency.value, low, high).split(' (')[0]} ms")
    if record.proxy_accuracy is not None:
        words.append(f"{percent(record.proxy_accuracy)} proxy accuracy")
    return words


def _facts(record: TrialRecord) -> Markup:
    rows = [
        ("parameters", exact(record.params)),
        ("MACs, one image", exact(record.macs)),
        ("activations, one image", exact(record.activations)),
        ("digest", record.digest),
        *([("taken from", record.origin)] if record.origin else []),
    ]
    chosen = [
        html("<dt><code>{}</code></dt><dd>{}</dd>", axis, to_words(value))
        for axis, value in record.choices.items()
    ]
    return html(
        '<dl class="facts">{}{}</dl>',
        [html("<dt>{}</dt><dd>{}</dd>", name, value) for name, value in rows],
        chosen,
    )
