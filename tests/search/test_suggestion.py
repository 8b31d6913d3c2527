"""Proposals: never twice, never infeasible, and the same after an interruption."""

import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from archbench.search.sampler import SAMPLERS, load_sampler
from archbench.search.suggestion import BY_CHANCE, Suggester, Suggestion, encoded
from archbench.space import SearchSpace

_SPACE = """
resolution: 32
num_classes: 4
stages:
  - embed: {kind: conv, kernel: 4, stride: 4, padding: 0, norm: batch}
    block: {kind: levit, num_heads: 2, key_dim: 8, attention_ratio: 1, mlp_ratio: 1}
    dim: 16
    depth: 1
    position: bias
  - embed: {kind: conv, kernel: 3, stride: 2, padding: 1, norm: batch}
    block: {kind: levit, num_heads: 2, key_dim: 8, attention_ratio: 1, mlp_ratio: 1}
    dim: 32
    depth: 1
head: {pool: mean, norm: batch, num_classifiers: 1}
axes:
  stages[0].dim: [8, 12, 16, 24, 32, 36]
  stages[0].block.mlp_ratio: [1, 2, 4]
  stages[0].position: [bias, absolute, none]
  stages[1].dim: {from: 16, to: 64, step: 8}
  stages[1].block:
    - {kind: levit, key_dim: 8, num_heads: 2}
    - {kind: cvt, head_dim: 8, kv_stride: 2}
  stages[1].block.projection:
    values: [depthwise, linear]
    when: stages[1].block.kind == cvt
  stages[1].depth: {from: 1, to: 3}
require:
  - stages[0].dim <= stages[1].dim
"""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(_SPACE, source="mixed.yaml")


def _suggester(space: SearchSpace, sampler: str, *, seed: int = 1) -> Suggester:
    return Suggester(space, sampler=SAMPLERS.load(sampler), seed=seed, directions=["max", "min"])


def _values(suggestion: Suggestion) -> list[float]:
    """Made-up accuracy and cost: a smooth function of the digest-free choices."""
    wide = suggestion.spec.stages[0].dim + suggestion.spec.stages[1].dim
    deep = suggestion.spec.stages[1].depth
    return [1 - 1 / (wide + 3 * deep), float(wide * deep)]


def _told(number: int, suggestion: Suggestion) -> tuple[TrialState, list[float] | None]:
    if number % 7 == 3:
        return TrialState.PRUNED, None
    if number % 11 == 5:
        return TrialState.FAIL, None
    return TrialState.COMPLETE, _values(suggestion)


def _stored(
    number: int, drawn: FrozenTrial, state: TrialState, values: Sequence[float] | None
) -> FrozenTrial:
    trial = create_trial(
        state=state,
        values=values,
        params=drawn.params,
        distributions=drawn.distributions,
        system_attrs=drawn.system_attrs,
    )
    trial.number = number
    return trial


def _known(suggestion: Suggestion, values: Sequence[float] | None) -> dict[str, Any]:
    cost = _values(suggestion)[1]
    curve = [[0, 1, 0.4], [0, 2, values[0]]] if values else [[0, 1, 0.3]]
    return {"curve": curve, "cost": [cost], "latency_ms": cost}


def _run(
    suggester: Suggester, *, begin: int, end: int
) -> tuple[list[Suggestion], list[tuple[FrozenTrial, str, dict[str, Any]]]]:
    suggestions, stored = [], []
    for number in range(begin, end):
        suggestion = suggester.suggest(number)
        assert suggestion is not None
        state, values = _told(number, suggestion)
        known = _known(suggestion, values)
        suggester.tell(number, state=state, values=values, known=known)
        suggestions.append(suggestion)
        trial = _stored(number, suggestion.drawn, state, values)
        stored.append((trial, suggestion.spec.digest, known))
    return suggestions, stored


@pytest.mark.parametrize("sampler", SAMPLERS.names)
def test_an_interruption_changes_no_proposal(space: SearchSpace, sampler: str) -> None:
    count, stop = {"gp": (13, 12), "nsga2": (75, 53)}.get(sampler, (36, 25))
    whole, _ = _run(_suggester(space, sampler), begin=0, end=count)
    first, stored = _run(_suggester(space, sampler), begin=0, end=stop)
    resumed = _suggester(space, sampler)
    resumed.restore(stored)
    rest, _ = _run(resumed, begin=stop, end=count)
    assert [p.choices for p in first + rest] == [p.choices for p in whole]


@pytest.mark.parametrize("sampler", ["cost_aware", "tpe", "nsga2", "random"])
def test_every_proposal_is_feasible_and_new(space: SearchSpace, sampler: str) -> None:
    suggestions, _ = _run(_suggester(space, sampler), begin=0, end=60)
    assert len({suggestion.spec.digest for suggestion in suggestions}) == 60
    assert all(space.is_feasible(suggestion.choices) for suggestion in suggestions)
    assert all(p.spec.digest == space.decode(p.choices).digest for p in suggestions)


