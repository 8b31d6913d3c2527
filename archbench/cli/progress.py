"""What does a person see of a running search: lines on a pipe, one picture on a terminal."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from functools import singledispatchmethod
from typing import TYPE_CHECKING, NamedTuple, Protocol

from archbench.cli import console
from archbench.report import number
from archbench.report.findings.front import accuracy_text, cost_text, front_table, latency_text
from archbench.report.text import clean, listed
from archbench.search import events
from archbench.study.trial import TrialRecord, final_accuracies

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

ROWS = 8
"""Members of the front that the picture shows at most."""


class Pictured(Protocol):
    """A headline over a bar, and lines beneath it."""

    @property
    def trials(self) -> int:
        """How many there will be."""

    @property
    def trials_done(self) -> int:
        """How many have ended."""

    def headline(self) -> str:
        """The line above the bar."""

    def lines(self) -> list[str]:
        """Those beneath it."""


class Running(NamedTuple):
    """Number of a worker's trial, what it does, in words, and when the trial began."""

    trial: int
    doing: str
    since: float


class SearchProgress:
    """All that the events of a search have said so far; ``update`` says the new in one line."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._clock = clock
        self._now = now
        self._began = clock()
        self.stage = "starting"
        self.plan: tuple[str, ...] = ()
        self.prepared: events.Prepared | None = None
        self.trials_done = 0
        self.trials = 0
        self._ends = self._began
        self.workers: dict[int, Running] = {}
        self.front: tuple[TrialRecord, ...] = ()
        self.endings: Counter[str] = Counter()

    @singledispatchmethod
    def update(self, happened: events.Event) -> str:
        """Take an event in; what it says as one line (the preparation takes several)."""
        raise AssertionError(f"an event of no known kind: {happened!r}")

    @update.register
    def _(self, happened: events.StageChanged) -> str:
        self.stage = happened.text
        return happened.text

    @update.register
    def _(self, happened: events.Warned) -> str:
        return f"warning: {happened.text}"

    @update.register
    def _(self, happened: events.Planned) -> str:
        self.plan = happened.lines
        return "\n".join(happened.lines)

    @update.register
    def _(self, happened: events.Prepared) -> str:
        self.prepared = happened
        self.trials, self.trials_done = happened.trials, happened.trials_done
        self._ends = self._clock() + happened.expected_seconds
        return "\n".join(preparation(happened, now=self._now()))

    @update.register
    def _(self, happened: events.TrialStarted) -> str:
        record = happened.record
        doing = "goes on" if happened.resumed else "built, being timed"
        self.workers[happened.worker] = Running(record.number, doing, self._clock())
        self.stage = "searching"
        again = "goes on, " if happened.resumed else ""
        size = f"{number.short(record.params)} parameters, {number.short(record.macs)} MACs"
        return f"trial {record.number}: {again}{size}"

    @update.register
    def _(self, happened: events.TrialWaits) -> str:
        self._doing(happened.number, happened.text)
        return f"trial {happened.number}: {happened.text}"

    @update.register
    def _(self, happened: events.LatencyMeasured) -> str:
        told = latency_text(happened.latency)
        self._doing(happened.number, f"{told}, training")
        if happened.latency.verdict != "stable":
            told += f", {happened.latency.verdict}: {happened.latency.reason}"
        return f"trial {happened.number}: {told}"

    @update.register
    def _(self, happened: events.RungFinished) -> str:
        point = happened.point
        epochs = f"{point.epoch} epoch{'s' if point.epoch > 1 else ''}"
        told = f"{number.percent(point.accuracy)} after {epochs}"
        self._doing(happened.number, f"training, {told}")
        return f"trial {happened.number}: {told}"

    @update.register
    def _(self, happened: events.TrialFinished) -> str:
        record = happened.record
        self.trials_done, self.trials = happened.trials_done, happened.trials
        self._ends = self._clock() + happened.remaining_seconds
        self.workers = {
            worker: running
            for worker, running in self.workers.items()
            if running.trial != record.number
        }
        self.endings[_ending_kind(record)] += 1
        left = number.duration(happened.remaining_seconds)
        return (
            f"[{self.trials_done}/{self.trials}, {left} left] "
            f"trial {record.number}: {_ending_text(record)}"
        )

    @update.register
    def _(self, happened: events.FrontChanged) -> str:
        self.front = happened.members
        if not self.front:
            return f"no front: {self.no_front_reason()}"
        is_twice = any(member.design is not None for member in self.front)  # in both precisions
        of = f" of {self.trials_done}" if self.trials_done and not is_twice else ""
        return f"front: {len(self.front)}{of} trials, {_span(self.front)}"

    @update.register
    def _(self, happened: events.SeedTrained) -> str:
        record = happened.record
        spent = number.duration(happened.spent_seconds)
        told = (
            f"trial {record.number}: {accuracy_text(record)} over {len(final_accuracies(record))} "
            f"trainings, on the front with {number.chance(happened.on_front)}; "
            f"{happened.in_doubt} uncertain"
        )
        self.stage = f"confirming the front; {told}"
        return f"[{spent} of {number.duration(happened.budget_seconds)}] {told}"

    @update.register
    def _(self, happened: events.Finished) -> str:
        self._ends = self._clock()
        return f"finished after {number.duration(happened.seconds)}: {happened.reason}"

    def no_front_reason(self) -> str:
        """Why there is no front: the commonest ending, with its share."""
        if not self.endings:
            return "no trial is done yet"
        kind, count = self.endings.most_common(1)[0]
        return f"{kind} ({count} of {self.endings.total()} trials)"

    def lines(self) -> list[str]:
        """The picture under the bar: the workers, then the front so far or why there is none."""
        if self.prepared is None:
            return []
        shown = [
            f"worker {worker}  trial {running.trial}  {running.doing}"
            f"  ({number.duration(self._clock() - running.since)})"
            for worker, running in sorted(self.workers.items())
        ] or [self.stage]
        if not self.front:
            return [*shown, "", f"no front yet: {self.no_front_reason()}"]
        rest = len(self.front) - ROWS
        more = [f"and {rest} more"] if rest > 0 else []
        table = front_table(self.front[:ROWS]).text().split("\n")
        return [*shown, "", "the front so far", *table, *more]

    def headline(self) -> str:
        """Where the search stands, in one line."""
        if self.prepared is None:
            return f"{self.stage}  {number.duration(self._clock() - self._began)}"
        left = max(0.0, self._ends - self._clock())
        done = f"{self.trials_done} of {self.trials} trials"
        return f"{self.prepared.name}  {done}  {number.duration(left)} left"

    def _doing(self, trial: int, doing: str) -> None:
        for worker, running in self.workers.items():
            if running.trial == trial:
                self.workers[worker] = running._replace(doing=doing)


def preparation(prepared: events.Prepared, *, now: datetime) -> Iterator[str]:
    """What is known before the first trial, in lines: size, feasible share, price, end."""
    low, high = prepared.feasible_low, prepared.feasible_high
    share = number.percent(prepared.feasible_share)
    if low != high:
        share += f" ({100 * low:.1f}-{100 * high:.1f})"
    yield f"{prepared.name}: {prepared.size:,} candidates, {share} feasible"
    price = f"one trial takes {number.duration(prepared.trial_seconds)}: {prepared.tried}"
    yield listed([price, *prepared.sources])
    if prepared.backend:
        yield prepared.backend
    left = max(0, prepared.trials - prepared.trials_done)
    workers = f"{prepared.workers} worker{'s' if prepared.workers > 1 else ''}"
    end = now + timedelta(seconds=prepared.expected_seconds)
    yield (
        f"{left} trials on {workers} take about {number.duration(prepared.expected_seconds)}; "
        f"done at {end:%H:%M}"
    )
    if prepared.baseline_seconds:
        names = prepared.baselines
        which = "chosen by their latency" if names is None else ", ".join(names)
        more = number.duration(prepared.baseline_seconds)
        yield f"known networks beside them ({which}) take up to {more} more"


def _ending_text(record: TrialRecord) -> str:
    """How a trial ended and what it reached."""
    if record.state == "complete":
        told = f"{accuracy_text(record)} at {cost_text(record)}{' in int8' * record.is_int8}"
        share = record.weights_inherited
        return told if share is None else f"{told}, {number.percent(share)} inherited"
    if record.state == "failed" and record.failure is not None:
        return f"failed ({record.failure.kind}): {record.failure.message}"
    return f"{record.state.replace('_', ' ')}: {record.reason}"


def _ending_kind(record: TrialRecord) -> str:
    """The class of a trial's ending, for counting why there is no front."""
    if record.state == "failed" and record.failure is not None:
        return f"failed: {record.failure.kind}"
    kinds = {"complete": "no better than guessing", "over_limit": "over the limit"}
    return kinds.get(record.state, record.state)


