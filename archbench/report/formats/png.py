"""The plot of the front as an image."""

from __future__ import annotations

from pathlib import Path

from archbench.analysis.study import StudyReader
from archbench.report.figure import png_bytes
from archbench.report.study_plot import pareto_figure
from archbench.report.summary import Summary
from archbench.study.file import write_atomically


def write(study: StudyReader, folder: Path) -> Path:
    """Write ``pareto.png`` and give its path."""
    path = folder / "pareto.png"
    write_atomically(path, png_bytes(pareto_figure(Summary(study))))
    return path
