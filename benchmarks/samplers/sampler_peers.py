"""The samplers that are compared, each as the rows of a table that it evaluates, in order."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import sampler_listed
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler
from sampler_table import Table, front

_START = 20  # of evolution, spread over the costs
_POPULATION = 20
_TRIES = 200

Search = Callable[[Table, int, int, np.ndarray], list[int]]


def check(name: str) -> None:
    """Ends the program where there is no such sampler."""
    if name not in {"cost_aware", *_OWN, *_OPTUNA} and not name.startswith("optuna:"):
        known = ", ".join(["cost_aware", *_OPTUNA, *_OWN])
        sys.exit(f"unknown sampler {name!r}; known: {known}, and optuna:ClassName")
    if name.startswith("optuna:") and not hasattr(optuna.samplers, name[7:]):
        sys.exit(f"optuna.samplers has no {name[7:]}")


def evaluated(
    name: str, table: Table, *, seed: int, budget: int, observed: np.ndarray
) -> list[int]:
    """The rows that a sampler evaluates, repeats included."""
    if name in _OWN:
        return _OWN[name](table, seed, budget, observed)
    if name == "cost_aware":
        return _asked(
            sampler_listed.cost_aware(table, seed), table, min(budget, len(table)), observed
        )
    return _asked(made(name, seed), table, budget, observed)


def asking_seconds(name: str, *, trials: int, repeats: int) -> list[float]:
    """How long proposals take in a study in memory with so many trials of 14 parameters."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rng = np.random.default_rng(0)
    drawn = {f"x{axis}": IntDistribution(0, 3) for axis in range(14)}

    def cost(params: dict[str, Any]) -> list[float]:
        return [1.0 + sum(params.values())]

    if name == "cost_aware":
        from archbench import CostAwareSampler

        sampler: BaseSampler = CostAwareSampler(cost=cost, seed=0)
    else:
        sampler = made(name, 0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for code in rng.integers(4, size=(trials, 14)):
        params = {key: int(value) for key, value in zip(drawn, code, strict=True)}
        accuracy = float(np.tanh(code @ np.linspace(0.02, 0.1, 14)) + rng.normal(0, 0.01))
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=drawn, values=[accuracy, cost(params)[0]]
            )
        )
    taken = []
    for repeat in range(repeats + 1):
        begin = time.perf_counter()
        trial = study.ask(drawn)
        if repeat:  # the first reads all trials
            taken.append(time.perf_counter() - begin)
        study.tell(trial, [0.5 + 0.01 * rng.normal(), cost(trial.params)[0]])
    return taken


def _asked(sampler: BaseSampler, table: Table, budget: int, observed: np.ndarray) -> list[int]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    rows = []
    for _ in range(budget):
        trial = study.ask()
        code = [
            trial.suggest_int(axis.name, 0, len(axis.values) - 1)
            if axis.is_ordered
            else axis.values.index(trial.suggest_categorical(axis.name, axis.values))
            for axis in table.axes
        ]
        row = table.nearest(np.array(code))
        study.tell(trial, [float(observed[row]), float(table.cost[row])])
        rows.append(row)
    return rows


def made(name: str, seed: int) -> BaseSampler:
    if name.startswith("optuna:"):
        return getattr(optuna.samplers, name[7:])(seed=seed)
    return _OPTUNA[name](seed)


_OPTUNA: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(multivariate=True, seed=seed),
    "tpe_default": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "nsga2": lambda seed: optuna.samplers.NSGAIISampler(population_size=_POPULATION, seed=seed),
    "nsga2_default": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed, deterministic_objective=False),
}


def _random(table: Table, seed: int, budget: int, observed: np.ndarray) -> list[int]:
    """Rows by chance, none twice."""
    return [int(row) for row in np.random.default_rng(seed).permutation(len(table))[:budget]]


def _front_mutation(table: Table, seed: int, budget: int, observed: np.ndarray) -> list[int]:
    """A start over all costs, then one or two choices of a front member changed, none twice."""
    rng = np.random.default_rng(seed)
    rows = _spread_start(table, rng)
    while len(rows) < min(budget, len(table)):
        members = front(table.axis_cost, observed, rows=rows)

        def child(members: list[int] = members) -> np.ndarray:
            parent = table.codes[members[rng.integers(len(members))]]
            return _mutated(parent, table, rng, num_changes=int(rng.integers(1, 3)))

        rows.append(_fresh(child, table, set(rows), rng))
    return rows[:budget]


def _sms_emoa(table: Table, seed: int, budget: int, observed: np.ndarray) -> list[int]:
    """Steady state: of the worst rank, who adds least hypervolume leaves; none twice.

    Source: Beume, Naujoks & Emmerich 2007 (doi:10.1016/j.ejor.2006.08.008).
    """
    rng = np.random.default_rng(seed)
    rows = _spread_start(table, rng)
    population = list(rows)
    while len(rows) < min(budget, len(table)):

        def child(population: list[int] = population) -> np.ndarray:
            first, second = table.codes[rng.choice(population, size=2)]
            mixed = np.where(rng.random(len(first)) < 0.5, first, second)
            return _mutated(mixed, table, rng, num_changes=1)

        rows.append(_fresh(child, table, set(rows), rng))
        population.append(rows[-1])
        if len(population) > _POPULATION:
            population.remove(_least(table, population, observed))
    return rows[:budget]


def _least(table: Table, population: list[int], observed: np.ndarray) -> int:
    """Of the worst rank, the member without which least hypervolume is lost."""
    left = list(population)
    while True:
        rank = front(table.axis_cost, observed, rows=left)
        rest = [row for row in left if row not in rank]
        if not rest:
            break
        left = rest
    if len(rank) < 3:
        return rank[-1]
    costs, values = table.axis_cost[rank], observed[rank]
    shares = (costs[2:] - costs[1:-1]) * (values[1:-1] - values[:-2])
    return rank[1 + int(shares.argmin())]


def _spread_start(table: Table, rng: np.random.Generator) -> list[int]:
    order = np.argsort(table.axis_cost, kind="stable")
    rows = [int(rng.choice(part)) for part in np.array_split(order, _START) if len(part)]
    rng.shuffle(rows)
    return rows


def _mutated(
    parent: np.ndarray, table: Table, rng: np.random.Generator, *, num_changes: int
) -> np.ndarray:
    code = parent.copy()
    for axis in rng.choice(len(code), size=min(num_changes, len(code)), replace=False):
        others = [i for i in range(len(table.axes[axis].values)) if i != code[axis]]
        code[axis] = rng.choice(others)
    return code


def _fresh(
    child: Callable[[], np.ndarray], table: Table, seen: set[int], rng: np.random.Generator
) -> int:
    for _ in range(_TRIES):
        row = table.nearest(child())
        if row not in seen:
            return row
    return int(rng.choice([row for row in range(len(table)) if row not in seen]))


_OWN: dict[str, Search] = {
    "random": _random,
    "front_mutation": _front_mutation,
    "sms_emoa": _sms_emoa,
}
