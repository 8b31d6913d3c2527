"""The trials of a study: candidates go out, what comes back is written down, until enough."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.analysis.rule import FrontRule
from archbench.errors import NEGATIVE_RESULT, ArchbenchError
from archbench.search import events, scheduler
from archbench.search.derived import DerivedTables
from archbench.search.job import Broken, Done, Engine, Job, Report, Sent
from archbench.search.jobs import (
    MayGoOn,
    Note,
    Rung,
    TrialEnd,
    TrialJob,
    numbers_with_files,
    remove_files,
)
from archbench.search.kept_weights import may_reach_front
from archbench.search.optuna_mirror import Ledger
from archbench.search.proposer import Proposal, Proposer, running_trial
from archbench.search.pruning import Referee
from archbench.study.measurement import Measurement
from archbench.study.trial import Failure, RungVerdict, TrialRecord, epochs_trained

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.evaluate.target import Target
    from archbench.search.interruption import Interruption

_ALIKE = 5  # so many first trials that fail alike end the study


class AllFailedError(ArchbenchError):
    """A study whose first trials all failed for the same reason."""

    exit_code = NEGATIVE_RESULT


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the loop is to do.

    Attributes:
        trials: Trials that the study shall have at most.
        epochs: Epochs trained in all after which no trial is begun, or None.
        time_limit_s: Seconds after which no trial is begun, or None.
        timeout_s: Seconds after which a trial is ended.
        trial_seconds: What a trial was found to cost.
        proxy: What accuracy is taken on.
        target: What latency is taken on, or None.
        latency_limit_ms: Or None.
        checkpoints: Folder of checkpoints and weights.
        size: Candidates of the space, beyond which there are no trials.
    """

    trials: int
    epochs: int | None
    time_limit_s: float | None
    timeout_s: float
    trial_seconds: float
    proxy: Proxy
    target: Target | None
    latency_limit_ms: float | None
    checkpoints: Path
    size: float = math.inf


@dataclass(kw_only=True)
class _Pace:
    """Seconds that a worker spends on a trial: the price first, what is seen then."""

    expected: float
    seen: list[float] = field(default_factory=list)

    def remaining(self, trials: int, *, workers: int) -> float:
        mean = (2 * self.expected + sum(self.seen)) / (2 + len(self.seen))
        return mean * trials / workers


