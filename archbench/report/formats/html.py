"""The page: one HTML file that works from disk and needs no network."""

from __future__ import annotations

from pathlib import Path

from archbench.records.file import write_atomically
from archbench.records.study import StudyReader
from archbench.report.page import page
from archbench.report.summary import Summary


def write(study: StudyReader, folder: Path) -> Path:
    """Write ``report.html`` and give its path."""
    path = folder / "report.html"
    write_atomically(path, page(Summary(study)).encode())
    return path
