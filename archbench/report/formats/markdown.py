"""The front as a Markdown table, to paste into an issue or a README."""

import re

from archbench.analysis.study import StudyReader
from archbench.report.element import ReportTable
from archbench.report.findings.front import front_table
from archbench.report.html import one_line, visible
from archbench.report.inventory import train_command
from archbench.report.summary import Summary

FILE = "front.md"

# What means something anywhere in a line, and what does at its beginning only.
_ANYWHERE = re.compile(r"[\\`*_\[\]<>&|#@~!$]|:(?=/)|(?<=www)\.", re.IGNORECASE)
_AT_START = re.compile(r"^([-+=]|\d+(?=[.)]))")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def content(study: StudyReader) -> bytes:
    """The front of a study under its verdict."""
    summary = Summary(study)
    paragraphs = [f"# {escaped(summary.name)}", escaped(study.verdict())]
    if (best := study.recommended) is not None:
        conditions = summary.conditions_text
        command = train_command(summary, best.number)
        paragraphs += [
            _table(front_table(summary.front, summary=summary)),
            (f"Latency per batch: {escaped(conditions)}. " if conditions else "")
            + "MACs count a multiply and its add as 1; papers print this number as FLOPs. "
            "Proxy accuracy ranks designs and is not your accuracy.",
            f"Train trial {best.number}: {_code(visible(one_line(command, length=1000)))}",
        ]
    return ("\n\n".join(paragraphs) + "\n").encode()


def escaped(text: str) -> str:
    """The text on one line such that no part of it means anything in Markdown or HTML."""
    shown = _in_line(text)  # a list item or an underline begins there unless its mark is spelt out
    return _AT_START.sub(lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", shown)


def _in_line(text: str) -> str:
    """The same for a text that begins no line."""
    shown = visible(one_line(text, length=2000))
    return _ANYWHERE.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), shown)


def _table(found: ReportTable) -> str:
    sides = found.sides()
    titles = [found.titles.get(title, title) for title in sides]
    rows = [titles, ["---:" if side == "r" else ":---" for side in sides.values()]]
    rows += [[_in_line(str(row[title])) for title in sides] for row in found.members()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _code(text: str) -> str:
    """The text as code, fenced by more backticks than it has in a row."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"{fence}{text}{fence}"
