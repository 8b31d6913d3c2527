"""Is what a search acknowledged in its file? Asked of SQLite alone, beside archbench."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Oracle:
    """What was acknowledged so far: how trials ended, and what rungs reached."""

    ends: dict[int, tuple[str, str, float | None]] = field(default_factory=dict)
    rungs: dict[tuple[int, int, int], tuple[float, float]] = field(default_factory=dict)

    def hear(self, told: Mapping[str, Any]) -> None:
        """Takes in a line of ``searching.py``."""
        if told["event"] == "TrialFinished":
            self.ends[told["trial"]] = told["state"], told["digest"], told["accuracy"]
        if told["event"] == "RungFinished":
            place = told["trial"], told["seed"], told["epoch"]
            self.rungs[place] = told["loss"], told["accuracy"]

    def faults(self, study: Path) -> list[str]:
        """What is lost, other than it was told, or there twice."""
        with _copied(study) as connection:
            ask = "SELECT number, state, digest, proxy_accuracy FROM archbench_trial"
            trials = {number: tuple(values) for number, *values in connection.execute(ask)}
            ask = "SELECT trial, seed, epoch, loss, accuracy FROM archbench_point"
            points = {tuple(row[:3]): tuple(row[3:]) for row in connection.execute(ask)}
            (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
        found = [f"integrity_check says {sound}"] if sound != "ok" else []
        for kind, told, there in (("trial", self.ends, trials), ("rung", self.rungs, points)):
            found += [f"{kind} {key} is lost" for key in told if key not in there]
            found += [
                f"{kind} {key} is {there[key]} and was told as {value}"
                for key, value in told.items()
                if key in there and there[key] != value
            ]
        if sorted(trials) != list(range(len(trials))):
            found.append(f"numbers have gaps: {sorted(trials)}")
        digests = Counter(digest for _, digest, _ in trials.values())
        return found + [f"{digest} is there twice" for digest, n in digests.items() if n > 1]


def contents(study: Path) -> list[tuple[Any, ...]]:
    """All that must be equal bit for bit in two studies that came to be in different ways."""
    with _copied(study) as connection:
        trials = "SELECT number, state, digest, choices, proxy_accuracy FROM archbench_trial"
        points = "SELECT trial, seed, epoch, step, loss, accuracy FROM archbench_point"
        return [*connection.execute(f"{trials} ORDER BY 1"), *connection.execute(points)]


def num_ended(study: Path) -> int:
    """Trials that have ended."""
    with _copied(study) as connection:
        ask = "SELECT COUNT(*) FROM archbench_trial WHERE state != 'running'"
        (found,) = connection.execute(ask).fetchone()
        return int(found)


@contextmanager
def _copied(study: Path) -> Iterator[sqlite3.Connection]:
    """A copy of the database with its log, so that looking changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("", "-wal"):
            file = study / f"study.db{ending}"
            if file.exists():
                shutil.copy(file, Path(folder) / file.name)
        with closing(sqlite3.connect(Path(folder) / "study.db")) as connection:
            yield connection
