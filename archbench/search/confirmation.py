"""The end of a study: uncertain candidates are timed and trained again, the front is tested."""

import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from archbench.analysis.baseline import baselines_of
from archbench.analysis.front_probability import (
    FrontProbabilities,
    expected_gains,
    front_probabilities,
    next_training,
)
from archbench.analysis.study import StudyReader, open_study
from archbench.analysis.study_header import CONFIRMED, confirmation_of
from archbench.command_line import command_line
from archbench.errors import SpecError
from archbench.evaluate.target import SEARCH_BUDGET_S
from archbench.models import as_spec, count
from archbench.search import events
from archbench.search.context import StudyContext
from archbench.search.growth import as_begun
from archbench.search.held_out_test import take_test
from archbench.search.jobs import (
    Note,
    RungReached,
    TrainJob,
    time_each,
)
from archbench.search.kept_weights import copy_weights, remove_useless_files
from archbench.search.opening import check_data, opened
from archbench.search.optuna_view import quiet_optuna
from archbench.search.other_runtimes import time_in_others
from archbench.search.scheduler import KILLED, Broken, Done, Job, Jobs, Report, Sent, StageError
from archbench.search.settings import settings_of, space_of
from archbench.study.study_folder import path_of
from archbench.study.trial import QuantisedAccuracy, TrialRecord, final_accuracies

REPEATS_TAKEN_OVER = "repeat_seconds"
"""Key of a study's header: what its trials had taken of further trainings in earlier studies."""

_REFERENCES = ("levit_128s", "levit_256", "cvt_13")  # published, timed beside the candidates
_SECONDS_EACH = 120.0
_START_S = 10.0  # that a fresh process takes until it times


def confirm(
    path: Path | str,
    *,
    budget: str | None = None,
    workers: int | None = None,
    download: bool = False,
    on_event: events.Listener | None = None,
) -> StudyReader:
    """Confirms the front of a study that was searched before, and searches nothing.

    Candidates whose place on the front is uncertain are timed again in a fresh process and trained
    with more seeds, until the front is settled or the budget is spent. It may be killed at any
    moment and begun again: what was trained counts.

    The budget is ``20%`` of the search's time, or a time such as ``10m``, spent earlier included;
    by default the study's space says. Data that are missing are fetched only where ``download``.

    Raises:
        ParkedError: It was stopped from outside; the help says how to go on.
        ArchbenchError: Study, data or storage cannot be used, or another machine began it.
    """
    path = path_of(path, place="study")
    header = open_study(path).header
    settings = settings_of(
        space_of(header, path=path),
        {"workers": workers},
        name=path.resolve().name,
        results=path.parent,
        download=download,
        confirm_budget=budget,
    )
    quiet_optuna()
    settings = as_begun(settings, header)
    resume = f"go on with: {confirm_command(path)}"
    with (
        StudyContext(settings, tell=on_event or events.ignore) as context,
        context.parks(path, noun="confirmation", resume=resume),
        opened(context),
    ):
        try:
            context.start_for(max(1, len(context.trials)))
            check_data(context)
            confirm_front(context, is_asked_for=True)
        finally:
            context.close()
    return open_study(path)


def confirm_command(path: Path) -> str:
    """What to type to confirm a study."""
    return command_line("archbench", "confirm", path)


def confirm_front(context: StudyContext, *, is_asked_for: bool = False) -> None:
    """Times and trains uncertain candidates, tests the front and times it in other runtimes.

    What breaks is told as a warning, and the numbers of the search stand. Where it ``is_asked_for``
    it is done whatever the space says and was done before.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop.
        StorageError: The study cannot be written.
    """
    settings = context.settings
    is_wanted = is_asked_for or settings.search.confirm is not False
    budget_s = settings.confirmation_seconds(context.took_s) if is_wanted else 0.0
    if not is_asked_for and _is_done(context, budget_s=budget_s):
        return
    repeats = Repeats(context, budget_s=budget_s)
    number = len(_doubt(context).uncertain())
    timing_s = _START_S + 2 * SEARCH_BUDGET_S * number if context.target and number else 0.0
    started = events.ConfirmationStarted(
        in_doubt=number,
        training_seconds=repeats.left_s / context.workers if number else 0.0,
        remaining_seconds=repeats.remaining_seconds + timing_s if is_wanted else 0.0,
    )
    context.tell(started)
    timed = _time(context, is_first=True) if is_wanted else frozenset()
    if repeats.next_number() is not None:
        context.run(repeats, timeout_s=settings.search.timeout_s)
        context.tell_front()
        if is_wanted:
            _time(context, is_first=False, without=timed)
    for record in context.front():
        if record.test_accuracy is None:
            take_test(context, record)
    if is_wanted:
        time_in_others(context)
    remove_useless_files(context.checkpoints, rule=context.rule, trials=context.study.trials)
    confirmed = {
        "front": [record.number for record in context.front()],
        "settled": not _doubt(context).uncertain(),
        "budget_s": budget_s,
        "spent_s": repeats.spent_s,
    }
    context.study.set_header(CONFIRMED, confirmed)


