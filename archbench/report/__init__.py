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
    study: StudyReader | Path | str,
    folder: Path | str | None = None,
    *,
    formats: str | Sequence[str] = (),
) -> list[Path]:
    """Write a study or that in a folder, which may be running, in some formats or in all of ours.

    Each is written whole or not at all, into ``report`` in the study's folder if no other is said.

    Raises:
        UsageError: There is no such format.
        StorageError: The folder cannot be made or written in, or that in the study is a link.
    """
    from archbench.analysis.study import as_study
    from archbench.report.finding import write_files
    from archbench.study.study_folder import REPORT, own_folder, path_of

    study = as_study(study)
    if folder is None:
        folder = own_folder(study.path, REPORT)
    folder = path_of(folder, place="folder")
    names = [formats] if isinstance(formats, str) else formats
    wanted = [FORMATS.load(name) for name in names or FORMATS.names]
    return write_files(folder, {entry.FILE: entry.content(study) for entry in wanted})
