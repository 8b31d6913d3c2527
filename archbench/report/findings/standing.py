"""How does a study stand while its search runs: what its folder tells another process."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archbench.analysis.study import StudyReader, open_study
from archbench.report import number
from archbench.report.findings.front import front_so_far, latency_text
from archbench.report.summary import mean_curve
from archbench.study.study_folder import DATABASE, is_owned
from archbench.study.trial import TrialRecord


@dataclass(frozen=True)
class Standing:
    """A study at one moment."""

    study: StudyReader
    is_running: bool  # whether a process works on it

    @property
    def trials(self) -> int:
        """How many trials there will be, as far as the study says."""
        return max(int(self.study.header.get("trials") or 0), len(self.study.trials()))

    @property
    def trials_done(self) -> int:
        """How many have ended."""
        return len(self.study.trials()) - self.study.counts()["running"]

    def share(self) -> float:
        """How many of the trials have ended, from 0 to 1."""
        return self.trials_done / max(1, self.trials)

    def headline(self) -> str:
        """Where the search stands, in one line."""
        told = f"{self.study.name}  {self.trials_done} of {self.trials} trials"
        if not self.is_running:
            return f"{told}  nobody works on it now"
        spent = [record.seconds for record in self.study.trials() if record.state != "running"]
        left = self.trials - self.trials_done
        if not left or not any(spent):
            return f"{told}  running"
        workers = max(1, self.study.counts()["running"])
        seconds = left * sum(spent) / len(spent) / workers
        return f"{told}  about {number.duration(seconds)} of trials left"

    def lines(self) -> list[str]:
        """What runs now, then the front so far or why there is none."""
        running = [*_running(self.study.trials())] if self.is_running else []
        members = self.study.front_records()
        if not members:
            return [*running, "", f"no front yet: {self.study.no_front_reason()}"]
        return [*running, "", *front_so_far(members)]


def standing(path: Path) -> Standing:
    """How the study in a folder stands now.

    Raises:
        StorageError: There is no study, or it cannot be read.
    """
    is_running = is_owned(path)  # first: what its process writes last is read
    return Standing(open_study(path), is_running)


def stamp(path: Path) -> tuple[object, ...]:
    """What differs once something was written into the study, or its search began or ended."""
    found = []
    for suffix in ("", "-wal"):
        try:
            told = path.joinpath(f"{DATABASE}{suffix}").stat()
            found.append((told.st_mtime_ns, told.st_size))
        except FileNotFoundError:
            found.append((0, 0))
    return (*found, is_owned(path))


def _running(trials: list[TrialRecord]) -> Iterator[str]:
    for record in trials:
        if record.state != "running":
            continue
        doing = "being timed"
        if record.latency is not None:
            doing = f"{latency_text(record.latency)}, training"
        if record.curve:
            epochs, shares = mean_curve(record)
            doing += f", {number.percent(shares[-1])} after {number.plural(epochs[-1], 'epoch')}"
        yield f"trial {record.number}  {doing}"
