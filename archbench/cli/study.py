"""How does a finished study reach the person, and how is one named on the command line?"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.cli import console
from archbench.command_line import command_line, study_argument
from archbench.errors import NEGATIVE_RESULT
from archbench.report.text import WIDTH

if TYPE_CHECKING:
    from archbench.analysis.study import StudyReader


def show(study: StudyReader, *, files: Sequence[Path]) -> None:
    """Print what a study found: counts, verdict, front, the files that hold it."""
    from archbench.analysis.verdict import taken_in_words
    from archbench.report.findings.front import front_table
    from archbench.report.summary import Summary

    counts = study.counts()
    told = ", ".join(
        f"{count} {state.replace('_', ' ')}" for state, count in counts.items() if count
    )
    console.result(f"{study.name}: {sum(counts.values())} trials ({told or 'none yet'})")
    taken = taken_in_words(study.trials())
    console.result(f"{taken}\n" if taken else "")
    console.result(textwrap.fill(study.verdict(), WIDTH, break_on_hyphens=False))
    members = study.front_records()
    if members:
        console.result("\n" + front_table(members, summary=Summary(study)))
        console.result("\n" + textwrap.fill(_hypervolume(study), WIDTH))
    if study.pruning:
        console.result("\n" + textwrap.fill(study.pruning.in_words(), WIDTH))
    if files:
        listed = "\n".join(f"  {path}" for path in files)
        console.result(f"\nwritten:\n{listed}")


def end(study: StudyReader, *, as_json: bool) -> int:
    """Write the report of a study that was worked on, print what it found; the exit code."""
    from archbench.report import write_report

    files = write_report(study, study.path / "report")
    if as_json:
        console.document(study.document())
    else:
        show(study, files=[study.path / "study.db", *files])
        page = next((path for path in files if path.suffix == ".html"), None)
        console.next_step(next_after(study, page=page))
    return 0 if study.front_records() else NEGATIVE_RESULT


def next_after(study: StudyReader, *, page: Path | None) -> str:
    """What to do after looking at a study."""
    look = command_line("open", page) if page else ""
    members = study.front_records()
    if not members:
        return look or command_line("archbench", "report", study.path)
    trial = f"{study_argument(study.path)}:{members[-1].number}"
    data = study.header["proxy"]["data"]
    train = command_line("archbench", "train", trial, "--data", data, "--epochs", 30)
    return f"{look}, or {train}" if look else train


def _hypervolume(study: StudyReader) -> str:
    from archbench.report.number import with_interval
    from archbench.study.objective import OBJECTIVES

    corner = study.reference_point() or {}
    sides = ", ".join(OBJECTIVES[name].text(value) for name, value in corner.items())
    told = f"hypervolume {study.hypervolume():.3f}: that share of the box from {sides} to the ideal"
    covered = study.doubt.hypervolume
    if covered is None:
        return told
    interval = with_interval(covered.value, covered.low, covered.high)
    return f"{told}; {interval} with the luck of the best taken out"
