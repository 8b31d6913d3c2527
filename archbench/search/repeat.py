"""Trains candidates again with fresh seeds until their places on the front are settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archbench.analysis.front_probability import doubt
from archbench.analysis.rule import FrontRule
from archbench.analysis.settle import next_training, settled_by_training
from archbench.search import events, scheduler
from archbench.search.job import Broken, Done, Engine, Job, Report, Sent
from archbench.search.jobs import Note, Rung, TrainJob, checkpoint_path, weights_path
from archbench.search.optuna_mirror import Ledger
from archbench.study.trial import TrialRecord, final_accuracies

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.search.interruption import Interruption

TAKEN_OVER = "repeat_seconds"
"""Key of a study's header: what its trials had taken of further trainings in earlier studies."""


@dataclass(kw_only=True)
class Repeats(scheduler.Work):
    """Further trainings of the candidates in doubt.

    What they have cost so far stands in the curves, so that a run that was killed goes on with
    what was left of the budget, and with the training that was cut off.

    Attributes:
        ledger: The study's truth.
        rule: What may stand on the front.
        proxy: What accuracy is taken on; its seeds are the search's own.
        folder: Of checkpoints and weights.
        budget_s: Seconds of training that may be spent in all.
        timeout_s: After how long a training is ended.
        interruption: Whether somebody wants it to stop.
        listener: Told what happens.
    """

    ledger: Ledger
    rule: FrontRule
    proxy: Proxy
    folder: Path
    budget_s: float
    timeout_s: float
    interruption: Interruption
    listener: events.Listener
    _running: dict[int, int] = field(default_factory=dict)
    _broken: set[int] = field(default_factory=set)
    _asks_again: bool = True

    @property
    def spent_s(self) -> float:
        """Seconds that trainings beyond the search's own have taken in this study so far."""
        seconds = sum(spent_on_repeats(r, own=self.proxy.num_seeds) for r in self._trials)
        return max(0.0, seconds - float(self.ledger.store.header().get(TAKEN_OVER, 0.0)))

    def is_worth_starting(self) -> bool:
        """Is there a training that would settle something and fits the budget?"""
        return self._next() is not None

    def run(self, engine: Engine) -> None:
        """Trains until nothing is worth it or fits, on an engine that runs nothing else.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop; what runs is left as it stands.
            ArchbenchError: Data, device or storage were lost.
        """
        scheduler.run(self, engine=engine, interruption=self.interruption, timeout_s=self.timeout_s)

    def next_job(self) -> TrainJob | None:
        """The training that settles most; None where none is worth it or fits."""
        if not self._asks_again:
            return None
        number = self._next()
        if number is None:
            self._asks_again = False  # until something has ended
            return None
        return self._begun(number)

    def restarted(self, job: Job) -> TrainJob:
        """The training, from its last checkpoint."""
        told = "its worker was killed from outside; it goes on from its last checkpoint"
        self.listener(events.Warned(text=f"trial {job.number}: {told}"))
        return self._job(job.number, seed=self._running[job.number])

    @property
    def _trials(self) -> list[TrialRecord]:
        return list(self.ledger.trials.values())

    def _next(self) -> int | None:
        for record in self._trials:
            if self._cut_off(record) is not None and record.number not in self._busy:
                return record.number
        seconds = {
            record.number: training_seconds(record) for record in self._trials if record.curve
        }
        planned = sum(seconds[number] for number in self._running)
        gains = settled_by_training(self._trials, rule=self.rule)
        return next_training(
            {number: gain for number, gain in gains.items() if number in seconds},
            seconds=seconds,
            left=self.budget_s - self.spent_s - planned,
            busy=self._busy,
        )

    @property
    def _busy(self) -> set[int]:
        """Candidates that are being trained, and those whose trainings break."""
        return {*self._running, *self._broken}

    def _cut_off(self, record: TrialRecord) -> int | None:
        """The seed of a further training that has begun and not ended, or None."""
        ended = final_accuracies(record)
        begun = {point.seed for point in record.curve if point.seed >= self.proxy.num_seeds}
        return min(begun - set(ended), default=None) if record.state == "complete" else None

    def _begun(self, number: int) -> TrainJob:
        record = self.ledger.trials[number]
        cut_off = self._cut_off(record)
        seed = max(point.seed for point in record.curve) + 1 if cut_off is None else cut_off
        seed = self._running[number] = max(seed, self.proxy.num_seeds)
        told = "goes on" if cut_off is not None else "is trained once more"
        self.listener(events.StageChanged(text=f"trial {number} {told}, with seed {seed}"))
        return self._job(number, seed=seed)

    def _job(self, number: int, *, seed: int) -> TrainJob:
        found = self.ledger.store.checkpoint(number, seed)
        return TrainJob(
            number=number,
            spec=self.ledger.trials[number].spec,
            proxy=self.proxy,
            seed=seed,
            checkpoint=checkpoint_path(self.folder, number, seed=seed),
            sha256=found[1] if found else None,
            weights=weights_path(self.folder, number, seed=seed),
        )

    def take(self, report: Report) -> None:
        """Writes down what a worker reports."""
        number = report.number
        match report:
            case Sent(payload=Rung(point=point, path=path, sha256=sha256)):
                self.ledger.add_repeated_point(number, point)
                self.ledger.store.set_checkpoint(number, point.seed, path, sha256, point.epoch)
            case Sent(payload=Note(text=text)):
                self.listener(events.Warned(text=f"trial {number}: {text}"))
            case Done():
                self._asks_again = True
                self._tell_end(number, seed=self._running.pop(number))
            case Broken():
                self._asks_again = True
                seed = self._running.pop(number)
                self._broken.add(number)
                self.listener(
                    events.Warned(
                        text=f"trial {number} could not be trained with seed {seed}: "
                        f"{report.failure.message}"
                    )
                )

    def _tell_end(self, number: int, *, seed: int) -> None:
        found = doubt(self._trials, rule=self.rule)
        self.listener(
            events.SeedTrained(
                record=self.ledger.trials[number],
                seed=seed,
                on_front=found.on_front.get(number, 0.0),
                in_doubt=len(found.in_doubt()),
                spent_seconds=self.spent_s,
                budget_seconds=self.budget_s,
            )
        )


def spent_on_repeats(record: TrialRecord, *, own: int) -> float:
    """Seconds of the trainings of a trial beyond the search's own.

    Args:
        record: The trial.
        own: How many trainings the search gave each trial.
    """
    last = {point.seed: point.seconds for point in record.curve if point.seed >= own}
    return sum(last.values())


def training_seconds(record: TrialRecord) -> float:
    """What a training of a trial to its last rung took on average."""
    ended = final_accuracies(record)
    taken = [max(point.seconds for point in record.curve if point.seed == seed) for seed in ended]
    return sum(taken) / len(taken)


def search_seconds(trials: Sequence[TrialRecord]) -> float:
    """What the trials of a search took of its workers, the confirmation left out."""
    return sum(record.seconds for record in trials)
