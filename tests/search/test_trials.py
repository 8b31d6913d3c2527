"""Trials write down whatever an engine brings, and know when to stop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState

from archbench.analysis.front import FrontRule
from archbench.errors import StorageError
from archbench.evaluate.proxy import Proxy
from archbench.search import events
from archbench.search.context import Interruption, StudyContext
from archbench.search.jobs import (
    InInt8,
    MayGoOn,
    RungReached,
    TimedAgain,
    TrialEnd,
    TrialJob,
    weights_path,
)
from archbench.search.optuna_view import Ledger
from archbench.search.pruning import PRUNERS, Pruner
from archbench.search.sampler import SAMPLERS
from archbench.search.scheduler import Broken, Done, Report, Sent
from archbench.search.settings import settings_of
from archbench.search.suggestion import Suggester
from archbench.search.trials import AllFailedError, Trials, reopen_failed
from archbench.space import SearchSpace
from archbench.study.trial import PRECISION, Failure, QuantisedAccuracy
from archbench.train.recipe import Plan as TrainingPlan
from archbench.train.recipe import Recipe
from tests.search import tiny
from tests.search.jobs import ScriptedEngine
from tests.study.example import latency, point

_HEADER: dict[str, Any] = {
    "name": "mine",
    "objectives": {"proxy_accuracy": "max", "latency_ms": "min"},
    "limits": {"latency_ms": 10.0},
    "proxy": {"data": "toy", "chance": 0.1, "num_validation": 1000},
    "seconds": 0.0,
}
_PROXY = Proxy(
    data="unused",
    resolution=16,
    num_classes=3,
    stem="as_is",
    num_seeds=1,
    recipe=Recipe(rungs=(1,)),
    plan=TrainingPlan(),
    device="cpu",
)


def _completes(job: TrialJob, *, cost: float = 5.0, accuracy: float = 0.5) -> list[Report]:
    number = job.number
    path = job.trainings[0].weights
    assert path is not None
    path.write_bytes(b"weights")
    rung = RungReached(point=point(1, accuracy), path=path, sha256="0" * 64)
    return [
        Sent(number=number, payload=latency(cost)),
        Sent(number=number, payload=rung),
        Done(number=number, result=TrialEnd(state="complete", proxy_accuracy=accuracy)),
    ]


def _results(*pairs: tuple[float, float]) -> ScriptedEngine:
    """Brings a cost and an accuracy for each trial in turn."""
    return ScriptedEngine(
        lambda job: _completes(job, cost=pairs[job.number][0], accuracy=pairs[job.number][1])
    )


def _breaks(job: TrialJob, *, kind: str = "nan", **options: Any) -> list[Report]:
    failure = Failure(kind=kind, message="the loss became nan")  # type: ignore[arg-type]
    return [Broken(number=job.number, failure=failure, **options)]


@dataclass
class Study:
    """A study on disk, with everything that its trials need."""

    path: Path
    ledger: Ledger
    space: SearchSpace
    heard: list[events.Event] = field(default_factory=list)
    interruption: Interruption = field(default_factory=Interruption)

    def run(
        self,
        engine: ScriptedEngine,
        *,
        trials: int = 4,
        clock: Callable[[], float] = lambda: 0.0,
        time_limit_s: float | None = None,
        epochs: int | None = None,
        pruner: str = "none",
        audit: float = 0.0,
        rungs: tuple[int, ...] = (1,),
        precisions: tuple[str, ...] = (),
    ) -> str:
        """Why it ended."""
        said = {"trials": trials, "epochs": epochs, "time_limit_s": time_limit_s}
        settings = settings_of(self.space, said, name=self.path.name, results=self.path.parent)
        context = StudyContext(
            settings, make_engine=lambda workers: engine, tell=self.heard.append, clock=clock
        )
        context.interruption = self.interruption
        context.header = {**_HEADER, "trial_seconds": 1.0, "precisions": precisions}
        context.proxy = replace(_PROXY, recipe=Recipe(rungs=rungs))
        context.target = None
        context.rule = FrontRule.of(_HEADER, place="test")
        context.study = self.ledger
        sampler = SAMPLERS.load("random")
        suggester = Suggester(self.space, sampler=sampler, seed=0, directions=["max", "min"])
        suggester.restore((t, t.user_attrs["digest"], {}) for t in self.optuna_trials())
        judge = Pruner(
            entry=PRUNERS.load(pruner),
            rule=context.rule,
            rungs=rungs,
            num_seeds=1,
            audit=audit,
            seed=0,
        )
        found = Trials(context, suggester=suggester, pruner=judge)
        context.run(found, timeout_s=60.0)
        return found.reason

    def optuna_trials(self) -> list[FrozenTrial]:
        return self.ledger.frozen_trials()

    def of(self, kind: type) -> list[Any]:
        return [happened for happened in self.heard if isinstance(happened, kind)]


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    Ledger.create(tmp_path / "study.db", _HEADER).close()
    (tmp_path / "checkpoints").mkdir()
    with Ledger.open(tmp_path / "study.db") as opened:
        yield Study(path=tmp_path, ledger=opened, space=_space())


def _space(*, is_small: bool = False) -> SearchSpace:
    """The tiny space, or four widths of it."""
    text = tiny.space_text(Path("unused"), objectives="{accuracy: max, latency_ms: min}")
    text = text.replace("objectives:", "limits: {latency_ms: 10}\nobjectives:")
    if not is_small:
        return SearchSpace(text, source="toy.yaml")
    text = text.split("  stages[0].depth")[0] + "proxy: {resolution: 16}\n"
    return SearchSpace(text, source="small.yaml")


def _states(study: Study) -> list[str]:
    return [record.state for record in study.ledger.trials.values()]


def test_it_ends_when_enough_trials_are_done(study: Study) -> None:
    assert study.run(ScriptedEngine(_completes)) == "4 trials are done"
    assert _states(study) == ["complete"] * 4
    assert study.of(events.TrialFinished)[-1].trials_done == 4
    assert study.of(events.TrialFinished)[-1].remaining_seconds == 0.4, "to confirm the front"


def test_a_failure_is_recorded_and_the_search_goes_on(study: Study) -> None:
    def script(job: TrialJob) -> list[Report]:
        return _breaks(job) if job.number == 1 else _completes(job)

    study.run(ScriptedEngine(script))
    assert _states(study) == ["complete", "failed", "complete", "complete"]
    failure = study.ledger.trials[1].failure
    assert failure is not None
    assert (failure.kind, failure.message) == ("nan", "the loss became nan")
    told = [trial.state.name for trial in study.optuna_trials()]
    assert told == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_a_trial_over_the_limit_is_told_as_pruned(study: Study) -> None:
    def script(job: TrialJob) -> list[Report]:
        end = TrialEnd(state="over_limit", reason="too long")
        return [Sent(number=job.number, payload=latency(99.0)), Done(number=job.number, result=end)]

    study.run(ScriptedEngine(script), trials=6)
    assert _states(study) == ["over_limit"] * 6
    assert study.ledger.trials[0].reason == "too long"
    assert {trial.state for trial in study.optuna_trials()} == {TrialState.PRUNED}
    assert study.of(events.FrontChanged) == []


def test_a_worker_killed_from_outside_gets_one_more_try(study: Study) -> None:
    def script(job: TrialJob) -> list[Report]:
        return _breaks(job, kind="crash", from_outside=True) if job.number < 2 else _completes(job)

    engine = ScriptedEngine(script)
    study.run(engine, trials=3)
    assert [job.number for job in engine.jobs] == [0, 0, 1, 1, 2]
    assert _states(study) == ["failed", "failed", "complete"]
    assert len(study.of(events.Warned)) == 2


def test_crashed_trials_and_those_out_of_time_are_retried(study: Study) -> None:
    kinds = {0: "crash", 1: "nan", 3: "timeout"}

    def script(job: TrialJob) -> list[Report]:
        number = job.number
        job.trainings[0].checkpoint.touch()
        return _breaks(job, kind=kinds[number]) if number in kinds else _completes(job)

    study.run(ScriptedEngine(script))
    assert _states(study) == ["failed", "failed", "complete", "failed"]
    kept = sorted(file.name[:11] for file in (study.path / "checkpoints").glob("*.checkpoint.*"))
    assert kept == ["trial-00000", "trial-00003"]
    assert reopen_failed(study.ledger) == [0, 3]
    told = [trial.state.name for trial in study.optuna_trials()]
    assert told == ["RUNNING", "FAIL", "COMPLETE", "RUNNING"]
    engine = ScriptedEngine(_completes)
    study.run(engine)
    assert [job.number for job in engine.jobs] == [0, 3]
    assert _states(study) == ["complete", "failed", "complete", "complete"]
    assert study.ledger.trials[0].failure is None
    told = [trial.state.name for trial in study.optuna_trials()]
    assert told == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_first_trials_that_all_fail_alike_end_the_study(study: Study) -> None:
    with pytest.raises(AllFailedError, match=r"first 5 trials all failed \(nan\): the loss became"):
        study.run(ScriptedEngine(_breaks), trials=40)
    assert len(study.ledger.trials) == 5


def test_lost_storage_ends_the_run_and_leaves_the_trial_running(study: Study) -> None:
    def script(job: TrialJob) -> list[Report]:
        return _breaks(job, kind="error", error=StorageError("the disk is full"))

    engine = ScriptedEngine(script)
    with pytest.raises(StorageError, match="the disk is full"):
        study.run(engine)
    assert _states(study) == ["running"]
    assert len(engine.jobs) == 1


def test_some_trials_are_timed_again_beside_later_ones(study: Study) -> None:
    def script(job: TrialJob) -> list[Report]:
        taken = [latency(5.0 + number, protocol=2) for number in (job.number, *job.again)]
        own, *others = (Sent(number=job.number, payload=one) for one in taken)
        again = [
            Sent(number=job.number, payload=TimedAgain(number=number, latency=sent.payload))
            for number, sent in zip(job.again, others, strict=True)
        ]
        return [own, *again, *_completes(job)[1:]]

    engine = ScriptedEngine(script)
    study.run(engine, trials=24)
    again = {job.number: list(job.again) for job in engine.jobs if job.again}
    assert 3 <= len(again) <= 10
    assert all(len(others) == 1 and others[0] < number for number, others in again.items())
    timed = [number for others in again.values() for number in others]
    assert len(set(timed)) == len(timed), "one twice would tell less than another"
    kinds = [entry.kind for entry in study.ledger.snapshot().measurements]
    assert (kinds.count("search"), kinds.count("again")) == (24, len(timed))
    for record in study.ledger.trials.values():
        assert record.latency is not None
        assert record.latency.details["runs"] == 1 + (record.number in timed)


def test_what_was_running_goes_on_first_with_what_is_known(study: Study) -> None:
    def parks(job: TrialJob) -> list[Report]:
        study.interruption.signal_number = 2
        return _completes(job)[:2]

    with pytest.raises(KeyboardInterrupt):
        study.run(ScriptedEngine(parks))
    assert _states(study) == ["running"]
    study.interruption.signal_number = None
    engine = ScriptedEngine(_completes)
    study.run(engine, trials=2)
    assert [job.number for job in engine.jobs] == [0, 1]
    assert engine.jobs[0].latency == latency(5.0)
    assert engine.jobs[0].trainings[0].sha256 == "0" * 64
    assert [started.resumed for started in study.of(events.TrialStarted)] == [False, True, False]
    assert len(study.ledger.trials[0].curve) == 1


def _in_both(job: TrialJob) -> list[Report]:
    """A design whose int8 is dearer, and in every third trial cannot be had."""
    number = job.number
    end = TrialEnd(
        state="complete",
        proxy_accuracy=0.45,
        quantised=(QuantisedAccuracy(seed=0, accuracy=0.45, seconds=2.0),),
    )
    if number % 3 == 2:
        end = TrialEnd(state="failed", failure=Failure(kind="error", message="no such operator"))
    in_int8 = InInt8(end=end, latency=latency(6.0), seconds=3.0)
    *before, done = _completes(job)
    return [*before, Sent(number=number, payload=in_int8), done]


def _with_int8() -> SearchSpace:
    text = _space().text + "target: {backend: openvino, precision: [int8, fp32]}\n"
    return SearchSpace(text, source="toy.yaml")


def test_a_design_is_trained_once_and_a_trial_in_each_precision(study: Study) -> None:
    study.space = _with_int8()
    now = [0.0]

    def script(job: TrialJob) -> list[Report]:
        now[0] += 10.0
        return _in_both(job)

    engine = ScriptedEngine(script)
    both = ("fp32", "int8")
    reason = study.run(engine, trials=2, clock=lambda: now[0], precisions=both)
    assert reason == "2 trials are done"
    assert [job.number for job in engine.jobs] == [0, 2]
    assert all(job.has_both for job in engine.jobs)
    records = list(study.ledger.trials.values())
    assert [record.choices[PRECISION] for record in records] == ["fp32", "int8", "fp32", "int8"]
    assert [record.design for record in records] == [None, 0, None, 2]
    assert records[0].digest == records[1].digest != records[2].digest
    assert [len(record.curve) for record in records] == [1, 0, 1, 0]
    assert [record.proxy_accuracy for record in records] == [0.5, 0.45, 0.5, None]
    assert [record.latency.value for record in records if record.latency] == [5.0, 6.0, 5.0, 6.0]
    assert [record.state for record in records] == ["complete"] * 3 + ["failed"]
    assert records[3].failure is not None
    assert [record.seconds for record in records] == [7.0, 3.0, 7.0, 3.0], "each second once"
    told = study.of(events.TrialFinished)
    assert [(one.record.number, one.trials_done) for one in told] == [
        (0, 1),
        (1, 1),
        (2, 2),
        (3, 2),
    ]
    weights = weights_path(study.path / "checkpoints", 0, seed=0)
    assert weights.read_bytes() == b"weights"
    shown = study.optuna_trials()
    assert shown[0].params == shown[1].params
    assert (shown[0].values, shown[1].values) == ([0.5, 5.0], [0.45, 6.0])
    assert study.ledger.left_to_chance()["candidates"] == 2
    before = study.ledger.snapshot()
    study.ledger.close()
    with Ledger.open(study.path / "study.db") as opened:
        assert opened.snapshot() == before
        assert opened.trials[1].quantised[0].accuracy == 0.45
        study.ledger = opened
        study.run(engine, trials=3, precisions=both)
        assert [job.number for job in engine.jobs] == [0, 2, 4], "it goes on with designs"


def test_no_trial_is_begun_after_the_time_limit(study: Study) -> None:
    now = [0.0]

    def script(job: TrialJob) -> list[Report]:
        now[0] += 40.0
        return _completes(job)

    engine = ScriptedEngine(script)
    reason = study.run(engine, trials=99, clock=lambda: now[0], time_limit_s=100)
    assert reason == "the time limit of 100 s is reached"
    assert len(study.ledger.trials) == 3
    assert all(record.seconds == 40.0 for record in study.ledger.trials.values())
    told = study.of(events.TrialFinished)
    assert [happened.trials for happened in told] == [6, 3, 3], "as many as fit the time"
    assert told[-1].remaining_seconds == pytest.approx(21.96), "to confirm the front"


def test_an_exhausted_space_ends_the_study(study: Study) -> None:
    study.space = _space(is_small=True)
    reason = study.run(ScriptedEngine(_completes), trials=99)
    assert reason == "every feasible candidate of the space has been tried"
    assert len(study.ledger.trials) == study.space.size() == 4
    assert [told.trials for told in study.of(events.TrialFinished)] == [4] * 4


def test_the_front_is_told_when_it_changes(study: Study) -> None:
    study.run(_results((5.0, 0.5), (6.0, 0.4), (4.0, 0.6), (3.0, 0.3)))
    fronts = [[m.number for m in told.members] for told in study.of(events.FrontChanged)]
    assert fronts == [[0], [2], [3, 2]]


def _asks(job: TrialJob, *, accuracy: float) -> list[Report]:
    """A trial that has come to its first rung of two."""
    rung = RungReached(point=point(4, accuracy), path=job.trainings[0].checkpoint, sha256="0" * 64)
    return [
        Sent(number=job.number, payload=latency(5.0 + job.number / 10)),
        Sent(number=job.number, payload=rung),
        Sent(number=job.number, payload=MayGoOn(seed=0, epoch=4)),
    ]


@dataclass
class AskingEngine(ScriptedEngine):
    """Goes on as it is answered: to the end with a tenth more, or not."""

    def answer(self, number: int, content: Any) -> None:
        super().answer(number, content)
        if content is None:
            return  # of a rung
        job = next(job for job in self.jobs if job.number == number)
        if content:
            end = TrialEnd(state="pruned", reason=content)
        else:
            reached = _ACCURACIES[number] + 0.1
            rung = RungReached(
                point=point(8, reached), path=job.trainings[0].checkpoint, sha256="1" * 64
            )
            self.reports.append(Sent(number=number, payload=rung))
            end = TrialEnd(state="complete", proxy_accuracy=reached)
        self.reports.append(Done(number=number, result=end))


_ACCURACIES = [0.7, *[0.65] * 9, 0.2, 0.3, 0.8, 0.25]


def _asking(study: Study) -> AskingEngine:
    return AskingEngine(lambda job: _asks(job, accuracy=_ACCURACIES[job.number]))


def test_hopeless_trials_are_stopped_and_told_with_their_curves(study: Study) -> None:
    engine = _asking(study)
    study.run(engine, trials=14, pruner="curve", rungs=(4, 8))
    states = _states(study)
    assert states == ["complete"] * 10 + ["pruned", "pruned", "complete", "pruned"]
    assert (10, study.ledger.trials[10].reason) in engine.answers
    assert [point.epoch for point in study.ledger.trials[10].curve] == [4]
    told = study.optuna_trials()[10]
    assert told.state == TrialState.PRUNED
    members = study.of(events.FrontChanged)[-1].members
    assert {member.number for member in members} == {0, 12}


def test_audited_trials_go_on_and_what_was_said_of_them_is_kept(study: Study) -> None:
    study.run(_asking(study), trials=14, pruner="curve", rungs=(4, 8), audit=1.0)
    assert _states(study) == ["complete"] * 14
    kept = study.ledger.trials.values()
    assert [r.number for r in kept if r.verdicts and r.verdicts[0].is_audited] == [10, 11, 13]


def test_what_is_on_record_is_answered_again(study: Study) -> None:
    def parks(job: TrialJob) -> list[Report]:
        if job.number == 10:
            study.interruption.signal_number = 2
        return _asks(job, accuracy=_ACCURACIES[job.number])

    engine = AskingEngine(parks)
    with pytest.raises(KeyboardInterrupt):
        study.run(engine, trials=14, pruner="curve", rungs=(4, 8))
    study.interruption.signal_number = None
    again = _asking(study)
    study.run(again, trials=11, pruner="none", rungs=(4, 8))
    (said,) = {content for number, content in engine.answers if number == 10 and content}
    assert (10, said) in again.answers


def test_epochs_that_were_not_trained_go_to_other_candidates(study: Study) -> None:
    reason = study.run(_asking(study), trials=14, epochs=96, pruner="curve", rungs=(4, 8))
    assert reason == "96 epochs are trained, 96 were to be"
    assert _states(study) == ["complete"] * 10 + ["pruned", "pruned", "complete"]
    expected = [finished.trials for finished in study.of(events.TrialFinished)]
    assert expected[0] == 12
    assert expected[-1] == 13


def test_only_weights_that_may_matter_are_kept(study: Study) -> None:
    study.run(_results((5.0, 0.5), (4.1, 0.6), (4.0, 0.6), (9.0, 0.2)))
    kept = sorted(file.name for file in (study.path / "checkpoints").iterdir())
    assert kept == ["trial-00001-seed-0.safetensors", "trial-00002-seed-0.safetensors"]
