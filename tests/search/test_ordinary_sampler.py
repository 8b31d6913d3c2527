"""``CostAwareSampler`` where a study of Optuna's is not as ours are."""

import copy
import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from archbench import CostAwareSampler
from archbench.errors import UsageError

_DRAWN: dict[str, BaseDistribution] = {
    "width": IntDistribution(1, 8),
    "depth": IntDistribution(0, 5),
}


def _cost(params: Mapping[str, Any]) -> list[float]:
    return [float(params["width"] * (1 + params["depth"]))]


def _objective(trial: optuna.Trial) -> tuple[float, float]:
    width, depth = trial.suggest_int("width", 1, 8), trial.suggest_int("depth", 0, 5)
    return 1 - math.exp(-0.2 * width) + 0.1 * depth, _cost(trial.params)[0]


def _bowl(trial: optuna.Trial) -> float:
    return sum((trial.suggest_float(name, -5, 5) - 1) ** 2 for name in "abc")


def _both(sampler: CostAwareSampler, **options: Any) -> optuna.Study:
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler, **options)


def _asked(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["copy", "pickle"]
)
def test_a_copy_of_a_study_goes_on_as_the_study_would(copied: Callable[[Any], Any]) -> None:
    study = _both(CostAwareSampler(cost=_cost, seed=0))
    study.optimize(_objective, n_trials=15)
    other = copied(study)
    for each in (study, other):
        each.optimize(_objective, n_trials=6)
    assert _asked(other) == _asked(study)


def test_copies_without_a_seed_choose_otherwise() -> None:
    sampler = CostAwareSampler()
    studies = [optuna.create_study(sampler=one) for one in (sampler, copy.deepcopy(sampler))]
    for study in studies:
        study.optimize(_bowl, n_trials=1)
    assert _asked(studies[0]) != _asked(studies[1])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"uncertain": -1}, r"CostAwareSampler\(uncertain=...\): -1 .*position of an objective"),
        ({"uncertain": True}, "True .*position of an objective"),
        ({"limits": {-1: 3.0}}, "positions of objectives, from 0, to numbers"),
        ({"limits": {1: math.nan}}, "nan.*to numbers"),
        ({"limits": [3.0]}, "a mapping of positions"),
        ({"num_start": 0}, "0 .*a whole number from 1"),
        ({"num_start": 2.5}, "2.5 .*a whole number from 1"),
        ({"seed": -1}, "-1 .*a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "a whole number from 0 to 4294967295"),
        ({"cost": [1.0]}, "a function of the parameters"),
        ({"distributions": {"width": [1, 2]}}, "a mapping of names to distributions"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        CostAwareSampler(**given)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    CostAwareSampler(uncertain=np.int64(0), num_start=np.int32(5), seed=np.int64(3))


@pytest.mark.parametrize(
    ("given", "ways", "told"),
    [
        ({"uncertain": 5}, 2, r"uncertain=...\): 5 cannot be taken; give 0 or 1 in this study"),
        ({"limits": {0: 1.0}}, 2, "limits of 1 in this study: 0 is the uncertain objective"),
        ({"limits": {7: 1.0}}, 3, "limits of 1 or 2 in this study"),
        ({"limits": {0: 1.0}}, 1, "limits of nothing in this study"),
        ({"cost": _cost}, 1, "None where a study has one objective"),
        ({"cost": lambda params: [1.0, 2.0]}, 2, r"gives \[1.0, 2.0\]; .*list of one finite"),
        ({"cost": lambda params: 1.0}, 2, r"gives 1.0; let it give a list of one finite number"),
        ({"cost": lambda params: [math.nan]}, 2, r"gives \[nan\]"),
        ({"cost": lambda params: [math.inf]}, 2, r"gives \[inf\]"),
        ({"cost": lambda params: [params["x"]]}, 2, "fails with KeyError: 'x'"),
        ({"cost": lambda params: [1.0]}, 3, "list of 2 finite numbers"),
    ],
)
def test_what_does_not_suit_a_study_is_refused_before_anything_is_evaluated(
    given: dict[str, Any], ways: int, told: str
) -> None:
    ways_ = ["maximize", "minimize", "minimize"][:ways]
    sampler = CostAwareSampler(distributions=_DRAWN, **given)
    study = optuna.create_study(directions=ways_, sampler=sampler)
    evaluated: list[int] = []
    with pytest.raises(UsageError, match=told):
        study.optimize(lambda trial: evaluated.append(trial.number), n_trials=2)  # type: ignore
    assert not evaluated
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]


def test_without_distributions_a_wrong_cost_is_told_after_the_first_trial() -> None:
    study = _both(CostAwareSampler(cost=lambda params: [1.0, 2.0]))
    with pytest.raises(UsageError, match="finite number"):
        study.optimize(_objective, n_trials=5)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.FAIL]
    assert not study.trials[1].params


