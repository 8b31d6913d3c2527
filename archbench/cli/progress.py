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
from archbench.report.findings.front import accuracy_text, cost_text, front_so_far, latency_text
from archbench.report.text import clean, listed
from archbench.search import events
from archbench.study.trial import TrialRecord, final_accuracies

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class Pictured(Protocol):
    """A headline over a bar, and lines beneath it."""

    def share(self) -> float:
        """How much of the bar is full, from 0 to 1."""

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
        self._worked = self._ends = self._began  # since and until when trials and confirmation run
        self.is_confirming = False
        self.step: events.StepAdvanced | None = None
        self.workers: dict[int, Running] = {}
        self.front: tuple[TrialRecord, ...] = ()
        self.endings: Counter[str] = Counter()

    @singledispatchmethod
    def update(self, happened: events.Event) -> str:
        """Take an event in; what it says as one line (the preparation takes several)."""
        raise AssertionError(f"an event of no known kind: {happened!r}")

    @update.register
    def _(self, happened: events.StageChanged) -> str:
        self.stage, self.step = happened.text, None
        return happened.text

    @update.register
    def _(self, happened: events.StepAdvanced) -> str:
        self.step = happened
        return ""

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
        self._worked = self._clock()
        self._ends = self._worked + total_seconds(happened)
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
    def _(self, happened: events.ConfirmationStarted) -> str:
        self.is_confirming = True
        if self.prepared is None:
            self._worked = self._clock()
        self._ends = self._clock() + happened.remaining_seconds
        told = f"confirming the front: {number.plural(happened.in_doubt, 'uncertain candidate')}"
        if happened.training_seconds > 0:
            told += f", up to {number.duration(happened.training_seconds)} of further training"
        self.stage = told
        return told

    @update.register
    def _(self, happened: events.SeedTrained) -> str:
        record = happened.record
        self._ends = self._clock() + happened.remaining_seconds
        spent = number.duration(happened.spent_seconds)
        told = (
            f"trial {record.number}: {accuracy_text(record)} over {len(final_accuracies(record))} "
            f"trainings, Pareto-optimal with {number.chance(happened.on_front)}; "
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
        ] or [self._step_text()]
        if not self.front:
            return [*shown, "", f"no front yet: {self.no_front_reason()}"]
        return [*shown, "", *front_so_far(self.front)]

    def headline(self) -> str:
        """Where the search stands, in one line: what is done, what is left in all, until when."""
        if self.prepared is None and not self.is_confirming:
            return f"{self._step_text()}  {number.duration(self._clock() - self._began)}"
        name = self.prepared.name if self.prepared else ""
        done = f"{self.trials_done} of {self.trials} trials"
        what = "confirming the front" if self.is_confirming else done
        left = self._ends - self._clock()
        until = f"{self._now() + timedelta(seconds=left):%H:%M}"
        most = "at most " if self.is_confirming else ""
        told = f"{most}{number.duration(left)} left, until {until}"
        if left <= 0:
            told = "it takes longer than was expected"
        return "  ".join(filter(None, [name, what, told]))

    def share(self) -> float:
        """How much of all is done, by time; before the first trial of a step, by its count."""
        if self.prepared is None and not self.is_confirming:
            return self.step.done / self.step.total if self.step else 0.0
        now = self._clock()
        return (now - self._worked) / max(now - self._worked, self._ends - self._worked, 1e-9)

    def _step_text(self) -> str:
        """What is done beside the trials, and how far it is."""
        if self.step is None:
            return self.stage
        unit = f" {self.step.unit}" if self.step.unit else ""
        return f"{self.step.text}  {self.step.done:,} of {self.step.total:,}{unit}"

    def _doing(self, trial: int, doing: str) -> None:
        for worker, running in self.workers.items():
            if running.trial == trial:
                self.workers[worker] = running._replace(doing=doing)


def total_seconds(prepared: events.Prepared) -> float:
    """How long all that is left takes: trials, known networks, and confirming the front."""
    beside = prepared.baseline_seconds + prepared.confirmation_seconds
    return prepared.expected_seconds + beside


def preparation(prepared: events.Prepared, *, now: datetime) -> Iterator[str]:
    """What is known before the first trial, in lines: end, parts of the time, size, price."""
    total, left = total_seconds(prepared), max(0, prepared.trials - prepared.trials_done)
    workers = number.plural(prepared.workers, "worker")
    parts = [f"{left} trials on {workers} {number.duration(prepared.expected_seconds)}"]
    if prepared.baseline_seconds:
        names = prepared.baselines
        which = "chosen by their latency" if names is None else ", ".join(names)
        most = number.duration(prepared.baseline_seconds)
        parts.append(f"known networks ({which}) up to {most}")
    if prepared.confirmation_seconds:
        parts.append(f"confirming the front up to {number.duration(prepared.confirmation_seconds)}")
    until = f"{now + timedelta(seconds=total):%H:%M}"
    yield listed([f"about {number.duration(total)} in all, until {until}: {', '.join(parts)}"])
    low, high = prepared.feasible_low, prepared.feasible_high
    share = number.percent(prepared.feasible_share)
    if low != high:
        share += f" ({100 * low:.1f}-{100 * high:.1f})"
    yield f"{prepared.name}: {prepared.size:,} candidates, {share} feasible"
    price = f"one trial takes {number.duration(prepared.trial_seconds)}: {prepared.tried}"
    yield listed([price, *prepared.sources])
    if prepared.backend:
        yield prepared.backend


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
    is_drawn = console.is_terminal(sys.stderr) and not console.is_quiet()
    with picture(lambda: progress) if is_drawn else nullcontext() as live:

        def listener(happened: events.Event) -> None:
            line = progress.update(happened)
            if not line or isinstance(happened, hidden):
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
        bar = Padding(ProgressBar(total=1.0, completed=progress.share()))
        told = (progress.headline(), *progress.lines())
        first, *lines = (Text(clean(one), no_wrap=True, overflow="ellipsis") for one in told)
        first.stylize("bold")
        return Group(first, bar, *lines)

    screen = Console(stderr=True, highlight=False, soft_wrap=False)
    # Once a second: drawing takes time from the cores that are measured.
    return Live(console=screen, get_renderable=drawn, refresh_per_second=1, transient=True)
