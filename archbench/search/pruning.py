"""May a trial be trained on: a rule's opinion, what chance forbids, and the audit of the rule."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import optuna

from archbench.analysis.front import FrontRule
from archbench.analysis.pruning import stop_of
from archbench.errors import UsageError
from archbench.registry import OBJECT, OUTSIDE, Registry, refuse_object
from archbench.study.objective import OBJECTIVES, objective_value
from archbench.study.trial import RungVerdict, TrialRecord, trained_accuracies

PRUNERS = Registry(
    "archbench.search.pruners", "pruner", "archbench.pruners", needs=("ASKS", "judge")
)


def named_pruner(pruner: object, *, place: str) -> tuple[Any, Any]:
    """The name of a pruner that is given, and the pruner itself where no name can make it again.

    Whatever is no pruner is handed on.

    Raises:
        UsageError: It is one of Optuna's, which do not judge fronts.
    """
    if isinstance(pruner, optuna.pruners.BasePruner):
        raise UsageError(
            f"{type(pruner).__name__} judges one objective by one number, and a front has several",
            place=place,
            help=f"use {', '.join(PRUNERS.names)}, or an object with ASKS and judge(situation)",
        )
    if isinstance(pruner, str) or not all(hasattr(pruner, need) for need in PRUNERS.needs):
        return pruner, None
    if isinstance(pruner, ModuleType):
        return f"{OUTSIDE}{pruner.__name__}", None
    return f"{OBJECT}{type(pruner).__name__}", pruner


def load_pruner(name: str, *, place: str | None = None) -> Any:
    """The rule of a name.

    Raises:
        UsageError: There is none.
    """
    refuse_object(name, noun="pruner", place=place)
    return PRUNERS.load(name, place=place)


@dataclass(frozen=True, kw_only=True)
class Course:
    """How far a trial has come."""

    costs: tuple[float, ...]  # its objectives but the accuracy; less is better
    curve: Mapping[tuple[int, int], float] = field(default_factory=dict)  # by seed and epoch
    accuracy: float | None = None  # None where it may not stand on the front


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A trial at a rung, and what is known of all others."""

    trial: Course  # measured costs at the lower end: no noise of timing tells against it
    seed: int  # which of its trainings has come to a rung, from 0; earlier ones are whole
    epoch: int  # epochs of it trained by then
    others: Sequence[Course]  # every other trial that was trained at all
    rungs: tuple[int, ...]  # epochs, rising; the last is the end of a training
    num_seeds: int
    bar: float  # the accuracy that counts as better than chance


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """Gives verdicts: the same for the same trials, whenever it is asked."""

    entry: Any  # a file of ``archbench/search/pruners``, or what stands for one
    rule: FrontRule
    rungs: tuple[int, ...]
    num_seeds: int
    audit: float  # share of the trials that is trained to the end whatever the verdict, 0 to 1
    seed: int  # of the study; with a trial's number it decides if that is audited

    @property
    def asks(self) -> bool:
        """Whether there is anything to ask: a rule that may stop, and a rung before the last."""
        return bool(self.entry.ASKS) and len(self.rungs) * self.num_seeds > 1

    def verdict(
        self, trial: TrialRecord, *, seed: int, epoch: int, among: Sequence[TrialRecord]
    ) -> RungVerdict:
        """The verdict on a trial of which a training has come to a rung, among all of the study."""
        if stop_of(trial):
            return RungVerdict(seed=seed, epoch=epoch, stops=False, reason="audited")
        situation = self.situation(trial, seed=seed, epoch=epoch, among=among)
        here = (seed, epoch)
        there = [c.curve[here] for c in (*situation.others, situation.trial) if here in c.curve]
        if statistics.median(there) <= situation.bar:  # three standard errors above chance
            told = "nothing is stopped here: half of the trials are no better than chance"
            return RungVerdict(seed=seed, epoch=epoch, stops=False, reason=told)
        verdict: RungVerdict = self.entry.judge(situation)
        return replace(verdict, is_audited=verdict.stops and self.is_audited(trial.number))

    def is_audited(self, number: int) -> bool:
        """Whether a trial is trained to the end whatever the verdict."""
        return random.Random(f"audit {self.seed} {number}").random() < self.audit

    def situation(
        self, trial: TrialRecord, *, seed: int, epoch: int, among: Sequence[TrialRecord]
    ) -> Situation:
        """What a rule judges by."""
        others = [self._course(r) for r in among if r.number != trial.number and r.curve]
        return Situation(
            trial=self._course(trial, at_best=True),
            seed=seed,
            epoch=epoch,
            others=others,
            rungs=self.rungs,
            num_seeds=self.num_seeds,
            bar=self.rule.bar,
        )

    def _course(self, record: TrialRecord, *, at_best: bool = False) -> Course:
        costs = []
        for name in self.rule.objectives:
            if name == "proxy_accuracy":
                continue
            value = objective_value(record, name)
            interval = OBJECTIVES[name].interval(record)
            assert value is not None, "costs are known before anything is trained"
            is_cost = OBJECTIVES[name].direction == "min"
            if at_best and interval is not None:
                value = (interval[0] if is_cost else interval[1]) or value
            costs.append(value if is_cost else -value)
        reached = statistics.fmean(trained_accuracies(record).values())  # as curves have it
        return Course(
            costs=tuple(costs),
            curve={(point.seed, point.epoch): point.accuracy for point in record.curve},
            accuracy=reached if self.rule.is_eligible(record) else None,
        )