@pytest.mark.parametrize("way", ["minimize", "maximize"])
def test_one_objective_is_searched_better_than_by_chance(way: str) -> None:
    sign = 1.0 if way == "minimize" else -1.0
    study = optuna.create_study(direction=way, sampler=CostAwareSampler(seed=0))
    study.optimize(lambda trial: sign * _bowl(trial), n_trials=30)
    assert abs(study.best_value) < 0.1


def test_of_objectives_that_are_all_minimised_the_first_is_uncertain() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        accuracy, cost = _objective(trial)
        return -accuracy, cost

    def asked(**given: Any) -> list[dict[str, Any]]:
        sampler = CostAwareSampler(cost=_cost, seed=0, **given)
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        study.optimize(objective, n_trials=20)
        return _asked(study)

    assert asked() == asked(uncertain=0)


def test_a_limit_of_what_is_maximised_is_its_least_value() -> None:
    sampler = CostAwareSampler(
        cost=lambda params: [params["width"]], distributions=_DRAWN, limits={1: 5}, seed=0
    )
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=sampler)
    study.optimize(lambda trial: (_objective(trial)[0], trial.params["width"]), n_trials=12)
    assert min(trial.values[1] for trial in study.trials) == 5


@pytest.mark.parametrize("strange", [math.inf, -math.inf, 1e300])
def test_values_without_bound_do_not_end_a_study(strange: float) -> None:
    def objective(trial: optuna.Trial) -> float:
        value = _bowl(trial)
        return strange if trial.number % 5 == 1 else value

    study = optuna.create_study(sampler=CostAwareSampler(seed=0))
    study.optimize(objective, n_trials=40)
    assert min(trial.values[0] for trial in study.trials if trial.number % 5 != 1) < 1.0


def _within(trial: optuna.Trial, share: float = 0.05) -> float:
    """A sum to be large, over a triangle that is the given share of a square."""
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    trial.set_constraint("sum", x + y - math.sqrt(2 * share))
    return x + 2 * y


def _meets(trial: optuna.trial.FrozenTrial) -> bool:
    return all(value <= 0 for value in trial.constraints.values())


def test_the_best_that_meets_a_constraint_is_found() -> None:
    study = optuna.create_study(direction="maximize", sampler=CostAwareSampler(seed=0))
    study.optimize(_within, n_trials=40)
    assert study.best_value > 0.9 * 2 * math.sqrt(0.1)
    assert sum(map(_meets, study.trials[20:])) >= 10


def test_what_meets_a_rare_constraint_is_looked_for_first() -> None:
    study = optuna.create_study(direction="maximize", sampler=CostAwareSampler(seed=1))
    study.optimize(lambda trial: _within(trial, 0.001), n_trials=30)
    assert sum(map(_meets, study.trials)) >= 5  # by chance, one in a thousand


@pytest.mark.parametrize("cost", [None, _cost], ids=["learnt cost", "known cost"])
def test_a_front_meets_its_constraints(cost: Any) -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        values = _objective(trial)
        trial.set_constraint("wide", 4 - trial.params["width"])
        trial.set_constraint("flat", trial.params["depth"] - 2)
        return values

    study = _both(CostAwareSampler(cost=cost, seed=0))
    study.optimize(objective, n_trials=30)
    assert sum(map(_meets, study.trials)) >= 12  # of the 15 in 48 there are
    assert all(map(_meets, study.best_trials))


def test_a_constraint_of_which_only_the_sign_is_told_is_met() -> None:
    def objective(trial: optuna.Trial) -> float:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        trial.set_constraint("fits", -1.0 if x + y < 0.6 else math.inf)
        return x + y

    study = optuna.create_study(direction="maximize", sampler=CostAwareSampler(seed=0))
    study.optimize(objective, n_trials=40)
    assert study.best_value > 0.58


