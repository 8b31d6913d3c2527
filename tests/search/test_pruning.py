"""The rules for stopping early on curves whose ends are known, what chance forbids, the audit."""

import random
from dataclasses import replace

import pytest

from archbench.search.pruners import curve, promotion
from archbench.search.pruning import PRUNERS, Course, Pruner, Situation
from archbench.study.trial import RungVerdict, TrialRecord
from tests.study import example

_RUNGS = (2, 4, 8)


def _course(end: float, *, cost: float, known: int = 3, seeds: int = 1) -> Course:
    """A course whose accuracy at 2 and 4 epochs is half and nine tenths of its end."""
    shares = dict(zip(_RUNGS, (0.5, 0.9, 1.0), strict=True))
    points = {
        (seed, rung): end * shares[rung]
        for seed in range(seeds)
        for rung in _RUNGS[: known if seed == seeds - 1 else 3]
    }
    return Course(costs=(cost,), curve=points, accuracy=end if known == 3 else None)


def _study(count: int = 30) -> list[Course]:
    """Trials of 40 to 80 %, each as good as its cost allows or up to 20 % worse."""
    rng = random.Random(0)
    costs = [1 + 9 * index / (count - 1) for index in range(count)]
    return [_course(0.4 + 0.04 * cost - rng.uniform(0, 0.2), cost=cost) for cost in costs]


def _situation(trial: Course, *, others: list[Course], num_seeds: int = 1) -> Situation:
    seed, epoch = max(trial.curve)
    return Situation(
        trial=trial,
        seed=seed,
        epoch=epoch,
        others=others,
        rungs=_RUNGS,
        num_seeds=num_seeds,
        bar=0.13,
    )


def _among_others(end: float, *, cost: float, known: int = 2, num_seeds: int = 1) -> Situation:
    return _situation(_course(end, cost=cost, known=known), others=_study(), num_seeds=num_seeds)


@pytest.mark.parametrize(("end", "stops"), [(0.3, True), (0.9, False)])
@pytest.mark.parametrize("known", [1, 2])
def test_curve_stops_what_can_no_longer_reach_the_front(
    end: float, known: int, *, stops: bool
) -> None:
    opinion = curve.judge(_among_others(end, cost=9.0, known=known))
    assert opinion.stops is stops
    assert opinion.probability is not None
    assert (opinion.probability < curve.HARDLY) is stops
    assert opinion.reason.startswith("would end at ")
    assert "% is reached at no greater cost" in opinion.reason


def test_curve_spares_a_weak_trial_that_is_cheaper_than_all_others() -> None:
    assert not curve.judge(_among_others(0.3, cost=0.5)).stops


def test_curve_stops_nothing_while_it_knows_no_curve() -> None:
    known = Course(costs=(1.0,), accuracy=0.8)
    opinion = curve.judge(_situation(_course(0.6, cost=9.0, known=2), others=[known]))
    assert not opinion.stops
    assert opinion.probability == pytest.approx(0.36, abs=0.15)


def test_curve_stops_nothing_by_rungs_that_tell_little_of_the_end() -> None:
    rng = random.Random(0)
    study = []
    for course in _study(60):
        points = {**course.curve, (0, 2): rng.uniform(0.1, 0.4)}
        study.append(replace(course, curve=points))
    trial = Course(costs=(9.0,), curve={(0, 2): 0.1})
    opinion = curve.judge(_situation(trial, others=study), hardly=0.2)
    assert opinion.probability is not None
    assert opinion.probability < 0.2
    assert not opinion.stops
    assert "goes on, as these rungs explain" in opinion.reason


def test_curve_is_surer_after_each_rung() -> None:
    scales = [
        curve.forecast_of(_among_others(0.5, cost=5.0, known=known))[0].scale for known in (1, 2, 3)
    ]
    assert scales[0] >= scales[1] > scales[2] == 0.0


def test_curve_is_less_sure_of_seeds_that_are_not_trained_yet() -> None:
    one, three = (
        curve.forecast_of(_among_others(0.5, cost=5.0, num_seeds=seeds))[0] for seeds in (1, 3)
    )
    assert three.scale > one.scale
    assert three.mean == one.mean


def test_curve_counts_the_seeds_that_are_whole() -> None:
    trial = _course(0.5, cost=5.0, known=3, seeds=2)
    forecast, _ = curve.forecast_of(_situation(trial, others=_study(), num_seeds=2))
    assert (forecast.mean, forecast.scale) == (pytest.approx(0.5), 0.0)