class Repeats(Jobs):
    """Further trainings of uncertain candidates, until none is worth it or fits the budget.

    What they have cost so far stands in the curves, so that a run that was killed goes on with
    what was left of the budget, of seconds in all, and with the training that was cut off.
    """

    def __init__(self, context: StudyContext, *, budget_s: float) -> None:
        self._context = context
        self._study = context.study
        self._own = context.settings.space.proxy.seeds
        self._budget_s = budget_s
        self._running: dict[int, int] = {}
        self._broken: set[int] = set()
        self._asks_again = True

    @property
    def remaining_seconds(self) -> float:
        """That confirming the front takes at most from now on, other runtimes included."""
        settings, workers = self._context.settings, self._context.workers
        return self.left_s / workers + settings.other_runtimes_seconds(self._context.took_s)

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left."""
        return max(0.0, self._budget_s - self.spent_s)

    @property
    def spent_s(self) -> float:
        """Seconds that trainings beyond the search's own have taken in this study so far."""
        seconds = sum(spent_on_repeats(record, own=self._own) for record in self._context.trials)
        return max(0.0, seconds - float(self._study.header().get(REPEATS_TAKEN_OVER, 0.0)))

    def next_job(self) -> TrainJob | None:
        """The training that settles most; None where none is worth it or fits."""
        number = self.next_number() if self._asks_again else None
        if number is None:
            self._asks_again = False  # until something has ended
            return None
        record = self._study.trials[number]
        cut_off = self._cut_off(record)
        seed = max(point.seed for point in record.curve) + 1 if cut_off is None else cut_off
        seed = self._running[number] = max(seed, self._own)
        told = "goes on" if cut_off is not None else "is trained once more"
        self._context.say(f"trial {number} {told}, with seed {seed}")
        return self._context.training(number, seed=seed)

    def restarted(self, job: Job) -> TrainJob:
        """The training, from its last checkpoint."""
        self._context.warn(f"trial {job.number}: {KILLED}")
        return self._context.training(job.number, seed=self._running[job.number])

    def tick(self) -> None:
        """Writes a backup when it is due."""
        self._context.back_up_at_times()

    def take(self, report: Report) -> None:
        """Writes down what a worker reports."""
        number = report.number
        match report:
            case Sent(payload=RungReached(point=point, path=path, sha256=sha256)):
                self._study.add_point(number, point)
                self._study.set_checkpoint(number, point, path=path, sha256=sha256)
            case Sent(payload=QuantisedAccuracy() as found):
                self._take_quantised(number, found)
            case Sent(payload=Note(text=text)):
                self._context.warn(f"trial {number}: {text}")
            case Done():
                self._asks_again = True
                self._tell_end(number, seed=self._running.pop(number))
            case Broken(failure=failure):
                self._asks_again = True
                self._broken.add(number)
                seed = self._running.pop(number)
                told = f"trial {number} could not be trained with seed {seed}"
                self._context.warn(f"{told}: {failure.message}")

    def next_number(self) -> int | None:
        """The trial whose training is next; None where none would settle anything or fits."""
        trials, busy = self._context.trials, {*self._running, *self._broken}
        for record in trials:
            if self._cut_off(record) is not None and record.number not in busy:
                return record.number
        seconds = {record.number: _training_seconds(record) for record in trials if record.curve}
        designs = {record.number: record.design for record in trials if record.design is not None}
        for record in trials:
            if record.design in seconds:
                seconds[record.design] += _quantising_seconds(record)
        planned = sum(seconds[number] for number in self._running)
        gains = dict.fromkeys(seconds, 0.0)
        for number, gain in expected_gains(trials, rule=self._context.rule).items():
            if (trained := designs.get(number, number)) in gains:
                gains[trained] += gain
        return next_training(
            gains,
            seconds=seconds,
            left=self._budget_s - self.spent_s - planned,
            busy=busy,
        )

    def _cut_off(self, record: TrialRecord) -> int | None:
        """The seed of a further training that has begun and not ended, or None."""
        begun = {point.seed for point in record.curve if point.seed >= self._own}
        ended = set(final_accuracies(record))
        return min(begun - ended, default=None) if record.state == "complete" else None

    def _take_quantised(self, number: int, found: QuantisedAccuracy) -> None:
        """Keeps what a training of a design reaches in int8, with the trial of that precision."""
        records = self._study.trials.values()
        other = next((r.number for r in records if r.design == number), number)
        if not self._study.trials[other].quantised:
            return  # it could not be quantised before
        self._study.add_quantised(other, found)
        if other != number:
            copy_weights(self._context.checkpoints, number, other, seed=found.seed)

    def _tell_end(self, number: int, *, seed: int) -> None:
        found = _doubt(self._context)
        self._study.show_probabilities(found.on_front)
        self._context.tell(
            events.SeedTrained(
                record=self._study.trials[number],
                seed=seed,
                on_front=found.on_front.get(number, 0.0),
                in_doubt=len(found.uncertain()),
                spent_seconds=self.spent_s,
                budget_seconds=self._budget_s,
                remaining_seconds=self.remaining_seconds,
            )
        )


