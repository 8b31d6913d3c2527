"""Numbers of a study as pages and plots; reads its records and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archbench.registry import Registry

if TYPE_CHECKING:
    from archbench.analysis.study import StudyReader

FORMATS = Registry("archbench.report.formats", "report format")


def write_report(study: StudyReader, folder: Path | None = None) -> list[Path]:
    """Write a study in every format, each file whole or not at all.

    Args:
        study: The study as it stands; it may still be running.
        folder: Where to; ``report`` in the study's folder if not said.

    Returns:
        The files written, by name of their format.

    Raises:
        StorageError: The folder cannot be made or written in.
    """
    from archbench.report.finding import make_folder

    folder = study.path / "report" if folder is None else folder
    make_folder(folder)
    return [FORMATS.load(name).write(study, folder) for name in FORMATS.names]