def _span(members: Sequence[TrialRecord]) -> str:
    accuracies = [r.proxy_accuracy for r in members if r.proxy_accuracy is not None]
    best = f"best {number.percent(max(accuracies))}" if accuracies else ""
    times = [r.latency.value for r in members if r.latency and r.latency.value is not None]
    fastest = f"fastest {min(times):.3g} ms" if times else ""
    return ", ".join(part for part in (best, fastest) if part)


@contextmanager
def shown(
    progress: SearchProgress, *, hidden: tuple[type[events.Event], ...] = ()
) -> Iterator[events.Listener]:
    """A listener that shows a search on stderr while this lasts.

    With ``--json`` it shows nothing but the picture of a terminal, as a program may read stderr.
    Events of the hidden kinds leave no line.
    """
    is_drawn = console.is_terminal(sys.stderr)
    with picture(lambda: progress) if is_drawn else nullcontext() as live:

        def listener(happened: events.Event) -> None:
            line = progress.update(happened)
            if isinstance(happened, hidden):
                return
            if live is None:
                if not console.is_json():
                    console.note(listed(line.split("\n")))
            elif isinstance(happened, events.Planned | events.Prepared | events.Warned):
                live.console.print(clean(line), markup=False, emoji=False)

        yield listener


def picture(shown: Callable[[], Pictured]) -> Live:
    """What is shown at the moment, drawn on stderr, a terminal, once a second while this lasts."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    def drawn() -> RenderableType:
        progress = shown()
        # The padding ends the bar's line, which the bar alone does not.
        bar = Padding(ProgressBar(total=max(1, progress.trials), completed=progress.trials_done))
        lines = [Text(clean(line), no_wrap=True) for line in progress.lines()]
        return Group(Text(clean(progress.headline()), style="bold"), bar, *lines)

    screen = Console(stderr=True, highlight=False, soft_wrap=False)
    # Once a second: drawing takes time from the cores that are measured.
    return Live(console=screen, get_renderable=drawn, refresh_per_second=1, transient=True)