def test_a_constraint_that_some_trials_lack_is_asked_of_those_that_have_it() -> None:
    def objective(trial: optuna.Trial) -> float:
        value = _within(trial) if trial.number % 4 else trial.suggest_float("x", 0, 1)
        if trial.number % 4 == 2:
            raise optuna.TrialPruned
        return value

    study = optuna.create_study(direction="maximize", sampler=CostAwareSampler(seed=0))
    study.optimize(objective, n_trials=30)
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) >= 22


def test_the_cost_is_told_parameters_that_have_no_choice() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        width, depth = trial.suggest_int("width", 1, 30), trial.suggest_int("depth", 3, 3)
        return float(width), _cost({"width": width, "depth": depth})[0]

    drawn = {"width": IntDistribution(1, 30), "depth": IntDistribution(3, 3)}
    study = _both(CostAwareSampler(cost=_cost, distributions=drawn, seed=0))
    study.optimize(objective, n_trials=12)
    assert len({trial.params["width"] for trial in study.trials}) == 12


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_parameter_may_be_fixed_from_outside() -> None:
    study = _both(CostAwareSampler(cost=_cost, seed=0))
    study.optimize(_objective, n_trials=5)
    study.sampler = optuna.samplers.PartialFixedSampler({"depth": 2}, study.sampler)
    study.optimize(_objective, n_trials=8)
    assert {trial.params["depth"] for trial in study.trials[5:]} == {2}
    assert len({trial.params["width"] for trial in study.trials}) == 8


def test_trials_that_have_not_asked_for_everything_yet_do_no_harm() -> None:
    study = _both(CostAwareSampler(cost=_cost, seed=0))
    half, failed = study.ask(), study.ask()
    half.suggest_int("width", 1, 8)
    failed.suggest_int("depth", 0, 5)
    study.tell(failed, state=TrialState.FAIL)
    study.optimize(_objective, n_trials=12)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials[2:])


def test_a_parameter_that_the_cost_misses_is_asked_for_first() -> None:
    def cost(params: Mapping[str, Any]) -> list[float]:
        return [params["heads"] if params["kind"] == "attention" else params["kernel"]]

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        if trial.suggest_categorical("kind", ["attention", "convolution"]) == "attention":
            trial.suggest_int("heads", 1, 4)
        else:
            trial.suggest_int("kernel", 1, 7, step=2)
        return 0.5, cost(trial.params)[0]

    study = _both(CostAwareSampler(cost=cost, seed=0))
    study.optimize(objective, n_trials=8)
    assert {trial.params["kind"] for trial in study.trials[:2]} == {"attention", "convolution"}
    assert len({tuple(trial.params.values()) for trial in study.trials}) >= 7


def test_a_cost_that_fails_for_some_values_is_told_after_one_trial_of_them() -> None:
    def cost(params: Mapping[str, Any]) -> list[float]:
        return [{"narrow": 1.0, "wide": 2.0}[params["kind"]]]

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        kind = trial.suggest_categorical("kind", ["narrow", "wide", "none"])
        return 0.5, float(len(kind))

    study = _both(CostAwareSampler(cost=cost, seed=0))
    with pytest.raises(UsageError, match="'kind': 'none'} it fails with KeyError: 'none'"):
        study.optimize(objective, n_trials=9)
    assert [trial.params.get("kind") for trial in study.trials].count("none") == 1
    assert not study.trials[-1].params


def test_choices_are_told_apart_however_near_and_of_whatever_kind() -> None:
    choices = (1e-12, 1e-10, 1, True, None, "1", math.inf, math.nan)

    def objective(trial: optuna.Trial) -> float:
        return float(repr(trial.suggest_categorical("x", choices)) == "1e-10")

    study = optuna.create_study(direction="maximize", sampler=CostAwareSampler(seed=0))
    study.optimize(objective, n_trials=8)
    asked = {repr(trial.params["x"]) for trial in study.trials}
    assert asked >= {"1e-12", "1e-10", "None", "'1'", "inf", "nan"}  # to Optuna, True is 1


@pytest.mark.parametrize(
    "drawn",
    [FloatDistribution(-10.2, -9.3, step=0.1), FloatDistribution(0, 9e-11, step=1e-11)],
    ids=["no binary fraction", "tiny"],
)
def test_every_level_of_a_grid_is_asked_once(drawn: FloatDistribution) -> None:
    study = optuna.create_study(sampler=CostAwareSampler(distributions={"x": drawn}, seed=0))
    for _ in range(10):
        trial = study.ask({"x": drawn})
        study.tell(trial, trial.params["x"])
    assert len({trial.params["x"] for trial in study.trials}) == 10


