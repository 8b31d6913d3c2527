"""The plot of the front as a drawing that stays sharp at any size, its text as text."""

from __future__ import annotations

from pathlib import Path

from archbench.analysis.study import StudyReader
from archbench.report.figure import svg_text
from archbench.report.study_plot import pareto_figure
from archbench.report.summary import Summary
from archbench.study.file import write_atomically


def write(study: StudyReader, folder: Path) -> Path:
    """Write ``pareto.svg`` and give its path."""
    path = folder / "pareto.svg"
    write_atomically(path, svg_text(pareto_figure(Summary(study))).encode())
    return path
