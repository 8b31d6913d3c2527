"""What does one owner cost a trial, and what do very many trials take?

    python benchmarks/faults/scale.py run FOLDER --workers 1000 --trials 3000
    python benchmarks/faults/scale.py open STUDY

``run`` searches with hands that only sleep, and then send a rung with a checkpoint and end: what is
counted is the processor time of the owner alone, with the file and the database written as ever.
``open`` opens a study, such as ``large_study.py`` makes, asks for a proposal, and reports it.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from faults import SPACE

from archbench.analysis.study import open_study
from archbench.report import write_report
from archbench.search import events, search
from archbench.search.context import StudyContext
from archbench.search.engines._hand import Heard
from archbench.search.engines._packing import NodeNames, PackedJob, PackedQuestion, pack
from archbench.search.engines._remote import RemoteEngine
from archbench.search.growth import as_begun
from archbench.search.jobs import RungReached, TrialEnd
from archbench.search.opening import opened
from archbench.search.optuna_view import Ledger
from archbench.search.sampler import load_sampler
from archbench.search.scheduler import Done, Report, Sent
from archbench.search.settings import settings_of
from archbench.search.suggestion import Suggester
from archbench.search.trials import run_trials
from archbench.space import SearchSpace
from archbench.study.trial import CurvePoint

_CHECKPOINT = bytes(100_000)
_SHA256 = hashlib.sha256(_CHECKPOINT).hexdigest()
_HOME = Path("/node")


@dataclass
class Sleeper:
    """A hand that sleeps, reports a rung, sleeps and ends."""

    cluster: Sleepers
    job: PackedJob | None = None

    def start(self, job: PackedJob, **how: Any) -> Any:
        """The rung, to come."""
        self.job = job
        file = next(file for file in job.files if ".checkpoint." in file[1])
        accuracy = (job.number * 7919 % 1000) / 1000
        point = CurvePoint(seed=0, epoch=1, step=8, loss=1.0, accuracy=accuracy, seconds=1.0)
        rung = RungReached(point=point, path=_HOME.joinpath(*file), sha256=_SHA256)
        packed = PackedQuestion(content=pack(rung, names=NodeNames(home=_HOME)))
        report = Sent(number=job.number, payload=packed)
        return self.cluster.later(Heard(report=report, files={file: (_SHA256, _CHECKPOINT)}))

    def answer(self, number: int, content: Any) -> Any:
        """The end, to come."""
        end = TrialEnd(state="complete", proxy_accuracy=(number * 7919 % 1000) / 1000)
        report: Report = Done(number=number, result=pack(end, names=NodeNames(home=_HOME)))
        return self.cluster.later(Heard(report=report))

    def next(self) -> Any:
        """Nothing: all that is sent asks."""
        raise AssertionError("it waits for its answer")


@dataclass
class Sleepers:
    """A cluster of hands that sleep for some seconds before each report."""

    number: int
    sleep_s: float
    waited_s: float = 0.0
    due: list[tuple[float, int]] = field(default_factory=list)
    coming: dict[int, Heard] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    def slots(self) -> int:
        """All of them."""
        return self.number

    def targets(self) -> int:
        """None is asked."""
        return 1

    def hire(self, place: str) -> Sleeper:
        """Another one."""
        return Sleeper(self)

    def dismiss(self, hand: Any) -> None:
        """Nothing to end."""

    def share(self, file: Path) -> None:
        """Nothing to send."""

    def later(self, heard: Heard) -> int:
        """What is to come."""
        number = next(self.numbers)
        self.coming[number] = heard
        heapq.heappush(self.due, (time.monotonic() + self.sleep_s, number))
        return number

    def wait(self, coming: Sequence[int], *, timeout_s: float) -> Sequence[int]:
        """Those that are due."""
        begun, found = time.monotonic(), []
        time.sleep(max(0.0, min(timeout_s, self.due[0][0] - begun)))
        self.waited_s += time.monotonic() - begun
        while self.due and self.due[0][0] <= time.monotonic():
            found.append(heapq.heappop(self.due)[1])
        return found

    def heard(self, number: int) -> Heard:
        """A report."""
        return self.coming.pop(number)


def run(folder: Path, *, workers: int, trials: int, sleep_s: float) -> None:
    """Prints milliseconds of the owner for each trial, and its memory, quarter by quarter."""
    space, results = folder / "tiny.yaml", folder / "results"
    folder.mkdir(parents=True, exist_ok=True)
    text = SPACE.replace("sampler: tpe", "sampler: random").replace(
        "rungs: [1, 2, 3]", "rungs: [1]"
    )
    space.write_text(text)
    study = search(space, results=results, name="tiny", trials=1, workers=1)
    assert study is not None
    said = {"trials": trials, "workers": workers, "sampler": "random"}
    settings = settings_of(SearchSpace.load(space), said, name="tiny", results=results)
    sleepers = Sleepers(workers, sleep_s)
    seen = [(0, time.process_time(), time.monotonic(), 0.0)]

    def listen(event: events.Event) -> None:
        if isinstance(event, events.TrialFinished) and event.trials_done % (trials // 4) == 0:
            seen.append(
                (event.trials_done, time.process_time(), time.monotonic(), sleepers.waited_s)
            )
            (n, cpu, wall, idle), (before, cpu_0, wall_0, idle_0) = seen[-1], seen[-2]
            number, busy = n - before, wall - wall_0 - (idle - idle_0)
            kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(
                f"{before:6d} to {n:6d}: {1e3 * (cpu - cpu_0) / number:6.2f} ms of CPU and "
                f"{1e3 * busy / number:6.2f} ms busy a trial, {kib / 1024:.0f} MB",
                flush=True,
            )

    make: Callable[[int], RemoteEngine] = lambda n: RemoteEngine(sleepers, workers=n, own=print)  # noqa: E731
    settings = as_begun(settings, study.header)
    with StudyContext(settings, tell=listen, make_engine=make) as context, opened(context):
        context.start(workers, device="cpu")
        print(run_trials(context))


def open_large(path: Path) -> None:
    """Prints the seconds of CPU that opening, asking and reporting take."""
    space = SearchSpace(open_study(path).header["space_text"], source="space.yaml")
    begun = time.process_time()

    def lap(what: str) -> None:
        nonlocal begun
        now, kib = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{what}: {now - begun:.2f} s, {kib / 1024:.0f} MB", flush=True)
        begun = time.process_time()

    with Ledger.open(path / "study.db") as study:
        lap(f"opened as its owner, {len(study.trials)} trials")
        directions = list(space.objectives.values())
        sampler = load_sampler("cost_aware")
        suggester = Suggester(space, sampler=sampler, seed=3, directions=directions)
        suggester.restore(
            (study.frozen(r), r.digest, study.knowledge(r)) for r in study.trials.values()
        )
        lap("given to the sampler")
        for asked in ("first", "second"):
            suggester.suggest(len(study.trials))
            lap(f"asked, the {asked} time")
    with tempfile.TemporaryDirectory() as folder:
        found = open_study(path)
        found.trials()
        lap("read")
        write_report(found, Path(folder))
        lap("reported")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "open"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--sleep", type=float, default=0.5)
    asked = parser.parse_args()
    if asked.what == "open":
        open_large(asked.folder)
    else:
        run(asked.folder, workers=asked.workers, trials=asked.trials, sleep_s=asked.sleep)