def test_promotion_lets_front_after_front_go_on_each_spread_out_first() -> None:
    points = [(0.5, 1.0), (0.4, 1.0), (0.9, 10.0), (0.7, 3.0), (0.8, 9.0), (0.69, 2.9)]
    assert promotion.order(points) == [2, 0, 3, 4, 5, 1]


def test_promotion_stops_the_worse_half_from_4_epochs_to_8() -> None:
    others = [_course(end, cost=5.0, known=2) for end in (0.5, 0.6, 0.7, 0.8)]
    for end, stops in ((0.45, True), (0.65, False), (0.9, False)):
        opinion = promotion.judge(_situation(_course(end, cost=5.0, known=2), others=others))
        assert opinion.stops is stops
        assert opinion.reason.endswith("of which 3 go on")


def test_promotion_shares_follow_from_the_rungs() -> None:
    def share(seed: int, epoch: int) -> float:
        situation = _situation(_course(0.5, cost=1.0), others=[])
        return promotion.share_to_go_on(replace(situation, seed=seed, epoch=epoch, num_seeds=2))

    assert [share(0, 2), share(0, 4), share(0, 8), share(1, 4)] == [1 / 2, 1 / 2, 8 / 10, 12 / 16]


def _pruner(pruner: str = "curve", *, audit: float = 0.0, seed: int = 0) -> Pruner:
    rule, entry = example.RULE, PRUNERS.load(pruner)
    return Pruner(entry=entry, rule=rule, rungs=_RUNGS, num_seeds=1, audit=audit, seed=seed)


def _record(number: int, *, end: float, latency: float, known: int = 3) -> TrialRecord:
    course = _course(end, cost=latency, known=known)
    return example.trial(
        number,
        state="complete" if known == 3 else "running",
        latency_ms=latency,
        curve=tuple(example.point(e, a, seed=s) for (s, e), a in course.curve.items()),
        proxy_accuracy=course.accuracy,
    )


def _records() -> list[TrialRecord]:
    courses = _study()
    return [
        _record(number, end=course.accuracy or 0.0, latency=course.costs[0])
        for number, course in enumerate(courses)
    ]


def test_noise_of_timing_does_not_tell_against_a_trial() -> None:
    trial = _record(99, end=0.5, latency=5.0, known=2)
    situation = _pruner().situation(trial, seed=0, epoch=4, among=[*_records(), trial])
    assert situation.trial.costs == (4.5,)
    assert len(situation.others) == 30


def test_a_rung_at_chance_stops_nothing() -> None:
    records = [_record(n, end=0.24, latency=1.0 + n) for n in range(20)]
    trial = _record(99, end=0.02, latency=30.0, known=1)
    verdict = _pruner().verdict(trial, seed=0, epoch=2, among=records)
    assert not verdict.stops
    assert "no better than chance" in verdict.reason
    trial = _record(99, end=0.02, latency=30.0, known=2)
    assert _pruner().verdict(trial, seed=0, epoch=4, among=records).stops


def test_the_audit_takes_its_share_the_same_every_time() -> None:
    pruner = _pruner(audit=0.1, seed=5)
    audited = [number for number in range(2000) if pruner.is_audited(number)]
    assert 150 < len(audited) < 250
    assert audited == [n for n in range(2000) if _pruner(audit=0.1, seed=5).is_audited(n)]
    assert audited != [n for n in range(2000) if _pruner(audit=0.1, seed=6).is_audited(n)]
    assert not any(_pruner(audit=0.0).is_audited(number) for number in range(100))


def test_an_audited_trial_keeps_its_first_verdict_and_goes_on() -> None:
    trial = _record(99, end=0.2, latency=9.0, known=2)
    verdict = _pruner(audit=1.0).verdict(trial, seed=0, epoch=4, among=_records())
    assert (verdict.stops, verdict.is_audited) == (True, True)
    earlier = RungVerdict(seed=0, epoch=2, stops=True, is_audited=True)
    later = _pruner().verdict(
        replace(trial, verdicts=(earlier,)), seed=0, epoch=4, among=_records()
    )
    assert not later.stops


@pytest.mark.parametrize("name", PRUNERS.names)
def test_every_rule_answers_for_a_first_trial_and_for_several_costs(name: str) -> None:
    pruner = PRUNERS.load(name)
    assert isinstance(pruner.ASKS, bool)
    first = _situation(_course(0.5, cost=1.0, known=1), others=[])
    assert not pruner.judge(first).stops
    others = [replace(course, costs=(*course.costs, 1.0)) for course in _study()]
    trial = replace(_course(0.9, cost=9.0, known=2), costs=(9.0, 0.5))
    assert not pruner.judge(_situation(trial, others=others)).stops
