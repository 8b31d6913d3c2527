"""The systems that are compared, each as a search that goes on until its budget is spent.

Peers are used as their documentation says, one trial after another, and are given the cost as its
logarithm, in which the hypervolume is taken. What their libraries need for scheduling (processes,
files) is left out, which favours them.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import optuna
import sampler_peers
from search_peers_run import MOST_TRIALS, Run, Spent

from archbench.analysis.front import FrontRule
from archbench.search.bayes.parameter import options, suggest
from archbench.search.pruning import PRUNERS, Pruner
from archbench.search.sampler import load_sampler
from archbench.search.suggestion import Suggester, Suggestion
from archbench.space import Choices, InfeasibleError, SearchSpace
from archbench.study.measurement import Conditions, Measurement
from archbench.study.objective import objective_value
from archbench.study.trial import CurvePoint, TrialRecord

Search = Callable[[Run, SearchSpace, int], None]

_NUM_VALIDATION = 1536
_OURS = "archbench"


def system(name: str) -> Search:
    """The search of a name; ends the program where there is none.

    ``archbench:SAMPLER:PRUNER`` is archbench with other parts than it ships with.
    """
    if name.split(":")[0] == _OURS:
        sampler, pruner = (*name.split(":")[1:], "", "")[:2]
        return lambda run, space, seed: archbench(run, space, seed, sampler=sampler, pruner=pruner)
    if name not in _PEERS:
        sys.exit(f"unknown system {name!r}; known: archbench[:SAMPLER:PRUNER], {', '.join(_PEERS)}")
    return _PEERS[name]


def search(name: str, run: Run, *, space: SearchSpace, seed: int) -> Run:
    """The run of a system, when its budget is spent or nothing is left."""
    found = system(name)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings(), contextlib.suppress(Spent):
        warnings.simplefilter("ignore")
        found(run, space, seed)
    return run


def archbench(run: Run, space: SearchSpace, seed: int, *, sampler: str, pruner: str) -> None:
    """The suggestions and verdicts of ``archbench search`` with one worker."""
    suggester = Suggester(
        space,
        sampler=load_sampler(sampler or space.search.sampler),
        seed=seed,
        directions=list(space.objectives.values()),
    )
    rule = FrontRule(
        objectives=space.objectives,
        limits=space.limits,
        chance=1 / space.base["num_classes"],
        num_validation=_NUM_VALIDATION,
    )
    judge = Pruner(
        entry=PRUNERS.load(pruner or space.search.pruner),
        rule=rule,
        rungs=tuple(range(1, run.trainings.num_epochs + 1)),
        num_seeds=1,
        audit=space.search.audit,
        seed=seed,
    )
    records: list[TrialRecord] = []
    run.begin()
    for number in itertools.count():
        suggestion = suggester.suggest(number)
        if suggestion is None:
            return
        record = _trained(run, suggestion, pruner=judge, among=records)
        if record.state == "complete" and record.proxy_accuracy is not None:
            run.note(suggestion.choices, record.proxy_accuracy)
        records.append(record)
        values = [objective_value(record, name) for name in space.objectives]
        suggester.tell(
            number,
            state=_TOLD_AS[record.state],
            values=[v for v in values if v is not None] if record.state == "complete" else None,
            known={
                "curve": [[point.seed, point.epoch, point.accuracy] for point in record.curve],
                "cost": [value for value in values if value is not None][-1:],
                "latency_ms": objective_value(record, "latency_ms"),
            },
        )


_TOLD_AS = {
    "complete": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
}


def _trained(
    run: Run, suggestion: Suggestion, *, pruner: Pruner, among: list[TrialRecord]
) -> TrialRecord:
    """The trial as it ends: complete, or stopped at a rung."""
    from archbench.models.network import count

    counted = count(suggestion.spec)
    cost = run.cost(suggestion.choices)
    record = TrialRecord(
        number=len(among),
        state="running",
        digest=suggestion.spec.digest,
        choices={},
        spec={},
        params=counted.params,
        macs=counted.macs,
        activations=counted.activations,
        latency=_exactly(cost) if "latency_ms" in pruner.rule.objectives else None,
    )
    for epoch, accuracy in run.epochs(suggestion.choices):
        point = CurvePoint(seed=0, epoch=epoch, step=epoch, loss=0, accuracy=accuracy, seconds=0)
        record = replace(record, curve=(*record.curve, point))
        if epoch == pruner.rungs[-1]:
            return replace(record, state="complete", proxy_accuracy=accuracy)
        if not pruner.asks:
            continue
        verdict = pruner.verdict(record, seed=0, epoch=epoch, among=among)
        record = replace(record, verdicts=(*record.verdicts, verdict))
        if verdict.stops and not verdict.is_audited:
            return replace(record, state="pruned", reason=verdict.reason)
    raise AssertionError("a training ends with its last rung")


def _exactly(latency_ms: float) -> Measurement:
    """A latency of a table, which comes without an interval."""
    return Measurement(
        metric="latency",
        unit="ms",
        samples=(latency_ms,),
        value=latency_ms,
        low=latency_ms,
        high=latency_ms,
        conditions=Conditions(),
        environment_id="",
        verdict="stable",
    )


def _optuna(name: str, *, keeps: bool = False) -> Search:
    """A study of Optuna's, optimised: two objectives, so nothing can be stopped early."""

    def run_study(run: Run, space: SearchSpace, seed: int) -> None:
        run.keeps = keeps
        study = optuna.create_study(
            directions=["maximize", "minimize"], sampler=sampler_peers.made(name, seed)
        )

        def objective(trial: optuna.Trial) -> tuple[float, float]:
            choices = space.choose(lambda axis: suggest(trial, axis))
            try:
                space.decode(choices)
            except InfeasibleError as error:
                raise optuna.TrialPruned from error
            cost = run.cost(choices)
            return run.train(choices), math.log(cost)

        run.begin()
        study.optimize(objective, n_trials=MOST_TRIALS)

    return run_study


