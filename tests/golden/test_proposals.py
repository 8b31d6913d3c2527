"""What every sampler proposes on made-up accuracies and latencies, choice by choice."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from archbench import ArchSpec, CostAwareSampler, SearchSpace, count
from archbench.search.sampler import load_sampler
from archbench.search.suggestion import Suggester
from tests.golden import kept

_SPACES = ("quickstart", "hybrid")
_SAMPLERS = ("cost_aware", "tpe", "nsga2", "gp", "random")
_COUNT, _COUNT_GP = 50, 20


def _proposed(space_name: str, sampler: str, *, is_foretold: bool = False) -> str:
    """A line a proposal: the index of the value chosen on each axis, ``-`` where none is active."""
    space = SearchSpace.load(space_name)
    names = [axis.name for axis in space.axes]
    suggester: Any = Suggester(
        space,
        sampler=load_sampler(sampler),
        seed=3,
        directions=list(space.objectives.values()),
        predict=(lambda spec: round(0.9 * _latency(spec), 6)) if is_foretold else None,
    )
    rows = ["# " + " ".join(names)]
    for number in range(_COUNT_GP if sampler == "gp" else _COUNT):
        found = suggester.suggest(number)
        rows.append(" ".join(str(found.choices.get(name, "-")) for name in names))
        # some are pruned, and some fail
        state = "PRUNED" if number % 7 == 3 else "FAIL" if number % 11 == 5 else "COMPLETE"
        accuracy, latency = _accuracy(found.choices, found.spec), _latency(found.spec)
        known = {"curve": [[0, 3, accuracy]], "cost": [latency], "latency_ms": latency}
        values = [accuracy, latency] if state == "COMPLETE" else None
        suggester.tell(number, state=TrialState[state], values=values, known=known)
    return "\n".join([*rows, ""])


def _accuracy(choices: Mapping[str, int], spec: ArchSpec) -> float:
    found, many = count(spec), _many_macs(spec)
    size = 0.2 * found.params / (found.params + many / 50) + 0.2 * found.macs / (found.macs + many)
    indices = (choices[name] for name in sorted(choices))
    parts = sum(((3 * index + place) % 5) * 0.006 for place, index in enumerate(indices))
    return round(0.2 + size + parts, 6)


def _latency(spec: ArchSpec) -> float:
    found = count(spec)
    return round(20 * found.macs / _many_macs(spec) + 1e-6 * found.activations, 6)


def _many_macs(spec: ArchSpec) -> float:
    """MACs of a network of middling size, which takes 20 ms; the limit of ``hybrid`` is 25 ms."""
    return 400e6 if spec.num_classes == 1000 else 1e6


def _in_a_plain_study(*, knows_cost: bool) -> str:
    """A line a trial: what ``CostAwareSampler`` proposes for an objective of four parameters."""
    options: dict[str, Any] = {"seed": 5}
    if knows_cost:
        options |= {"cost": lambda params: [_cost(params)], "limits": {1: 60.0}}
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=CostAwareSampler(**options)
    )
    study.optimize(_objective, n_trials=_COUNT)
    rows = [" ".join(f"{k}={v!r}" for k, v in trial.params.items()) for trial in study.trials]
    return "\n".join([*rows, ""])


def _objective(trial: optuna.Trial) -> tuple[float, float]:
    kind = trial.suggest_categorical("kind", ["conv", "attention"])
    trial.suggest_int("width", 8, 64, step=8)
    trial.suggest_int("depth", 1, 6)
    if kind == "attention":
        trial.suggest_categorical("stride", [1, 2])
    cost = _cost(trial.params)
    gain = {"conv": 0.02, "attention": 0.05}[kind] - 0.01 * trial.params.get("stride", 0)
    return round(cost / (cost + 40) + gain, 6), cost


def _cost(params: Mapping[str, Any]) -> float:
    return float(params["width"] * params["depth"] / (2 + params.get("stride", 0)))


GOLDEN: dict[str, Callable[[], str]] = {
    **{
        f"proposals_{space}_{sampler}.txt": partial(_proposed, space, sampler)
        for space in _SPACES
        for sampler in _SAMPLERS
    },
    "proposals_hybrid_cost_aware_predicted.txt": partial(
        _proposed, "hybrid", "cost_aware", is_foretold=True
    ),
    "optuna_study_known_cost.txt": partial(_in_a_plain_study, knows_cost=True),
    "optuna_study_learnt_cost.txt": partial(_in_a_plain_study, knows_cost=False),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_samplers_propose_what_they_did(name: str) -> None:
    assert GOLDEN[name]().split("\n") == kept(name)
