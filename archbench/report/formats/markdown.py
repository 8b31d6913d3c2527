"""The front as a Markdown table, to paste into an issue or a README."""

from archbench.analysis.study import StudyReader
from archbench.report.findings.front import front_table
from archbench.report.html import one_line, visible
from archbench.report.inventory import train_command
from archbench.report.plain import code, escaped, markdown_table
from archbench.report.summary import Summary

FILE = "front.md"


def content(study: StudyReader) -> bytes:
    """The front of a study under its verdict."""
    summary = Summary(study)
    paragraphs = [f"# {escaped(summary.name)}", escaped(study.verdict())]
    if (best := study.recommended) is not None:
        conditions = summary.conditions_text
        command = train_command(summary, best.number)
        paragraphs += [
            markdown_table(front_table(summary.front, summary=summary)),
            (f"Latency per batch: {escaped(conditions)}. " if conditions else "")
            + "MACs count a multiply and its add as 1; papers print this number as FLOPs. "
            "Proxy accuracy ranks designs and is not your accuracy.",
            f"Train trial {best.number}: {code(visible(one_line(command, length=1000)))}",
        ]
    return ("\n\n".join(paragraphs) + "\n").encode()
