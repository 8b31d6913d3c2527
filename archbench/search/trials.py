"""The trials of a study: candidates go out, what comes back is written down, until enough."""

import math
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archbench.analysis.baseline import BASELINES
from archbench.errors import NEGATIVE_RESULT, ArchbenchError
from archbench.models import ArchSpec, as_spec, count
from archbench.search import events
from archbench.search.context import StudyContext
from archbench.search.jobs import (
    InInt8,
    MayGoOn,
    Note,
    RungReached,
    TimedAgain,
    TrialEnd,
    TrialJob,
    WeightsInherited,
)
from archbench.search.kept_weights import copy_weights, remove_useless_files
from archbench.search.optuna_view import Ledger
from archbench.search.preparation import predictor
from archbench.search.pruning import Pruner, load_pruner
from archbench.search.sampler import load_sampler
from archbench.search.scheduler import KILLED, Broken, Done, Job, Jobs, Report, Sent, StepProgress
from archbench.search.suggestion import Suggester
from archbench.search.warm_start import first_choices
from archbench.study.measurement import Measurement
from archbench.study.trial import (
    PRECISION,
    RungVerdict,
    TrainingRecord,
    TrialRecord,
    epochs_trained,
    may_be_retried,
)

_TIMED_AGAIN = 0.25  # of the trials come with a further timing of another
_ALIKE = 5  # so many first trials that fail alike end the study
_TABLES_EVERY_S = 10.0
_TABLES_LARGEST_SHARE = 0.05


class AllFailedError(ArchbenchError):
    """A study whose first trials all failed for the same reason."""

    exit_code = NEGATIVE_RESULT


def run_trials(context: StudyContext, *, begin: float | None = None) -> str:
    """Runs trials until there are enough or none is left; why it ended, in words.

    The time limit counts from ``begin``, by default from now.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop; what runs is left as it stands.
        AllFailedError: The first trials all failed alike.
        ArchbenchError: Data, device or storage were lost; the trials that ran can go on.
    """
    space, search, study = context.settings.space, context.settings.search, context.study
    suggester = Suggester(
        space,
        sampler=context.settings.sampler or load_sampler(search.sampler),
        seed=search.seed,
        directions=list(space.objectives.values()),
        first=first_choices(space, context.header),
        predict=predictor(context),
    )
    suggester.restore(
        (trial, record.digest, study.knowledge(record))
        for trial, record in zip(study.frozen_trials(), study.trials.values(), strict=True)
        if record.design is None  # what is proposed are designs, by their first precision
    )
    pruner = Pruner(
        entry=context.settings.pruner or load_pruner(search.pruner),
        rule=context.rule,
        rungs=context.proxy.recipe.rungs,
        num_seeds=context.proxy.num_seeds,
        audit=search.audit,
        seed=search.seed,
    )
    trials = Trials(context, suggester=suggester, pruner=pruner, begin=begin)
    context.run(trials, timeout_s=search.timeout_s)
    return trials.reason


def reopen_failed(study: Ledger) -> list[int]:
    """Lets the trials that failed by a crash or a timeout go on; their numbers."""
    study.mend()
    numbers = [number for number, record in study.trials.items() if may_be_retried(record)]
    with study.transaction():
        for number in numbers:
            study.update(number, state="running", failure=None)
    return numbers


