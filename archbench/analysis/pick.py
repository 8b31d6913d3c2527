"""Which one design of a study to take, for what somebody needs, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from archbench.analysis.accuracy_model import AccuracyModel, accuracy_model_of
from archbench.analysis.axis_change import AxisChange, axis_changes, dearer
from archbench.analysis.front import FrontRule
from archbench.analysis.front_probability import (
    DRAWS,
    contenders,
    cost_draws,
    limit_chances,
    near_front,
)
from archbench.analysis.retraining import FullResult
from archbench.analysis.statistics import Estimate, Floats
from archbench.analysis.study import StudyReader, as_study
from archbench.analysis.wish import Wish, check_wish, other_wishes
from archbench.command_line import command_line
from archbench.errors import NegativeResultError, UsageError
from archbench.one_thread import one_thread
from archbench.study.objective import OBJECTIVES, objective_value
from archbench.study.trial import TrialRecord

_DRAWN = 60  # candidates that are compared by draws: the best by their expected value


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A design that keeps what was asked for."""

    record: TrialRecord
    accuracy: Estimate  # corrected for noise between seeds
    keeps: float  # probability that it keeps what was asked for
    on_front: float  # probability that it belongs on the study's front
    in_full: FullResult | None  # what it reached in full training


@dataclass(frozen=True, kw_only=True)
class Trade:
    """What another limit would buy."""

    name: str  # what is limited, or ``proxy_accuracy``
    value: float
    choice: Choice | None  # who would be picked; None where nothing keeps it
    accuracy: Estimate | None = None  # its accuracy less that of the pick
    cost: float | None = None  # its cost less that of the pick, in its own unit; None where unknown


