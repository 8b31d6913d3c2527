"""A trial is timed before it is trained, and trained only within its limit."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from archbench.evaluate.target import Alone
from archbench.progress import Progress
from archbench.search.jobs import (
    InInt8,
    MayGoOn,
    NoLatencyError,
    Note,
    RungReached,
    TimedAgain,
    TrainJob,
    TrialEnd,
    TrialJob,
    checkpoint_path,
    weights_path,
)
from archbench.search.kept_weights import may_reach_front, remove_useless_files
from archbench.search.scheduler import HoldOthers, LetOthersGo, StepProgress
from archbench.study.measurement import Conditions, Measurement
from archbench.study.trial import QuantisedAccuracy
from archbench.train.recipe import Recipe
from tests.evaluate.toy import SPEC
from tests.search.jobs import on_target
from tests.study.example import RULE, latency, point, trial

_POINT = point(1, 0.5)
_TIMING = [HoldOthers(), LetOthersGo()]


@dataclass
class StoredTarget:
    """Gives a latency that was taken before."""

    value: float | None
    asked: int = 0
    told: Sequence[tuple[int, int]] = ()
    in_int8: float | None = None

    def at(self, precision: str) -> "StoredTarget":
        assert precision == "int8"
        return StoredTarget(self.in_int8)

    def measure(self, spec: Any, *, alone: Alone, on_progress: Progress) -> Measurement:
        self.asked += 1
        for done, total in self.told:
            on_progress("what it does", done, total)
        with alone():
            pass
        return latency(self.value, verdict="stable" if self.value else "incomplete")


@dataclass
class StoredProxy:
    """Gives accuracies that were reached before."""

    accuracies: list[float]
    recipe: Recipe = field(default_factory=lambda: Recipe(rungs=(1,)))
    calls: list[dict[str, Any]] = field(default_factory=list)
    loses: float = 0.125  # in int8; more than there is makes it fail

    def quantised(self, spec: Any, *, seed: int, **options: Any) -> QuantisedAccuracy:
        if self.loses > 1:
            raise RuntimeError("no such operator")
        reached = self.accuracies[seed] - self.loses
        return QuantisedAccuracy(seed=seed, accuracy=reached, seconds=1.0)

    @property
    def num_seeds(self) -> int:
        return len(self.accuracies)

    def train(self, spec: Any, **options: Any) -> float:
        self.calls.append(options)
        for epoch in self.recipe.rungs:
            reached = replace(_POINT, seed=options["seed"], epoch=epoch)
            if options["on_point"](reached, Path("c"), "1" * 64) is False:
                break
        options["on_note"]("all is well")
        return self.accuracies[options["seed"]]


def _two_rungs() -> StoredProxy:
    return StoredProxy([0.5, 0.5], recipe=Recipe(rungs=(1, 2)))


def _job(folder: Path, **changes: Any) -> TrialJob:
    proxy, saved = changes.pop("proxy", StoredProxy([0.5])), changes.pop("saved", {})
    int8 = changes.pop("int8", None)
    trainings = [
        TrainJob(
            number=7,
            spec=SPEC,
            proxy=proxy,
            seed=seed,
            checkpoint=checkpoint_path(folder, 7, seed=seed),
            sha256=saved.get(seed),
            weights=weights_path(folder, 7, seed=seed),
            int8=int8,
        )
        for seed in range(proxy.num_seeds)
    ]
    options: dict[str, Any] = {"target": StoredTarget(4.0), "limits": {"latency_ms": 8.0}}
    options |= {"latency": None, **changes}
    return TrialJob(number=7, trainings=trainings, **options)


def _run(job: TrialJob) -> tuple[TrialEnd, list[Any]]:
    sent: list[Any] = []
    return job.run(on_target(sent.append)), sent


def test_latency_comes_before_training(tmp_path: Path) -> None:
    end, sent = _run(_job(tmp_path))
    assert end == TrialEnd(state="complete", proxy_accuracy=0.5)
    rung = RungReached(point=_POINT, path=Path("c"), sha256="1" * 64)
    assert sent == [*_TIMING, latency(4.0), rung, Note(text="all is well")]


def test_another_trial_is_timed_again_behind_its_own(tmp_path: Path) -> None:
    target = StoredTarget(4.0)
    end, sent = _run(_job(tmp_path, target=target, again={3: SPEC}))
    assert end.state == "complete"
    again = TimedAgain(number=3, latency=latency(4.0))
    assert sent[:6] == [*_TIMING, latency(4.0), *_TIMING, again]
    assert target.asked == 2
    # Where its own latency is known already, nothing is timed.
    _, sent = _run(_job(tmp_path, target=target, latency=latency(4.0), again={3: SPEC}))
    assert target.asked == 2


def test_of_the_timing_only_a_wait_for_another_process_is_handed_over(tmp_path: Path) -> None:
    target = StoredTarget(4.0, told=[(1, 5), (0, 0), (2, 5)])
    _, sent = _run(_job(tmp_path, target=target))
    waiting = StepProgress(what="what it does", done=0, total=0)
    assert sent[:4] == [waiting, *_TIMING, latency(4.0)]


@pytest.mark.parametrize(
    ("until", "asked", "state"),
    [
        ((0, 1), [(0, 1)], "pruned"),
        ((0, 2), [(0, 1), (0, 2)], "pruned"),
        ((1, 1), [(0, 1), (0, 2), (1, 1)], "pruned"),
        (None, [(0, 1), (0, 2), (1, 1)], "complete"),
    ],
)
def test_a_trial_asks_at_every_rung_before_its_last(
    tmp_path: Path, until: tuple[int, int] | None, asked: list[tuple[int, int]], state: str
) -> None:
    heard: list[tuple[int, int]] = []

    def send(payload: Any) -> Any:
        if not isinstance(payload, MayGoOn):
            return None
        heard.append((payload.seed, payload.epoch))
        return "hopeless" if heard[-1] == until else ""

    end = _job(tmp_path, proxy=_two_rungs(), asks=True).run(on_target(send))
    assert heard == asked
    assert end.state == state
    assert end.reason == ("hopeless" if until else "")


def test_a_trial_that_is_not_to_ask_does_not(tmp_path: Path) -> None:
    end, sent = _run(_job(tmp_path, proxy=_two_rungs()))
    assert end.state == "complete"
    assert not any(isinstance(payload, MayGoOn) for payload in sent)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("latency_ms", "latency 8.01 ms is over the limit of 8 ms"),
        ("p99_ms", "p99 latency 8.79 ms is over the limit of 8 ms"),
    ],
)
def test_what_is_over_a_limit_is_not_trained(tmp_path: Path, name: str, told: str) -> None:
    proxy, limits = StoredProxy([0.5]), {name: 8.0}
    end, sent = _run(_job(tmp_path, target=StoredTarget(8.01), proxy=proxy, limits=limits))
    assert (end.state, end.reason) == ("over_limit", told)
    assert sent == [*_TIMING, latency(8.01)]
    assert proxy.calls == []
    assert _run(_job(tmp_path, target=StoredTarget(8.0)))[0].state == "complete", "just within it"


@pytest.mark.parametrize(
    "changes",
    [{"target": None}, {"target": StoredTarget(99.0), "latency": latency(3.0)}],
    ids=["without a target", "known"],
)
def test_nothing_is_timed_for_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    end, sent = _run(_job(tmp_path, **changes))
    assert end.state == "complete"
    assert isinstance(sent[0], RungReached)
    assert changes["target"] is None or changes["target"].asked == 0


def test_a_latency_that_cannot_be_had_ends_the_trial_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(NoLatencyError, match="others were busy"):
        _run(_job(tmp_path, target=StoredTarget(None)))


INT8 = Conditions(backend="openvino", precision="int8")


def test_a_trial_in_int8_has_the_accuracy_of_the_quantised_networks(tmp_path: Path) -> None:
    end, sent = _run(_job(tmp_path, proxy=StoredProxy([0.5, 0.75]), int8=INT8))
    assert (end.state, end.proxy_accuracy) == ("complete", 0.5)
    assert [(one.seed, one.accuracy) for one in end.quantised] == [(0, 0.375), (1, 0.625)]
    assert not any(isinstance(payload, InInt8) for payload in sent)
    sent = []
    _job(tmp_path, int8=INT8).trainings[0].run(sent.append)
    assert sent[-1] == QuantisedAccuracy(seed=0, accuracy=0.375, seconds=1.0), "a further training"


@pytest.mark.parametrize(
    ("loses", "in_int8", "state", "told"),
    [
        (0.125, 7.0, "complete", ""),
        (0.125, 9.0, "over_limit", "latency 9 ms is over the limit of 8 ms"),
        (2.0, 7.0, "failed", "no such operator"),
        (0.125, None, "failed", "no latency could be had: others were busy"),
    ],
)
def test_what_int8_does_to_a_design_is_told_beside_its_trial(
    tmp_path: Path, loses: float, in_int8: float | None, state: str, told: str
) -> None:
    proxy, target = StoredProxy([0.5], loses=loses), StoredTarget(4.0, in_int8=in_int8)
    end, sent = _run(_job(tmp_path, proxy=proxy, target=target, int8=INT8, has_both=True))
    assert end == TrialEnd(state="complete", proxy_accuracy=0.5), "whatever becomes of the other"
    (found,) = (payload for payload in sent if isinstance(payload, InInt8))
    assert found.end.state == state
    assert found.end.proxy_accuracy == (0.375 if state == "complete" else None)
    assert told in (found.end.failure.message if found.end.failure else found.end.reason)
    assert found.latency is not None
    assert found.latency.value == in_int8


@pytest.mark.parametrize(("in_int8", "state"), [(7.0, "complete"), (8.5, "over_limit")])
def test_a_design_over_the_limit_is_trained_where_it_keeps_it_in_int8(
    tmp_path: Path, in_int8: float, state: str
) -> None:
    proxy, target = _two_rungs(), StoredTarget(9.0, in_int8=in_int8)
    job = _job(tmp_path, proxy=proxy, target=target, int8=INT8, has_both=True, asks=True)
    end, sent = _run(job)
    assert end.state == state
    assert bool(proxy.calls) == (state == "complete")
    assert not any(isinstance(payload, MayGoOn) for payload in sent), "by its cost in fp32"
    assert end.reason == ("" if proxy.calls else "latency 9 ms is over the limit of 8 ms")


def test_accuracy_is_the_mean_over_seeds_each_from_its_checkpoint(tmp_path: Path) -> None:
    proxy = StoredProxy([0.4, 0.6])
    end, _ = _run(_job(tmp_path, proxy=proxy, saved={1: "2" * 64}))
    assert end.proxy_accuracy == 0.5
    assert [call["sha256"] for call in proxy.calls] == [None, "2" * 64]
    assert len({call["checkpoint"] for call in proxy.calls}) == 2


def test_files_of_a_trial_that_is_over_are_removed(tmp_path: Path) -> None:
    files = [path(tmp_path, n, seed=0) for n in (7, 8) for path in (checkpoint_path, weights_path)]
    over = [trial(7, accuracy=0.5, latency_ms=5.0), trial(8, accuracy=0.4, latency_ms=9.0)]
    running = [checkpoint_path(tmp_path, 70, seed=0), weights_path(tmp_path, 70, seed=0)]
    for file in (*files, files[0].with_name(files[0].name + ".previous"), *running):
        file.touch()
    trials = {record.number: record for record in [*over, trial(70, state="running")]}
    remove_useless_files(tmp_path, rule=RULE, trials=trials)
    assert set(tmp_path.iterdir()) == {*running, files[1]}


@pytest.mark.parametrize(
    ("accuracy", "cost", "may"),
    [
        (0.6, 5.0, True),  # better
        (0.5, 5.0, True),  # equal
        (0.46, 5.2, True),  # within two timings of one network, and two sets of images
        (0.45, 5.3, False),
        (0.5, 9.0, True),  # if the other one is less accurate when it is trained again
        (0.49, 4.9, True),  # cheaper
        (0.11, 1.0, False),  # no better than chance
    ],
)
def test_weights_matter_near_the_front(accuracy: float, cost: float, *, may: bool) -> None:
    records = [trial(0, accuracy=0.5, latency_ms=5.0), trial(1, accuracy=accuracy, latency_ms=cost)]
    assert may_reach_front(records[1], rule=RULE, among=records) is may