class Trials(Jobs):
    """The trials that are still to run, and for what ``reason`` none is begun any more."""

    def __init__(
        self,
        context: StudyContext,
        *,
        suggester: Suggester,
        pruner: Pruner,
        begin: float | None = None,
    ) -> None:
        self.reason = ""
        self._context = context
        self._study = context.study
        self._suggester = suggester
        self._pruner = pruner
        self._tables_due = context.clock()
        self._begin = self._tables_due if begin is None else begin
        self._known = {one["digest"] for one in context.header.get(BASELINES) or ()}
        self._has_new_end = False
        self._waiting = deque(record.number for record in self._study.running)
        self._fresh: set[int] = set()
        self._started: dict[int, float] = {}
        self._in_int8: dict[int, InInt8] = {}  # of trials that run, until they end
        self._seconds: list[float] = []
        self._front: list[int] = []
        self._note_front()

    def next_job(self) -> TrialJob | None:
        """The next trial; None when there are enough, or none is left."""
        if self._waiting:
            return self._job(self._waiting.popleft())
        self.reason = self._enough()
        if self.reason:
            return None
        number, space = self._study.next_number, self._context.settings.space
        suggestion = self._suggester.suggest(number)
        if suggestion is None:
            self.reason = (
                "every feasible candidate of the space has been tried"
                if self._suggester.has_enumerated
                else "no further candidate that meets every requirement and limit could be found"
            )
            return None
        choices = space.values(suggestion.choices) | self._precision()
        record = running_record(number, suggestion.spec, choices=choices)
        self._study.begin(record, drawn=suggestion.drawn)
        self._fresh.add(number)
        return self._job(number)

    def restarted(self, job: Job) -> TrialJob:
        """The trial, from where it stands."""
        self._context.warn(f"trial {job.number}: {KILLED}")
        return self._job(job.number)

    def started(self, job: Job, *, worker: int) -> None:
        """Tells that a trial began, or goes on."""
        number = job.number
        is_resumed = number not in self._fresh
        self._fresh.discard(number)
        record = self._study.trials[number]
        self._context.tell(events.TrialStarted(record=record, worker=worker, resumed=is_resumed))

    def tick(self) -> None:
        """Writes a backup, and the derived tables after trials have ended, when they are due.

        The tables take under a twentieth of the time.
        """
        self._context.back_up_at_times()
        begin = self._context.clock()
        if not self._has_new_end or begin < self._tables_due:
            return
        self._context.write_tables()
        self._has_new_end = False
        end = self._context.clock()
        self._tables_due = end + max(_TABLES_EVERY_S, (end - begin) / _TABLES_LARGEST_SHARE)

    def take(self, report: Report) -> Any:
        """Writes down what a worker reports, and answers what it asks."""
        number = report.number
        match report:
            case Sent(payload=MayGoOn(seed=seed, epoch=epoch)):
                verdict = self._verdict(number, seed=seed, epoch=epoch)
                return verdict.reason if verdict.stops and not verdict.is_audited else ""
            case Sent(payload=Measurement() as taken):
                self._study.add_measurement(number, "search", taken)
                # With what runs differ by in its interval, as the trial's end tells it.
                latency = self._study.trials[number].latency or taken
                self._context.tell(events.LatencyMeasured(number=number, latency=latency))
            case Sent(payload=TimedAgain(number=other, latency=latency)):
                self._study.add_measurement(other, "again", latency)
            case Sent(payload=RungReached(point=point, path=path, sha256=sha256)):
                is_new = self._study.add_point(number, point)
                self._study.set_checkpoint(number, point, path=path, sha256=sha256)
                if is_new:
                    self._context.tell(events.RungFinished(number=number, point=point))
            case Sent(payload=WeightsInherited(share=share)):
                self._study.update(number, weights_inherited=share)
            case Sent(payload=InInt8() as found):
                self._in_int8[number] = found
            case Sent(payload=StepProgress(what=what)):
                self._context.tell(events.TrialWaits(number=number, text=what))
            case Sent(payload=Note(text=text)):
                self._context.warn(f"trial {number}: {text}")
            case Done(result=end):
                self._end(number, end)
            case Broken(failure=failure):
                self._end(number, TrialEnd(state="failed", failure=failure))
        return None

    def _enough(self) -> str:
        search = self._context.settings.search
        if len(self._study.designs) >= search.trials:
            return f"{search.trials} trials are done"
        if search.epochs is not None and (epochs := self._epochs()) >= search.epochs:
            return f"{epochs} epochs are trained, {search.epochs} were to be"
        limit = search.time_limit_s
        if limit is not None and self._context.clock() - self._begin >= limit:
            return f"the time limit of {limit:.0f} s is reached"
        return ""

    def _job(self, number: int) -> TrialJob:
        context = self._context
        self._started[number] = context.clock()
        seeds, record = range(context.proxy.num_seeds), self._study.trials[number]
        return TrialJob(
            number=number,
            trainings=[context.training(number, seed=seed) for seed in seeds],
            target=context.target,
            latency=record.latency,
            limits=context.settings.timed_limits,
            again=self._timed_again(number),
            asks=self._pruner.asks and record.digest not in self._known,
            has_both=context.has_both,
        )

    def _timed_again(self, number: int) -> dict[int, Mapping[str, Any]]:
        """Another trial that is timed a second time beside this one, at random."""
        records = self._study.trials
        draw = random.Random(f"{self._context.settings.search.seed} {number}")
        if records[number].latency is not None or draw.random() >= _TIMED_AGAIN:
            return {}
        once = [
            other
            for other, record in records.items()
            if record.latency
            and record.latency.details.get("runs") == 1
            and not record.origin
            and record.design is None
        ]
        return {other: records[other].spec for other in draw.sample(once, min(1, len(once)))}

    def _verdict(self, number: int, *, seed: int, epoch: int) -> RungVerdict:
        """The verdict that is on record, else a new one, which is from then on."""
        record = self._study.trials[number]
        for verdict in record.verdicts:
            if (verdict.seed, verdict.epoch) == (seed, epoch):
                return verdict
        among = self._context.trials
        verdict = self._pruner.verdict(record, seed=seed, epoch=epoch, among=among)
        self._study.add_verdict(number, verdict)
        return verdict

    def _end(self, number: int, end: TrialEnd) -> None:
        context = self._context
        seconds = context.clock() - self._started.pop(number)
        in_int8 = self._in_int8.pop(number, None) if end.state == "complete" else None
        with self._study.transaction():
            own = max(0.0, seconds - (in_int8.seconds if in_int8 else 0.0))
            record = self._study.finish(number, seconds=own, **vars(end))
            beside = [self._begin_in_int8(record, in_int8)] if in_int8 else []
        told, known = self._study.frozen(record), self._study.knowledge(record)
        self._suggester.tell(number, state=told.state, values=told.values, known=known)
        self._seconds.append(seconds)
        self._has_new_end = True
        remove_useless_files(context.checkpoints, rule=context.rule, trials=self._study.trials)
        for ended in (record, *beside):
            self._tell_end(ended)
        self._note_front()
        self._refuse_all_failed()

    def _begin_in_int8(self, record: TrialRecord, found: InInt8) -> TrialRecord:
        """The trial of a design in int8, which has ended, with the weights of its training."""
        number, folder = self._study.next_number, self._context.checkpoints
        for seed in range(self._context.proxy.num_seeds):
            copy_weights(folder, record.number, number, seed=seed)
        choices = {**record.choices, PRECISION: "int8"}
        own = running_record(number, as_spec(record.spec), choices=choices)
        ended = replace(own, latency=found.latency, design=record.number, seconds=found.seconds)
        ended = replace(ended, **vars(found.end))
        self._study.begin_like(ended, record.number)
        return self._study.trials[number]

    def _precision(self) -> dict[str, Any]:
        """What choices say of the precision, where int8 is one."""
        target = self._context.settings.space.target
        return {PRECISION: target.precisions[0]} if "int8" in target.precisions else {}

    def _tell_end(self, record: TrialRecord) -> None:
        trials = self._expected_trials()
        done = len(self._study.designs) - len(self._study.running)
        each_s, workers = self._each_s(), self._context.workers
        closing_s = self._context.settings.closing_seconds(each_s * trials, workers=workers)
        left_s = each_s * max(0, trials - done) / workers + closing_s
        counted = {"trials_done": done, "trials": trials}
        self._context.tell(events.TrialFinished(record=record, **counted, remaining_seconds=left_s))

    def _epochs(self) -> int:
        """Epochs that the trials of this very study have taken so far."""
        own, num_seeds = self._context.trials, self._context.proxy.num_seeds
        return sum(epochs_trained(r, num_seeds=num_seeds) for r in own if not r.origin)

    def _each_s(self) -> float:
        """Mean seconds of a trial, where the price counts as two trials."""
        expected = 2 * self._context.header["trial_seconds"] + sum(self._seconds)
        return float(expected / (2 + len(self._seconds)))

    def _expected_trials(self) -> int:
        """Expected total number of trials, by what a trial has taken so far on average."""
        settings, proxy = self._context.settings, self._context.proxy
        search, begun, more = settings.search, len(self._study.designs), math.inf
        if search.epochs is not None:
            own = sum(not record.origin for record in self._study.designs)
            epochs = self._epochs()
            each = (2 * proxy.recipe.epochs * proxy.num_seeds + epochs) / (2 + own)
            more = max(0.0, search.epochs - epochs) / each
        if search.time_limit_s is not None:
            left_s = max(0.0, search.time_limit_s - (self._context.clock() - self._begin))
            more = min(more, left_s / self._each_s() * self._context.workers)
        return math.ceil(min(settings.most_trials, begun + more))

    def _note_front(self) -> None:
        numbers = [member.number for member in self._context.front()]
        if numbers != self._front:
            self._front = numbers
            self._context.tell_front()

    def _refuse_all_failed(self) -> None:
        ended = [record for record in self._context.trials if record.state != "running"]
        kinds = {record.failure.kind if record.failure else None for record in ended}
        least = min(_ALIKE, self._context.settings.search.trials)
        if len(ended) < least or len(kinds) > 1 or None in kinds:
            return
        failure = ended[-1].failure
        assert failure is not None
        raise AllFailedError(
            f"the first {len(ended)} trials all failed ({failure.kind}): {failure.message}",
            place=str(self._context.settings.path),
            help="mend the cause and begin a new study; the traces are in its trials table",
        )


def running_record(
    number: int,
    spec: ArchSpec,
    *,
    choices: Mapping[str, Any],
    trainings: tuple[TrainingRecord, ...] = (),
) -> TrialRecord:
    """The record of a trial that begins."""
    counted = count(spec)
    return TrialRecord(
        number=number,
        state="running",
        digest=spec.digest,
        choices=choices,
        spec=spec.to_document(),
        params=counted.params,
        macs=counted.macs,
        activations=counted.activations,
        trainings=trainings,
    )