class Loop(scheduler.Work):
    """Runs trials until enough are done, none is left, or somebody stops it.

    Args:
        plan: What to do.
        ledger: The study's truth.
        engine: Where trials run.
        proposer: What proposes candidates; knows the trials that have ended.
        record_of: The running record of a proposal.
        rule: What may stand on the front.
        referee: Who says whether a trial goes on from a rung.
        tables: What is derived from the ledger.
        interruption: Whether somebody wants it to stop.
        listener: Told what happens.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        ledger: Ledger,
        engine: Engine,
        proposer: Proposer,
        record_of: Callable[[Proposal], TrialRecord],
        rule: FrontRule,
        referee: Referee,
        tables: DerivedTables,
        interruption: Interruption,
        listener: events.Listener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._engine = engine
        self._proposer = proposer
        self._record_of = record_of
        self._rule = rule
        self._referee = referee
        self._tables = tables
        self._interruption = interruption
        self._tell = listener
        self._clock = clock
        self._waiting = deque(record.number for record in ledger.running)
        self._started: dict[int, float] = {}
        self._fresh: set[int] = set()
        self._begin = 0.0
        self._reason = ""
        self._kept = numbers_with_files(plan.checkpoints) - set(self._waiting)
        self._front: list[int] = []
        self._pace = _Pace(expected=plan.trial_seconds)
        own = (record for record in ledger.trials.values() if not record.origin)
        self._epochs = sum(map(self._epochs_of, own))

    @property
    def trials_done(self) -> int:
        """Trials that have ended."""
        return len(self._ledger.trials) - len(self._ledger.running)

    def run(self) -> str:
        """Why it ended, in words.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop; what runs is left as it stands.
            AllFailedError: The first trials all failed alike.
            ArchbenchError: Data, device or storage were lost; the trials that ran can go on.
        """
        self._begin = self._clock()
        self._note_front()
        scheduler.run(
            self,
            engine=self._engine,
            interruption=self._interruption,
            timeout_s=self._plan.timeout_s,
        )
        return self._reason

    def next_job(self) -> TrialJob | None:
        """The next trial; None when there are enough, or none is left."""
        if self._waiting:
            return self._job(self._waiting.popleft())
        self._reason = self._enough(elapsed=self._clock() - self._begin)
        if self._reason:
            return None
        proposal = self._proposer.propose(self._ledger.next_number)
        if proposal is None:
            self._reason = self._no_more()
            return None
        record = self._record_of(proposal)
        self._ledger.begin(record, trial=running_trial(proposal, digest=record.digest))
        self._fresh.add(record.number)
        return self._job(record.number)

    def restarted(self, job: Job) -> TrialJob:
        """The trial, from where it stands."""
        told = "its worker was killed from outside; it goes on from its last checkpoint"
        self._tell(events.Warned(text=f"trial {job.number}: {told}"))
        return self._job(job.number)

    def started(self, job: Job, *, worker: int) -> None:
        """Tells that a trial began, or goes on."""
        number = job.number
        is_resumed = number not in self._fresh
        self._fresh.discard(number)
        record = self._ledger.trials[number]
        self._tell(events.TrialStarted(record=record, worker=worker, resumed=is_resumed))

    def tick(self) -> None:
        """Writes the derived tables when they are due."""
        self._tables.write_if_due()

    def take(self, report: Report) -> Any:
        """Writes down what a worker reports, and answers what it asks."""
        match report:
            case Sent(number=number, payload=MayGoOn(seed=seed, epoch=epoch)):
                verdict = self._verdict(number, seed=seed, epoch=epoch)
                return verdict.reason if verdict.stops and not verdict.is_audited else ""
            case Sent(number=number, payload=payload):
                self._hear(number, payload)
            case Done(number=number, result=end):
                self._end(number, end=end, failure=None)
            case Broken(number=number, failure=failure):
                self._end(number, end=TrialEnd(state="failed"), failure=failure)
        return None

    def _enough(self, *, elapsed: float) -> str:
        if len(self._ledger.trials) >= self._plan.trials:
            return f"{self._plan.trials} trials are done"
        epochs = self._plan.epochs
        if epochs is not None and self._epochs >= epochs:
            return f"{self._epochs} epochs are trained, {epochs} were to be"
        limit = self._plan.time_limit_s
        if limit is not None and elapsed >= limit:
            return f"the time limit of {limit:.0f} s is reached"
        return ""

    def _no_more(self) -> str:
        if self._proposer.has_enumerated:
            return "every feasible candidate of the space has been tried"
        return "no further candidate that meets every requirement and limit could be found"

    def _job(self, number: int) -> TrialJob:
        record = self._ledger.trials[number]
        saved = {
            seed: found[1]
            for seed in range(self._plan.proxy.num_seeds)
            if (found := self._ledger.store.checkpoint(number, seed))
        }
        self._started[number] = self._clock()
        return TrialJob(
            number=number,
            spec=record.spec,
            proxy=self._plan.proxy,
            target=self._plan.target,
            latency=record.latency,
            latency_limit_ms=self._plan.latency_limit_ms,
            folder=self._plan.checkpoints,
            saved=saved,
            asks=self._referee.asks,
        )

    def _hear(self, number: int, payload: object) -> None:
        match payload:
            case Measurement():
                self._ledger.add_latency(number, payload, kind="search")
                self._tell(events.LatencyMeasured(number=number, latency=payload))
            case Rung(point=point, path=path, sha256=sha256):
                before = self._epochs_of(self._ledger.trials[number])
                is_new = self._ledger.add_point(number, point)
                self._epochs += self._epochs_of(self._ledger.trials[number]) - before
                self._ledger.store.set_checkpoint(number, point.seed, path, sha256, point.epoch)
                if is_new:
                    self._tell(events.RungFinished(number=number, point=point))
            case Note(text=text):
                self._tell(events.Warned(text=f"trial {number}: {text}"))

    def _verdict(self, number: int, *, seed: int, epoch: int) -> RungVerdict:
        """The verdict that is on record, else a new one, which is from then on."""
        record = self._ledger.trials[number]
        for verdict in record.verdicts:
            if (verdict.seed, verdict.epoch) == (seed, epoch):
                return verdict
        among = list(self._ledger.trials.values())
        verdict = self._referee.verdict(record, seed=seed, epoch=epoch, among=among)
        self._ledger.add_verdict(number, verdict)
        return verdict

    def _end(self, number: int, *, end: TrialEnd, failure: Failure | None) -> None:
        seconds = self._clock() - self._started.pop(number)
        record = self._ledger.end(
            number,
            state=end.state,
            proxy_accuracy=end.proxy_accuracy,
            failure=failure,
            reason=end.reason,
            seconds=seconds,
        )
        self._proposer.tell(
            number,
            state=self._ledger.told_as(record),
            values=self._ledger.values(record),
            known=self._ledger.knowledge(record),
        )
        self._pace.seen.append(seconds)
        self._tables.mark_changed()
        self._tidy(record)
        trials = self._expected_trials()
        left = max(0, trials - self.trials_done)
        self._tell(
            events.TrialFinished(
                record=record,
                trials_done=self.trials_done,
                trials=trials,
                remaining_seconds=self._pace.remaining(left, workers=self._engine.workers),
            )
        )
        self._note_front()
        self._refuse_all_failed()

    def _epochs_of(self, record: TrialRecord) -> int:
        return epochs_trained(record, num_seeds=self._plan.proxy.num_seeds)

    def _expected_trials(self) -> int:
        """Trials that the study will have, at the epochs a trial that trial has taken so far."""
        plan = self._plan
        most = int(min(plan.trials, plan.size))
        if plan.epochs is None:
            return most
        whole = plan.proxy.recipe.epochs * plan.proxy.num_seeds
        own = sum(not record.origin for record in self._ledger.trials.values())
        each = (2 * whole + self._epochs) / (2 + own)
        more = max(0.0, plan.epochs - self._epochs) / each
        return min(most, len(self._ledger.trials) + math.ceil(more))

    def _note_front(self) -> None:
        members = self._rule.front(list(self._ledger.trials.values()))
        numbers = [member.number for member in members]
        if numbers != self._front:
            self._front = numbers
            self._tell(events.FrontChanged(members=tuple(members)))

    def _tidy(self, ended: TrialRecord) -> None:
        """Keeps the weights of trials that may yet stand on the front, and no other files."""
        records = list(self._ledger.trials.values())
        for number in sorted({*self._kept, ended.number}):
            record = self._ledger.trials[number]
            if may_reach_front(record, rule=self._rule, among=records):
                self._kept.add(number)
            else:
                self._kept.discard(number)
            remove_files(self._plan.checkpoints, number, keep_weights=number in self._kept)

    def _refuse_all_failed(self) -> None:
        ended = [r for r in self._ledger.trials.values() if r.state != "running"]
        kinds = {record.failure.kind if record.failure else None for record in ended}
        if len(ended) < min(_ALIKE, self._plan.trials) or len(kinds) > 1 or None in kinds:
            return
        failure = ended[-1].failure
        assert failure is not None
        raise AllFailedError(
            f"the first {len(ended)} trials all failed ({failure.kind}): {failure.message}",
            place=str(self._ledger.path.parent),
            help="mend the cause and begin a new study; the traces are in its trials table",
        )