def test_what_became_known_reaches_the_sampler_also_of_a_pruned_trial(space: SearchSpace) -> None:
    suggester = _suggester(space, "random")
    _, stored = _run(suggester, begin=0, end=5)
    resumed = _suggester(space, "random")
    resumed.restore(stored)
    for known in (suggester, resumed):
        pruned = known._accepted[3]
        assert pruned.state == TrialState.PRUNED
        assert pruned.user_attrs["curve"] == [[0, 1, 0.3]]
        assert pruned.user_attrs["cost"] == [pruned.user_attrs["latency_ms"]] != [None]


def test_other_seeds_propose_otherwise(space: SearchSpace) -> None:
    one, _ = _run(_suggester(space, "random", seed=1), begin=0, end=5)
    other, _ = _run(_suggester(space, "random", seed=2), begin=0, end=5)
    assert [p.choices for p in one] != [p.choices for p in other]


@pytest.mark.parametrize("sampler", ["cost_aware", "tpe"])
def test_several_at_a_time_are_all_new(space: SearchSpace, sampler: str) -> None:
    suggester = _suggester(space, sampler)
    _run(suggester, begin=0, end=12)
    together = [suggester.suggest(number) for number in range(12, 20)]
    assert len({p.spec.digest for p in together if p}) == 8
    for number, suggestion in enumerate(together, start=12):
        assert suggestion is not None
        suggester.tell(number, state=TrialState.COMPLETE, values=_values(suggestion))


@pytest.mark.parametrize("sampler", ["cost_aware", "tpe", "nsga2", "random"])
def test_a_small_space_is_tried_to_the_last_candidate(sampler: str) -> None:
    text = _SPACE.replace("axes:", "axes:\n  stages[0].depth: [1, 2]\nunused:")
    text = text.split("unused:")[0] + "  stages[1].dim: [16, 24, 40]\n"
    small = SearchSpace(text, source="small.yaml")
    suggester = _suggester(small, sampler)
    suggestions, _ = _run(suggester, begin=0, end=small.size())
    assert len({suggestion.spec.digest for suggestion in suggestions}) == small.size() == 6
    assert suggester.suggest(6) is None
    assert suggester.has_enumerated


def test_candidate_that_nobody_proposed_is_stored_as_a_proposal_is(space: SearchSpace) -> None:
    suggestions, _ = _run(_suggester(space, "tpe"), begin=0, end=25)
    assert [encoded(space, p.choices).params for p in suggestions] == [
        p.drawn.params for p in suggestions
    ]


def test_parameters_are_values_that_a_person_reads(space: SearchSpace) -> None:
    suggestions, _ = _run(_suggester(space, "random"), begin=0, end=5)
    assert all(p.drawn.params["stages[0].dim"] == p.spec.stages[0].dim for p in suggestions)
    kinds = {p.drawn.params["stages[1].block"] for p in suggestions}
    assert all('"kind": ' in kind for kind in kinds)


def _left_to_chance(space: SearchSpace, sampler: str, *, count: int = 15) -> list[list[str]]:
    suggester = Suggester(space, sampler=load_sampler(sampler), seed=3, directions=["max", "min"])
    suggestions, _ = _run(suggester, begin=0, end=count)
    return [suggestion.drawn.system_attrs.get(BY_CHANCE, []) for suggestion in suggestions]


@pytest.mark.parametrize("verbosity", [optuna.logging.INFO, optuna.logging.ERROR])
def test_an_axis_that_a_sampler_leaves_to_chance_is_noted(
    verbosity: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("optuna"), "level", verbosity)
    left = _left_to_chance(SearchSpace.load("quickstart"), "optuna:QMCSampler")
    assert ["stages[1].block.kv_stride"] in left
    assert "sampled independently" not in "".join(capfd.readouterr())


def test_what_models_every_axis_leaves_none_to_chance(space: SearchSpace) -> None:
    assert not any(_left_to_chance(space, "cost_aware"))


def test_what_is_chosen_in_place_of_known_proposals_is_noted(space: SearchSpace) -> None:
    always_alike = SimpleNamespace(
        ATTEMPTS=1, NEIGHBOURS=0, make=lambda given: optuna.samplers.RandomSampler(seed=3)
    )
    suggester = Suggester(space, sampler=always_alike, seed=1, directions=["max", "min"])
    suggestions, _ = _run(suggester, begin=0, end=4)
    first, *others = (suggestion.drawn for suggestion in suggestions)
    assert BY_CHANCE not in first.system_attrs
    assert all(drawn.params.keys() <= set(drawn.system_attrs[BY_CHANCE]) for drawn in others)
