"""The sampler that knows the cost, as anyone may use it in a study of their own."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
import pytest

from archbench import CostAwareSampler
from archbench.analysis.front import nondominated


def _cost(params: dict[str, Any]) -> list[float]:
    return [1.0 + params["width"] * (1 + params["depth"]) + (params["kind"] == "wide")]


def _objective(trial: optuna.Trial) -> tuple[float, float]:
    width = trial.suggest_int("width", 1, 6)
    depth = trial.suggest_int("depth", 0, 4)
    kind = trial.suggest_categorical("kind", ["narrow", "wide", "none"])
    return _accuracy(width, depth, kind), _cost(trial.params)[0]


def _accuracy(width: int, depth: int, kind: str) -> float:
    return float(1 - np.exp(-0.2 * width) + 0.1 * np.sqrt(depth) + 0.05 * (kind == "wide"))


def _conditional(trial: optuna.Trial) -> tuple[float, float]:
    kind = trial.suggest_categorical("kind", ["attention", "convolution"])
    if kind == "attention":
        heads = trial.suggest_int("heads", 1, 4)
        return 0.5 + 0.1 * heads, 2.0 * heads
    kernel = trial.suggest_int("kernel", 1, 7, step=2)
    return 0.4 + 0.05 * kernel, float(kernel)


def _study(sampler: CostAwareSampler, ways: Sequence[str] = ("maximize", "minimize")) -> Any:
    return optuna.create_study(directions=list(ways), sampler=sampler)


def _asked(study: optuna.Study) -> list[tuple[Any, ...]]:
    return [tuple(sorted(trial.params.items())) for trial in study.trials]


def _searched(
    objective: Callable[[optuna.Trial], Any], trials: int, **options: Any
) -> optuna.Study:
    study = _study(CostAwareSampler(**options))
    study.optimize(objective, n_trials=trials)
    return study


def _partly_pruned(trial: optuna.Trial) -> tuple[float, float]:
    values = _objective(trial)
    if trial.number % 5 == 2:
        trial.set_user_attr("curve", [[0, 1, 0.5 * values[0]]])
        trial.set_user_attr("cost", [values[1]])
        raise optuna.TrialPruned
    trial.set_user_attr("curve", [[0, 1, 0.5 * values[0]], [0, 2, values[0]]])
    return values


def _constant(trial: optuna.Trial) -> tuple[float, float]:
    trial.suggest_int("x", 0, 60)
    return 0.5, 1.0


@pytest.mark.parametrize(
    ("objective", "trials", "cost"),
    [
        pytest.param(_objective, 40, _cost, id="known cost"),
        pytest.param(_objective, 40, None, id="learnt cost"),
        pytest.param(_partly_pruned, 40, _cost, id="pruned trials"),
        pytest.param(_constant, 30, lambda params: [1.0], id="constant values"),
    ],
)
def test_nothing_is_proposed_twice(objective: Any, trials: int, cost: Any) -> None:
    assert len(set(_asked(_searched(objective, trials, cost=cost, seed=0)))) == trials


def test_several_workers_get_different_candidates() -> None:
    study = _study(CostAwareSampler(cost=_cost, seed=0))
    study.optimize(_objective, n_trials=8)
    study.optimize(_objective, n_trials=16, n_jobs=4)
    assert len(set(_asked(study))) == 24


def test_what_is_evaluated_counts_before_it_is_told() -> None:
    study = _searched(_objective, 24, cost=_cost, seed=0)
    drawn = study.trials[0].distributions
    together = [study.ask(drawn) for _ in range(10)]
    assert len({tuple(sorted(trial.params.items())) for trial in together}) == 10
    told = {tuple(sorted(trial.params.items())) for trial in study.trials[:24]}
    assert not told & {tuple(sorted(trial.params.items())) for trial in together}


def test_the_front_is_found_within_a_few_trials() -> None:
    study = _searched(_objective, 40, cost=_cost, seed=0)
    every = [
        (*_cost({"width": w, "depth": d, "kind": k}), _accuracy(w, d, k))
        for w, d, k in itertools.product(range(1, 7), range(5), ("narrow", "wide", "none"))
    ]
    kept = nondominated(np.array([(cost, -accuracy) for cost, accuracy in every]))
    front = {round(cost, 6) for (cost, _), is_kept in zip(every, kept, strict=True) if is_kept}
    found = {round(trial.values[1], 6) for trial in study.best_trials}
    assert len(front & found) >= 0.8 * len(front)


def test_a_conditional_space_is_searched_to_its_last_candidate() -> None:
    study = _searched(_conditional, 8, seed=0)
    assert len(set(_asked(study))) >= 7  # the first trial of a kind is left to chance
    study.optimize(_conditional, n_trials=4)
    assert len(set(_asked(study))) == 8


@pytest.mark.parametrize("is_known", [True, False])
def test_three_objectives(is_known: bool) -> None:
    def costs(params: dict[str, Any]) -> list[float]:
        return [*_cost(params), 1.0 + params["depth"]]

    def objective(trial: optuna.Trial) -> tuple[float, float, float]:
        accuracy, cost = _objective(trial)
        return accuracy, cost, 1.0 + trial.params["depth"]

    sampler = CostAwareSampler(cost=costs if is_known else None, seed=0)
    study = _study(sampler, ["maximize", "minimize", "minimize"])
    study.optimize(objective, n_trials=24)
    assert len(set(_asked(study))) == 24


def test_what_is_known_to_be_over_its_limit_is_not_proposed() -> None:
    distributions = {
        "width": optuna.distributions.IntDistribution(1, 6),
        "depth": optuna.distributions.IntDistribution(0, 4),
        "kind": optuna.distributions.CategoricalDistribution(["narrow", "wide", "none"]),
    }
    study = _searched(
        _objective, 25, cost=_cost, limits={1: 12.0}, distributions=distributions, seed=0
    )
    assert max(trial.values[1] for trial in study.trials) <= 12.0


def test_real_numbers_and_errors_to_minimise() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        size = trial.suggest_float("size", 1.0, 4.0)
        return abs(np.log10(rate) + 2) + 1 / size, size

    sampler = CostAwareSampler(cost=lambda p: [p["size"]], uncertain=0, seed=0)
    study = _study(sampler, ["minimize", "minimize"])
    study.optimize(objective, n_trials=40)
    late = [abs(np.log10(trial.params["rate"]) + 2) for trial in study.trials[25:]]
    assert np.median(late) < 0.4


def test_where_all_cost_the_same_the_most_accurate_is_found() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        x, y = trial.suggest_int("x", 0, 30), trial.suggest_int("y", 0, 30)
        return -((x - 21) ** 2) - (y - 8) ** 2, 1.0

    study = _searched(objective, 30, cost=lambda params: [1.0], seed=0)
    assert max(trial.values[0] for trial in study.trials) > -5


def test_the_start_reaches_both_ends_of_the_costs() -> None:
    drawn = {f"x{axis}": optuna.distributions.IntDistribution(0, 2) for axis in range(7)}

    def cost(params: dict[str, Any]) -> list[float]:
        return [4.0 ** sum(params.values())]

    sampler = CostAwareSampler(cost=cost, distributions=drawn, num_start=14, seed=0)
    study = _study(sampler)
    for _ in range(14):
        trial = study.ask(drawn)
        study.tell(trial, [0.5, cost(trial.params)[0]])
    sizes = sorted(sum(trial.params.values()) for trial in study.trials)
    assert np.diff([0, *sizes, 14]).max() <= 2  # of 2,187, one each has the sizes 0 and 14


def test_trials_that_end_out_of_order_are_each_read_once() -> None:
    study = _searched(_objective, 12, cost=_cost, seed=0)
    drawn = study.trials[0].distributions
    first, second, third = (study.ask(drawn) for _ in range(3))
    for trial in (third, first):
        study.tell(trial, [0.9, _cost(trial.params)[0]])
        study.ask(drawn)
    study.tell(second, state=optuna.trial.TrialState.FAIL)
    for _ in range(6):
        study.ask(drawn)
    assert len(set(_asked(study))) == len(study.trials) == 23


def test_naming_it_in_the_package_imports_nothing_heavy() -> None:
    program = (
        "import sys, archbench; assert 'CostAwareSampler' in dir(archbench);"
        "assert not {'optuna', 'scipy', 'torch'} & set(sys.modules);"
        "archbench.CostAwareSampler; assert 'torch' not in sys.modules, 'torch came, too'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