def _syne_tune(run: Run, space: SearchSpace, seed: int) -> None:
    """Syne Tune's MO-ASHA: random proposals, stopped at rungs by a non-dominated sort."""
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import choice
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    np.random.seed(seed)  # its spaces and brackets draw from here
    scheduler = MOASHA(
        {axis.name: choice(list(range(len(axis.values)))) for axis in space.axes},
        metrics=["error", "cost"],
        time_attr="epoch",
        max_t=run.trainings.num_epochs,
        random_seed=seed,
    )
    run.begin()
    for number in range(MOST_TRIALS):
        suggestion = scheduler.suggest()
        choices = _chosen(space, suggestion.config)
        trial = Trial(trial_id=number, config=suggestion.config, creation_time=datetime.now())
        scheduler.on_trial_add(trial)
        cost = math.log(run.cost(choices))
        for epoch, accuracy in run.epochs(choices):
            run.note(choices, accuracy)
            result = {"epoch": epoch, "error": 1 - accuracy, "cost": cost}
            if epoch == run.trainings.num_epochs:
                scheduler.on_trial_complete(trial, result)
            elif scheduler.on_trial_result(trial, result) == SchedulerDecision.STOP:
                scheduler.on_trial_remove(trial)
                break


def _neps(algorithm: str, *, given: Mapping[str, Any], has_rungs: bool) -> Search:
    """An algorithm of NePS, asked and told; a promoted trial goes on where it stood."""

    def ask_and_tell(run: Run, space: SearchSpace, seed: int) -> None:
        import neps
        import torch

        np.random.seed(seed)
        torch.manual_seed(seed)
        names = {f"x{place}": axis for place, axis in enumerate(space.axes)}
        parameters: dict[str, Any] = {
            key: neps.HPOInteger(0, len(axis.values) - 1)
            if all(isinstance(value, (int, float)) for value in options(axis))
            else neps.HPOCategorical(list(range(len(axis.values))))
            for key, axis in names.items()
        }
        last = run.trainings.num_epochs
        if has_rungs:
            parameters["epoch"] = neps.HPOInteger(1, last, is_fidelity=True)
        optimizer = getattr(neps.algorithms, algorithm)(neps.SearchSpace(parameters), **given)
        asked = neps.AskAndTell(optimizer)
        reached: dict[str, int] = {}
        run.begin()
        for _ in range(MOST_TRIALS):
            trial = asked.ask()
            choices = _chosen(space, {names[key].name: trial.config[key] for key in names})
            goal = int(trial.config["epoch"]) if has_rungs else last
            start = reached.get(trial.metadata.previous_trial_id or "", 0)
            cost = math.log(run.cost(choices))
            accuracies = dict(itertools.islice(run.epochs(choices, start=start), goal - start))
            run.note(choices, accuracies[goal])
            reached[trial.id] = goal
            asked.tell(trial, {"objective_to_minimize": [1 - accuracies[goal], cost]})

    return ask_and_tell


def _chosen(space: SearchSpace, config: Mapping[str, Any]) -> Choices:
    return space.choose(lambda axis: int(config[axis.name]))


_PEERS: dict[str, Search] = {
    "optuna_tpe": _optuna("tpe"),
    "optuna_tpe_cached": _optuna("tpe", keeps=True),
    "optuna_nsga2": _optuna("nsga2"),
    "optuna_nsga2_cached": _optuna("nsga2", keeps=True),
    "optuna_gp": _optuna("gp"),
    "syne_moasha": _syne_tune,
    "neps_bo": _neps("bayesian_optimization", given={}, has_rungs=False),
    "neps_primo": _neps("primo", given={"prior_centers": {}}, has_rungs=True),
    "neps_moasha": _neps("moasha", given={}, has_rungs=True),
}
