"""Numbers of a study as pages and plots; reads its records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.registry import Registry

if TYPE_CHECKING:
    from archbench.analysis.study import StudyReader

FORMATS = Registry("archbench.report.formats", "report format")


def write_report(
    study: StudyReader, folder: Path | None = None, *, formats: Sequence[str] = ()
) -> list[Path]:
    """Write a study in some formats, each file whole or not at all.

    Args:
        study: The study as it stands; it may still be running.
        folder: Where to; ``report`` in the study's folder if not said.
        formats: Their names; all without any.

    Returns:
        The files written.

    Raises:
        UsageError: There is no such format.
        StorageError: The folder cannot be made or written in.
    """
    from archbench.report.finding import write_files

    folder = study.path / "report" if folder is None else folder
    wanted = [FORMATS.load(name) for name in formats or FORMATS.names]
    return write_files(folder, {entry.FILE: entry.content(study) for entry in wanted})
