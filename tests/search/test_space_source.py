"""Candidates of a space: published networks come first, and facts are told before building."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import TrialState

from archbench.models import ArchSpec, as_spec, count
from archbench.search.bayes.space_source import SpaceSource
from archbench.search.sampler import load_sampler
from archbench.search.suggestion import Suggester, encoded
from archbench.search.trials import running_record
from archbench.space import SearchSpace
from archbench.study.objective import costs, objective_value
from tests.search.tiny import space_text

_LEVIT = """
base: levit_128s
axes:
  stages[0].dim: [96, 128, 160]
  stages[each].depth: {from: 1, to: 4}
  stages[all].block.mlp_ratio: [1, 2, 4]
"""
_CVT_BY_LAYER = """
base: cvt_13
axes:
  stages[each].layers[each].kv_stride: [1, 2]
  stages[1].layers[each].mlp_ratio: [2, 4]
"""
_LEVIT_BY_LAYER = """
base: levit_192
axes:
  stages[0].dim: [128, 192]
  stages[0].block: [{kind: levit, key_dim: 16}, {kind: levit, key_dim: 32}]
  stages[0].layers[each].attention_ratio: [1, 2]
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param(_LEVIT, "levit_128s", id="by stage"),
        pytest.param(_CVT_BY_LAYER, "cvt_13", id="by layer"),
        pytest.param(_LEVIT_BY_LAYER, "levit_192", id="heads that follow, and by layer"),
    ],
)
def test_published_network_of_a_space_is_asked_for_first(text: str, name: str) -> None:
    suggester = _suggester(text)
    first = [suggester.suggest(number) for number in range(2)]
    one, other = (found.spec.digest for found in first if found is not None)
    assert one == as_spec(name).digest != other


def _suggester(
    text: str, *, predict: Callable[[ArchSpec], float | None] | None = None
) -> Suggester:
    return Suggester(
        SearchSpace(text, source="space.yaml", name="space"),
        sampler=load_sampler("cost_aware"),
        seed=0,
        directions=["max", "min"],
        predict=predict,
    )


_TOY = space_text(Path("images"), objectives="{accuracy: max, latency_ms: min}")


def _source(predict: Callable[[ArchSpec], float | None] | None) -> SpaceSource:
    space = SearchSpace(_TOY, source="space.yaml", name="space")
    return SpaceSource(space, seed=0, predict=predict)


def _told(spec: ArchSpec) -> float:
    return 0.1 + count(spec).macs / 1e5


def test_latency_is_a_fact_only_where_it_is_predicted() -> None:
    codes = _source(None).pool(np.zeros((0, 5)), 20, rng=np.random.default_rng(0))
    assert _source(None).facts(codes).shape == (len(codes), 3)
    facts = _source(_told).facts(codes)
    assert facts.shape == (len(codes), 4)
    exact = np.array([_source(_told).exact_facts(code) for code in codes])
    assert exact[:, 3] == pytest.approx(0.1 + exact[:, 0] / 1e5)
    assert facts[:, 3] == pytest.approx(exact[:, 3], rel=0.2)


def test_a_latency_that_cannot_be_told_is_that_of_candidates_alike() -> None:
    source = _source(lambda spec: _told(spec) if spec.stages[0].depth != 2 else None)
    codes = source.pool(np.zeros((0, 5)), 60, rng=np.random.default_rng(0))
    exact = np.array([source.exact_facts(code) for code in codes])
    likely = 0.1 + exact[:, 0] / 1e5
    is_untold = abs(exact[:, 3] - likely) > 1e-9
    assert 0.1 < is_untold.mean() < 0.5
    assert exact[:, 3] == pytest.approx(likely, rel=0.35)


def test_nothing_told_is_no_obstacle() -> None:
    source = _source(lambda spec: None)
    codes = source.pool(np.zeros((0, 5)), 5, rng=np.random.default_rng(0))
    assert np.isfinite(source.facts(codes)).all()
    assert all(np.isfinite(source.exact_facts(code)).all() for code in codes)


@pytest.mark.parametrize("predict", [None, _told])
def test_facts_on_record_are_those_that_are_counted(
    predict: Callable[[ArchSpec], float | None] | None,
) -> None:
    space, rng = SearchSpace(_TOY, source="space.yaml", name="space"), random.Random(0)
    source = SpaceSource(space, seed=0, predict=predict)
    for number in range(5):
        choices = space.sample_feasible(rng)
        assert choices is not None
        record = running_record(number, space.decode(choices), choices=space.values(choices))
        told = [objective_value(record, name) or 0.0 for name in costs("arithmetic")]
        code = source.encoding.code(encoded(space, choices).params)
        on_record = _source(predict).exact_facts(code, arithmetic=told)
        assert on_record == pytest.approx(source.exact_facts(code), rel=1e-15)


def test_what_is_on_record_is_not_counted_again() -> None:
    code = _source(None).pool(np.zeros((0, 5)), 1, rng=np.random.default_rng(0))[0]
    assert _source(None).exact_facts(code, arithmetic=[1.0, 2.0, 3.0]) == pytest.approx([1, 2, 3])
    asked: list[ArchSpec] = []

    def predict(spec: ArchSpec) -> float:
        asked.append(spec)
        return 4.0

    source = _source(predict)
    for _ in range(3):
        facts = source.exact_facts(code, arithmetic=[1.0, 2.0, 3.0])
        assert facts == pytest.approx([1, 2, 3, 4])
    assert len(asked) == 1


def _erratic(spec: ArchSpec) -> float:
    """From 1 to 10 ms, by nothing that a model could learn."""
    return 1.0 + 9.0 * int(spec.digest[:8], 16) / 16**8


def _share_within(limit_ms: float, *, predict: Callable[[ArchSpec], float | None] | None) -> float:
    """Of ten proposals behind twenty; each takes a fifth longer than is predicted."""
    suggester = _suggester(f"{_TOY}limits: {{latency_ms: {limit_ms}}}\n", predict=predict)
    taken = []
    for number in range(30):
        found = suggester.suggest(number)
        assert found is not None
        taken.append(1.2 * _erratic(found.spec))
        known = {"cost": [taken[-1]], "latency_ms": taken[-1]}
        values = [count(found.spec).params / 1e5, taken[-1]]
        suggester.tell(number, state=TrialState.COMPLETE, values=values, known=known)
    return float(np.mean(np.array(taken[20:]) <= limit_ms))


def test_predictions_keep_proposals_within_the_limit_of_latency() -> None:
    assert _share_within(4.0, predict=_erratic) >= 0.9
    assert _share_within(4.0, predict=None) <= 0.7