def test_a_fine_grid_repeats_nothing() -> None:
    drawn = {"x": IntDistribution(0, 5000), "y": IntDistribution(1, 10**6, log=True)}

    def objective(trial: optuna.Trial) -> float:
        x, y = trial.suggest_int("x", 0, 5000), trial.suggest_int("y", 1, 10**6, log=True)
        return (x - 2500) ** 2 / 1e4 + math.log(y) ** 2

    study = optuna.create_study(sampler=CostAwareSampler(distributions=drawn, seed=0))
    study.optimize(objective, n_trials=40)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 40
    assert study.best_value < 1.0


def test_the_start_is_even_over_a_logarithm() -> None:
    drawn = {"x": IntDistribution(1, 4000, log=True)}
    sampler = CostAwareSampler(distributions=drawn, num_start=40, seed=0)
    study = optuna.create_study(sampler=sampler)
    small = 0
    for _ in range(40):
        trial = study.ask(drawn)
        small += trial.params["x"] <= 63
        study.tell(trial, 0.0)
    assert small >= 3  # evenly over the numbers there would be none


def test_values_that_can_no_longer_be_asked_for_tell_nothing() -> None:
    study = optuna.create_study(sampler=CostAwareSampler(seed=0))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 10), n_trials=10)
    study.optimize(lambda trial: abs(trial.suggest_float("x", 20, 30) - 27), n_trials=20)
    assert min(abs(trial.params["x"] - 27) for trial in study.trials[10:]) < 0.2


def test_a_trial_that_ends_late_brings_no_old_range_back() -> None:
    study = optuna.create_study(sampler=CostAwareSampler(seed=0))
    late = study.ask()
    late.suggest_float("x", 0, 10)
    study.optimize(lambda trial: trial.suggest_float("x", 20, 30), n_trials=6)
    assert study.ask().relative_params["x"] >= 20
    study.tell(late, 0.0)
    assert study.ask().relative_params["x"] >= 20


def test_where_none_is_left_those_within_the_limits_are_asked_again() -> None:
    sampler = CostAwareSampler(cost=_cost, distributions=_DRAWN, limits={1: 3.0}, seed=0)
    study = _both(sampler)
    study.optimize(_objective, n_trials=20)
    assert max(trial.values[1] for trial in study.trials) <= 3.0
    assert len({tuple(trial.params.values()) for trial in study.trials[:5]}) == 5


def test_what_is_enqueued_counts_as_what_it_is() -> None:
    study = _both(CostAwareSampler(cost=_cost, distributions=_DRAWN, seed=0))
    for depth in range(6):
        study.enqueue_trial({"depth": depth})
    running = [study.ask(_DRAWN) for _ in range(48)]
    assert [trial.params["depth"] for trial in running[:6]] == list(range(6))
    assert len({tuple(trial.params.values()) for trial in running[6:]}) == 42
    assert len({tuple(sorted(trial.params.items())) for trial in running}) >= 47


def test_a_pruner_with_brackets_hides_no_trial() -> None:
    def objective(trial: optuna.Trial) -> float:
        value = _bowl(trial)
        for step in range(9):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    pruner = optuna.pruners.HyperbandPruner(max_resource=9)
    study = optuna.create_study(sampler=CostAwareSampler(seed=0), pruner=pruner)
    study.optimize(objective, n_trials=25)
    assert len(study.trials) == 25
    assert study.best_value < 2.0


def test_two_processes_share_a_study_without_repeating_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    one = _both(CostAwareSampler(cost=_cost, seed=0), storage=url, study_name="shared")
    two = optuna.load_study(
        study_name="shared", storage=url, sampler=CostAwareSampler(cost=_cost, seed=0)
    )
    one.optimize(_objective, n_trials=4)
    running = [each.ask(_DRAWN) for _ in range(8) for each in (one, two)]
    assert len({tuple(sorted(trial.params.items())) for trial in running}) == 16


def test_studies_of_one_name_are_not_taken_for_each_other() -> None:
    sampler = CostAwareSampler(seed=0)
    for target in (-3.0, 3.0):
        study = optuna.create_study(study_name="same", sampler=sampler)
        study.optimize(lambda t, at=target: (t.suggest_float("x", -5, 5) - at) ** 2, n_trials=20)
        assert study.best_value < 0.05


def test_threads_from_the_first_trial_on() -> None:
    study = _both(CostAwareSampler(cost=_cost, seed=0))
    study.optimize(_objective, n_trials=24, n_jobs=4)
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)
