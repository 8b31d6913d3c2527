"""How sure is a front, held against truths that are known because they were made up."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from archbench.analysis.front import FrontRule, nondominated
from archbench.analysis.front_probability import front_probabilities
from archbench.study.trial import TrialRecord
from tests.study import example

SEED_SD = 0.03


def rule(**changes: object) -> FrontRule:
    objectives = {"proxy_accuracy": "max", "latency_ms": "min"}
    given = {"objectives": objectives, "limits": {}, "chance": 0.1, "num_validation": 1536}
    return FrontRule(**{**given, **changes})  # type: ignore[arg-type]


def trial(
    number: int, *accuracies: float, latency_ms: float = 1.0, width: float = 0.1, **more: Any
) -> TrialRecord:
    """A trial whose seeds reached these accuracies."""
    curve = tuple(example.point(8, value, seed=seed) for seed, value in enumerate(accuracies))
    low, high = latency_ms * (1 - width), latency_ms * (1 + width)
    latency = replace(example.latency(latency_ms), low=low, high=high)
    mean = float(np.mean(accuracies))
    return example.trial(number, accuracy=mean, latency=latency, curve=curve, **more)


def made_up(rng: np.random.Generator, *, size: int) -> tuple[list[TrialRecord], np.ndarray]:
    """A study of designs with two factors, whose true accuracies are known, seen with one seed."""
    dims, depths = rng.integers(0, 6, size), rng.integers(0, 4, size)
    truth = 0.45 + 0.05 * dims + 0.04 * depths + 0.03 * rng.standard_normal(size)
    shown = truth + SEED_SD * rng.standard_normal(size)
    latency_ms = 0.5 + 0.3 * dims + 0.35 * depths + 0.3 * rng.random(size)
    columns = zip(shown.tolist(), latency_ms.tolist(), dims.tolist(), depths.tolist(), strict=True)
    trials = [
        trial(n, seen, latency_ms=ms, width=1e-6, choices={"dim": dim, "depth": depth})
        for n, (seen, ms, dim, depth) in enumerate(columns)
    ]
    return trials, truth


@pytest.fixture(scope="module")
def judged() -> list[tuple[float, bool, float, float]]:
    """Of 60 studies: what was said of each candidate, what is so, hypervolume's interval kept."""
    found = []
    for study in range(60):
        trials, truth = made_up(np.random.default_rng(study), size=30)
        said = front_probabilities(trials, rule=rule(), draws=400)
        cost = np.array([record.latency.value for record in trials if record.latency])
        really = nondominated(np.column_stack([-truth, cost]))
        box = rule().box(trials)
        members = [record.number for record in rule().front(trials)]
        assert box is not None
        assert said.hypervolume is not None
        true = box.share([(float(truth[n]), float(cost[n])) for n in members])
        inside = said.hypervolume.low <= true <= said.hypervolume.high
        bare = rule().hypervolume(trials) - true
        found += [(said.on_front[n], bool(really[n]), float(inside), bare) for n in range(30)]
    return found


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)])
def test_of_those_given_a_probability_that_share_is_on_the_front(
    judged: list[tuple[float, bool, float, float]], low: float, high: float
) -> None:
    inside = [(said, so) for said, so, _, _ in judged if low <= said < high]
    said, held = (float(np.mean(column)) for column in zip(*inside, strict=True))
    error = (said * (1 - said) / len(inside)) ** 0.5
    assert len(inside) > 50
    assert abs(held - said) < max(3 * error, 0.02)


def test_interval_of_the_hypervolume_holds_the_true_one_where_the_bare_number_is_too_high(
    judged: list[tuple[float, bool, float, float]],
) -> None:
    assert np.mean([inside for _, _, inside, _ in judged]) > 0.9
    assert np.mean([bare for _, _, _, bare in judged]) > 0.003


def test_best_of_many_is_believed_to_be_lower_than_it_looks() -> None:
    rng = np.random.default_rng(0)
    shown = 0.6 + SEED_SD * rng.standard_normal(40)  # all alike: the spread is noise
    twice = [trial(n, 0.6 + 0.03 * z, 0.6 - 0.03 * z) for n, z in enumerate(rng.standard_normal(9))]
    trials = [trial(10 + n, float(value)) for n, value in enumerate(shown)]
    best = 10 + int(np.argmax(shown))
    found = front_probabilities([*twice, *trials], rule=rule())
    assert found.accuracy[best].value < shown.max() - 0.03
    assert found.noise_degrees == 9
    assert found.noise_sd == pytest.approx(SEED_SD, rel=0.5)


def test_more_seeds_make_a_place_certain() -> None:
    close = [trial(0, 0.60, latency_ms=1.0, width=1e-3), trial(1, 0.62, latency_ms=2.0, width=1e-3)]
    rest = [trial(2 + n, 0.3 + 0.02 * n, latency_ms=3.0) for n in range(6)]
    known = [trial(9, 0.30, 0.32, 0.31, 0.33, latency_ms=3.0)]
    once = front_probabilities([*close, *rest, *known], rule=rule())
    again = [
        trial(0, *[0.60] * 6, latency_ms=1.0, width=1e-3),
        trial(1, *[0.62] * 6, latency_ms=2.0, width=1e-3),
    ]
    often = front_probabilities([*again, *rest, *known], rule=rule())
    assert 1 in once.uncertain()
    assert once.on_front[1] < often.on_front[1]
    assert often.on_front[0] > 0.99


def test_latency_over_the_limit_in_half_its_interval_keeps_it_in_half() -> None:
    held = rule(limits={"latency_ms": 1.0})
    found = front_probabilities(
        [trial(0, 0.6, latency_ms=1.0), trial(1, 0.5, latency_ms=0.5)], rule=held
    )
    assert found.meets_limits[0] == pytest.approx(0.5, abs=0.01)
    assert found.meets[1] == {"latency_ms": pytest.approx(1.0)}
    assert found.on_front[0] <= found.meets_limits[0] + 0.03
