"""Numbers of a study as pages and plots; reads its records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.registry import Registry

if TYPE_CHECKING:
    from archbench.analysis.study import StudyReader

FORMATS = Registry(
    "archbench.report.formats", "report format", "archbench.formats", needs=("FILE", "content")
)


def write_report(
    study: StudyReader, folder: Path | None = None, *, formats: Sequence[str] = ()
) -> list[Path]:
    """Write a study, which may be running, in some formats or in all; the files.

    Each is written whole or not at all, into ``report`` in the study's folder if no other is said.

    Raises:
        UsageError: There is no such format.
        StorageError: The folder cannot be made or written in, or that in the study is a link.
    """
    from archbench.report.finding import write_files
    from archbench.study.study_folder import REPORT, own_folder

    folder = own_folder(study.path, REPORT) if folder is None else folder
    wanted = [FORMATS.load(name) for name in formats or FORMATS.names]
    return write_files(folder, {entry.FILE: entry.content(study) for entry in wanted})
