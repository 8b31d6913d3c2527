"""The plot of the front as an image."""

from __future__ import annotations

from pathlib import Path

from archbench.records.file import write_atomically
from archbench.records.study import StudyReader
from archbench.report.figure import png_bytes
from archbench.report.plot import pareto_figure
from archbench.report.summary import Summary


def write(study: StudyReader, folder: Path) -> Path:
    """Write ``pareto.png`` and give its path."""
    path = folder / "pareto.png"
    write_atomically(path, png_bytes(pareto_figure(Summary(study))))
    return path