def spent_on_repeats(record: TrialRecord, *, own: int) -> float:
    """Seconds of the trainings of a trial beyond the search's own, of which there are so many."""
    last = {point.seed: point.seconds for point in record.curve if point.seed >= own}
    quantised = sum(one.seconds for one in record.quantised if one.seed >= own)
    return sum(last.values()) + quantised


def _is_done(context: StudyContext, *, budget_s: float) -> bool:
    """Whether this very front was confirmed before, with no smaller budget."""
    header = context.study.header()
    done = confirmation_of(header)
    numbers = [record.number for record in context.front()]
    if done is None:
        return bool(header.get(CONFIRMED) == numbers)
    return bool(done["front"] == numbers and (done["settled"] or done["budget_s"] >= budget_s))


def _doubt(context: StudyContext) -> FrontProbabilities:
    return front_probabilities(context.trials, rule=context.rule)


def _time(
    context: StudyContext, *, is_first: bool, without: frozenset[int] = frozenset()
) -> frozenset[int]:
    """Times uncertain ones in a fresh process, and at first known networks beside them."""
    target, study = context.target, context.study
    if target is None:
        return frozenset()
    numbers = [number for number in _doubt(context).uncertain() if number not in without]
    references = _references(context) if is_first and context.front() else {}
    specs = {str(number): study.trials[number].spec for number in numbers}
    specs |= {name: spec for name, (spec, *_) in references.items()}
    if not specs:
        return frozenset()
    int8 = [str(number) for number in numbers if study.trials[number].design is not None]
    try:
        measured = context.call(
            partial(time_each, specs=specs, target=target, int8=int8),
            timeout_s=_SECONDS_EACH * len(specs),
            is_alone=True,
            place="target",
        )
    except StageError as error:
        context.warn(f"uncertain candidates could not be timed again: {error.message}")
    else:
        for number in numbers:
            study.add_measurement(number, "confirm", measured[str(number)])
        for name, (_, params, macs) in references.items():
            study.add_reference(name, measured[name], params, macs)
    context.tell_front()
    return frozenset(numbers)


def _references(context: StudyContext) -> dict[str, tuple[Mapping[str, Any], int, int]]:
    """The known networks that were trained; else published ones as the base has it, where legal.

    Each by its name with its parameters and MACs.
    """
    known = baselines_of(context.study.snapshot())
    trained = {one.name: one for one in known if one.record.proxy_accuracy is not None}
    if trained:
        return {
            name: (one.record.spec, one.record.params, one.record.macs)
            for name, one in trained.items()
            if one.trial is None and one.record.latency is not None
        }
    like, found = context.settings.space.base, dict[str, tuple[Mapping[str, Any], int, int]]()
    for name in _REFERENCES:
        document = as_spec(name).to_document()
        document |= {"resolution": like["resolution"], "num_classes": like["num_classes"]}
        try:
            counted = count(as_spec(document))
        except SpecError:
            continue
        found[name] = document, counted.params, counted.macs
    return found


def _training_seconds(record: TrialRecord) -> float:
    """What a training of a trial to its last rung took on average, and quantising it."""
    last = {point.seed: point.seconds for point in record.curve}
    trained = statistics.fmean(last[seed] for seed in final_accuracies(record))
    return trained + _quantising_seconds(record)


def _quantising_seconds(record: TrialRecord) -> float:
    """What quantising the network of a training took on average; 0 where none was."""
    seconds = [one.seconds for one in record.quantised]
    return statistics.fmean(seconds) if seconds else 0.0
