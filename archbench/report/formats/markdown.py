"""The front as a Markdown table, to paste into an issue or a README."""

from __future__ import annotations

import re
from pathlib import Path

from archbench.analysis.study import StudyReader
from archbench.report.command import train_command
from archbench.report.html import one_line, visible
from archbench.report.number import NOT_THERE, chance, percent, short, with_interval
from archbench.report.summary import Summary
from archbench.study.file import write_atomically
from archbench.study.trial import TrialRecord

_COLUMNS = (
    ("trial", "---:"),
    ("latency, ms (95 % interval)", "---:"),
    ("measurement", ":---"),
    ("proxy accuracy (± s.e.)", "---:"),
    ("on the front", "---:"),
    ("in the limits", "---:"),
    ("test accuracy (± s.e.)", "---:"),
    ("parameters", "---:"),
    ("MACs", "---:"),
    ("digest", ":---"),
)
# What means something anywhere in a line, and what does at its beginning only.
_ANYWHERE = re.compile(r"[\\`*_\[\]<>&|#@~!$]|:(?=/)|(?<=www)\.", re.IGNORECASE)
_AT_START = re.compile(r"^([-+=]|\d+(?=[.)]))")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def write(study: StudyReader, folder: Path) -> Path:
    """Write ``front.md`` and give its path."""
    path = folder / "front.md"
    write_atomically(path, _text(Summary(study)).encode())
    return path


def escaped(text: str) -> str:
    """The text on one line such that no part of it means anything in Markdown or HTML."""

    def escape(found: re.Match[str]) -> str:
        return _ENTITIES.get(found.group(), f"\\{found.group()}")

    line = _ANYWHERE.sub(escape, visible(one_line(text, length=1000)))
    return _AT_START.sub(_escaped_start, line)


def _escaped_start(found: re.Match[str]) -> str:
    """A list item or an underline begins here, unless its mark is spelt out."""
    mark = found.group()
    return f"&#{ord(mark[0])};{mark[1:]}"


def _text(summary: Summary) -> str:
    paragraphs = [f"# {escaped(summary.name)}", escaped(summary.study.verdict())]
    if summary.front:
        paragraphs.append(_table(summary))
        conditions = summary.conditions_text
        paragraphs.append(
            (f"Latency per batch: {escaped(conditions)}. " if conditions else "")
            + "MACs count a multiply and its add as 1; papers print this number as FLOPs. "
            "Proxy accuracy ranks designs and is not your accuracy."
        )
        best = max(summary.front, key=lambda record: record.proxy_accuracy or 0)
        command = visible(one_line(train_command(summary, best.number), length=1000))
        paragraphs.append(f"Train the most accurate: {_code(command)}")
    return "\n\n".join(paragraphs) + "\n"


def _table(summary: Summary) -> str:
    rows = [[name for name, _ in _COLUMNS], [line for _, line in _COLUMNS]]
    rows += [_row(summary, record) for record in summary.front]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(summary: Summary, record: TrialRecord) -> list[str]:
    latency = record.latency
    measured = latency is not None and latency.value is not None
    return [
        str(record.number),
        with_interval(latency.value, latency.low, latency.high)
        if latency is not None and latency.value is not None
        else NOT_THERE,
        escaped(latency.verdict) if latency is not None and measured else NOT_THERE,
        _share(record.proxy_accuracy, summary.accuracy_error(record)),
        _chance(summary.doubt.on_front.get(record.number)),
        _chance(summary.doubt.meets_limits.get(record.number)),
        _share(record.test_accuracy, summary.test_error(record)),
        short(record.params),
        short(record.macs),
        escaped(record.digest),
    ]


def _chance(share: float | None) -> str:
    return NOT_THERE if share is None else escaped(chance(share))


def _share(share: float | None, error: float | None) -> str:
    return NOT_THERE if share is None else percent(share, error)


def _code(text: str) -> str:
    """The text as code, fenced by more backticks than it has in a row."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"{fence}{text}{fence}"