@dataclass(frozen=True, kw_only=True)
class Pick:
    """The answer."""

    wish: Wish
    cost: str  # name of the cost that is traded against accuracy
    chosen: Choice
    admitted: int  # how many designs keep what was asked for
    runner_up: Choice | None
    as_good: float | None  # how probable it is that the runner-up is as good
    more: Trade  # what a looser limit buys
    less: Trade  # what a tighter limit costs
    changes: Sequence[AxisChange]  # what single changes do from here


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A design to be trained in full."""

    record: TrialRecord
    is_pick: bool  # or was named by hand
    chance: float  # how probable it is that it is as good as a pick


@one_thread()
def pick(study: StudyReader | Path | str, wish: Wish) -> Pick:
    """The design of a study, or of that in a folder, to take, and what else could be had.

    Of the designs that were trained in full the accuracy in that training counts, among themselves:
    it decides between the most accurate by the short trainings and the others, where that is one.

    Raises:
        NegativeResultError: No design keeps what was asked for; the nearest is named.
        StorageError: There is no study, or it cannot be read.
        UsageError: The wish is none, limits what is no cost, or asks for what is not finite or for
            a precision that the study does not have.
    """
    check_wish(wish)
    study = as_study(study)
    return _Picker(study, _in_precision(study, _designs(study), wish.precision)).pick(wish)


@one_thread()
def finalists(study: StudyReader, wishes: Sequence[Wish], *, top: int) -> list[Finalist]:
    """The picks of some wishes by the short trainings alone, and runners-up, ``top`` in all.

    Of a design in int8 it is the trial that was trained, which is in floats.
    After the picks comes the ancestor of the study, where it is a candidate that keeps a wish and
    may belong on the front, then those whose order with a pick is most in doubt.

    Raises:
        NegativeResultError: No design keeps a wish.
        UsageError: There are more picks, or a wish is none.
    """
    for wish in wishes:
        check_wish(wish)
    picker, found = _Picker(study, _designs(study)), dict[int, Finalist]()
    for wish in wishes:
        for one in picker.rivals(wish):
            number = one.record.number if one.record.design is None else one.record.design
            known = found.get(number)
            if known is None or (known.is_pick, known.chance) < (one.is_pick, one.chance):
                found[number] = replace(one, record=study.trial(number))  # int8 trains nothing
    picks = sum(one.is_pick for one in found.values())
    if picks > top:
        raise UsageError(
            f"{picks} designs are picks of their own, and {top} are to be trained",
            place="--top",
            help=f"use {picks} or more, or name fewer limits",
        )
    digest = (study.header.get("ancestor") or {}).get("digest")
    near = {number for number, _ in study.others_with_a_chance()}
    near |= {record.number for record in study.front_records()}

    def order(one: Finalist) -> tuple[bool, bool, float, int]:
        number = one.record.number
        is_ancestor = one.record.digest == digest and number in near
        return not one.is_pick, not is_ancestor, -one.chance, number

    return sorted(found.values(), key=order)[:top]


def _designs(study: StudyReader) -> Sequence[TrialRecord]:
    found = contenders(study.trials(), rule=study.rule)
    if not found:
        raise NegativeResultError(
            f"no design to pick from: {study.no_front_reason()}",
            place=study.name,
            help=f"see its trials: {command_line('archbench', 'report', study.path)}",
        )
    return found


def _in_precision(
    study: StudyReader, designs: Sequence[TrialRecord], wanted: str | None
) -> Sequence[TrialRecord]:
    if wanted is None:
        return designs
    header = study.header
    known = header.get("precisions") or [header["conditions"]["precision"]]
    if wanted not in known:
        raise UsageError(
            f"the study has no designs in {wanted}",
            place="precision",
            help=f"it has {' and '.join(known)}; a space has both by target.precision: "
            "[fp32, int8]",
        )
    is_int8 = wanted == "int8"
    found = [record for record in designs if len(known) == 1 or record.is_int8 == is_int8]
    if not found:
        raise NegativeResultError(
            f"no design to pick from in {wanted}: none was trained and beats chance",
            place=study.name,
            help="leave --precision out",
        )
    return found


class _Picker:
    """Ranks designs of one study by wishes."""

    def __init__(self, study: StudyReader, designs: Sequence[TrialRecord]) -> None:
        self._study = study
        self._designs = designs
        self._rule: FrontRule = study.rule
        self._trials = study.trials()
        self._model: AccuracyModel = accuracy_model_of(self._trials)
        self._moments = self._model.moments()
        self._cost = next(n for n in self._rule.objectives if n != "proxy_accuracy")
        self._full = study.retraining

    def pick(self, wish: Wish) -> Pick:
        choices, worth = self._ranked(wish)
        if wish.is_open and (taken := self._study.recommended) is not None:
            numbers = [choice.record.number for choice in choices]
            if taken.number in numbers:
                order = sorted(range(len(choices)), key=lambda p: numbers[p] != taken.number)
                choices, worth = [choices[place] for place in order], worth[:, order]
        if not choices:
            raise self._nothing(wish)
        chosen, runner_up = choices[0], choices[1] if len(choices) > 1 else None
        as_good = float(np.mean(worth[:, 1] >= worth[:, 0])) if runner_up else None
        if runner_up and wish.is_by_accuracy and chosen.in_full and runner_up.in_full:
            assert self._full is not None, "it has their results"
            as_good = self._full.chance(runner_up.in_full, over=chosen.in_full)
        worse, better = other_wishes(wish, chosen.record, cost=self._cost)
        return Pick(
            wish=wish,
            cost=self._cost,
            chosen=chosen,
            admitted=len(self._admitted(wish)),
            runner_up=runner_up,
            as_good=as_good,
            more=self._trade(chosen, better),
            less=self._trade(chosen, worse),
            changes=axis_changes(
                chosen.record, trials=self._trials, model=self._model, cost=self._cost
            ),
        )

    def rivals(self, wish: Wish) -> list[Finalist]:
        """Who keeps a wish, by the short trainings alone, the pick first.

        Raises:
            NegativeResultError: Nobody does.
        """
        choices, worth = self._ranked(wish, follows=False)
        if not choices:
            raise self._nothing(wish)
        chances = np.mean(worth >= worth[:, :1], axis=0).tolist()
        return [
            Finalist(record=choice.record, is_pick=place == 0, chance=chances[place])
            for place, choice in enumerate(choices)
        ]

    def _ranked(self, wish: Wish, *, follows: bool = True) -> tuple[list[Choice], Floats]:
        """Who keeps a wish, best first, with draws of what they are worth by the short trainings.

        Where it ``follows`` full trainings, those who had one come in the order of these, if they
        are to be accurate and one of them is the best by the short ones.
        """
        admitted = self._admitted(wish)
        among = sorted(admitted, key=lambda kept: -self._expected(kept[0], wish))[:_DRAWN]
        if not among:
            return [], np.zeros((DRAWS, 0))
        worth = self._worth([record for record, _ in among], wish)
        order = [int(place) for place in np.argsort(-worth.mean(axis=0), kind="stable")]
        if wish.is_by_accuracy:
            places = {record.number: place for place, (record, _) in enumerate(among)}
            ranked = self._study.by_accuracy([record for record, _ in among], follows=follows)
            order = [places[record.number] for record in ranked]
        found = self._study.front_probabilities
        choices = [
            Choice(
                record=record,
                accuracy=found.accuracy[record.number],
                keeps=keeps,
                on_front=found.on_front[record.number],
                in_full=self._in_full(record),
            )
            for record, keeps in (among[place] for place in order)
        ]
        return choices, worth[:, order]

    def _admitted(self, wish: Wish) -> list[tuple[TrialRecord, float]]:
        """The designs that keep the wish as surely as asked for, with how surely."""
        among = self._designs
        if wish.is_knee:
            near = near_front(among, rule=self._rule, moments=self._moments)
            chances = self._study.front_probabilities.on_front
            likely = [record for record in near if chances.get(record.number, 0.0) >= 0.5]
            among = likely or self._study.rule.front(self._designs)
        kept = [(record, self._keeps(record, wish)) for record in among]
        return [(record, chance) for record, chance in kept if chance >= wish.sure]

    def _keeps(self, record: TrialRecord, wish: Wish) -> float:
        limits = {**self._rule.limits, **wish.limits}
        costs = limit_chances(record, rule=replace(self._rule, limits=limits))
        if set(costs) != set(limits):
            return 0.0  # a cost that has a limit and is not known
        chance = math.prod(costs.values())
        if wish.accuracy is None:
            return chance
        mean, sd = self._moments[record.number]
        if (full := self._in_full(record)) is not None:
            mean, sd = full.accuracy.value, full.accuracy.standard_error
        return chance * 0.5 * math.erfc((wish.accuracy - mean) / sd / math.sqrt(2))

    def _expected(self, record: TrialRecord, wish: Wish) -> float:
        if wish.accuracy is not None:
            return -(objective_value(record, self._cost) or math.inf)
        return self._moments[record.number][0]

    def _worth(self, records: Sequence[TrialRecord], wish: Wish) -> Floats:
        """Draws of what each is worth by the wish, more being better, (draws, records)."""
        rng = np.random.default_rng(1)
        accuracy = self._model.draw(DRAWS, of=[r.number for r in records], rng=rng)
        if wish.is_by_accuracy:
            return accuracy
        cost = np.column_stack(
            [cost_draws(record, self._cost, draws=DRAWS, rng=rng) for record in records]
        )
        if wish.accuracy is not None:
            return -cost
        return _unit(accuracy) - _unit(np.log(cost))

    def _trade(self, chosen: Choice, wish: Wish) -> Trade:
        name = "proxy_accuracy" if wish.accuracy is not None else next(iter(wish.limits))
        value = wish.accuracy if wish.accuracy is not None else wish.limits[name]
        choices, _ = self._ranked(wish)
        if not choices:
            return Trade(name=name, value=value, choice=None)
        other = choices[0]
        return Trade(
            name=name,
            value=value,
            choice=other,
            accuracy=self._gain(chosen, other),
            cost=dearer(chosen.record, other.record, cost=self._cost),
        )

    def _in_full(self, record: TrialRecord) -> FullResult | None:
        return self._full.result_of(record.number) if self._full else None

    def _gain(self, chosen: Choice, other: Choice) -> Estimate:
        """The accuracy of the other less that of the pick, in full where both were trained so."""
        if self._full and chosen.in_full and other.in_full:
            return self._full.difference(chosen.in_full, other.in_full)
        numbers = [chosen.record.number, other.record.number]
        drawn = self._model.draw(DRAWS, of=numbers, rng=np.random.default_rng(2))
        return Estimate.of_draws(drawn[:, 1] - drawn[:, 0])

    def _nothing(self, wish: Wish) -> NegativeResultError:
        nearest = max(self._designs, key=lambda r: (self._keeps(r, wish), -self._over(r, wish)))
        asked = {**wish.limits, **({"proxy_accuracy": wish.accuracy} if wish.accuracy else {})}
        within = " and ".join(OBJECTIVES[name].text(value) for name, value in wish.limits.items())
        told = [f"stays within {within or 'the limits'}"] if within or not wish.accuracy else []
        told += [f"reaches {100 * wish.accuracy:.1f} % accuracy"] if wish.accuracy else []
        has = ", ".join(
            OBJECTIVES[name].text(value)
            for name in asked
            if (value := objective_value(nearest, name)) is not None
        )
        chance = self._keeps(nearest, wish)
        return NegativeResultError(
            f"no design {' and '.join(told)} with {100 * wish.sure:.0f} % probability",
            place=self._study.name,
            help=f"the nearest is trial {nearest.number} with {has} ({100 * chance:.0f} %): "
            + (
                f"take it with --sure {max(1, math.floor(100 * chance))}, or search on"
                if chance >= 0.01
                else "ask for what it has, or search other designs"
            ),
        )

    def _over(self, record: TrialRecord, wish: Wish) -> float:
        """How far a design is from the wish, in shares of it."""
        costs = [((objective_value(record, n) or math.inf) - v) / v for n, v in wish.limits.items()]
        lacks = (wish.accuracy or 0.0) - self._moments[record.number][0]
        return max([*costs, lacks])


def _unit(values: Floats) -> Floats:
    """The values in the span of their means, so that it goes from 0 to 1."""
    means = values.mean(axis=0)
    return np.asarray((values - means.min()) / (float(np.ptp(means)) or 1.0))
