"""The tables derived from a study's database, written again while the search goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from archbench.analysis.study import open_study
from archbench.analysis.table import write_tables

_EVERY_S = 10.0
_LARGEST_SHARE = 0.05


class DerivedTables:
    """Writes the tables when they are due; the database is the truth in any case.

    Args:
        path: The study folder.
        clock: Monotonic seconds.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._is_stale = False
        self._due = clock()

    def mark_changed(self) -> None:
        """Notes that the study has changed."""
        self._is_stale = True

    def write_if_due(self) -> None:
        """Writes them if the study changed, and not too often: under a twentieth of the time."""
        if self._is_stale and self._clock() >= self._due:
            self.write()

    def write(self) -> None:
        """Writes them now.

        Raises:
            StorageError: The folder cannot be written.
        """
        begin = self._clock()
        write_tables(self._path, open_study(self._path))
        self._is_stale = False
        end = self._clock()
        self._due = end + max(_EVERY_S, (end - begin) / _LARGEST_SHARE)
