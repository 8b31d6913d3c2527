"""The page: one HTML file that works from disk and needs no network."""

from __future__ import annotations

from pathlib import Path

from archbench.analysis.study import StudyReader
from archbench.report.study_page import page
from archbench.report.summary import Summary
from archbench.study.file import write_atomically


def write(study: StudyReader, folder: Path) -> Path:
    """Write ``report.html`` and give its path."""
    path = folder / "report.html"
    write_atomically(path, page(Summary(study)).encode())
    return path
