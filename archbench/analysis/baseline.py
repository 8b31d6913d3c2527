"""What do known networks reach beside the candidates of a study, which of them does one beat?"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archbench.analysis.front import FrontRule
from archbench.analysis.front_probability import FrontProbabilities
from archbench.analysis.statistics import Estimate
from archbench.study.measurement import Measurement
from archbench.study.objective import OBJECTIVES, Objective, costs, objective_value
from archbench.study.runs import NORMAL_95, latency_of, run_to_run, runs_of
from archbench.study.trial import (
    CurvePoint,
    QuantisedAccuracy,
    Snapshot,
    TrialRecord,
    final_accuracies,
)

BASELINES = "baselines"
"""Key of a study's header: its known networks; None until they are chosen."""

_NO_TRIAL = -1


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A known network that is timed and trained as the candidates of a study are.

    The record is that of its trial where it is a candidate, else one of its own without choices.
    """

    name: str
    record: TrialRecord

    @property
    def trial(self) -> int | None:
        """Which trial it is; None where it is no candidate."""
        return None if self.record.number == _NO_TRIAL else self.record.number


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A candidate that beats a known network, or comes next to doing so."""

    record: TrialRecord
    gain: Estimate  # its accuracy less that of the known network
    ratio: float  # its cost by that of the known network


def baselines_of(snapshot: Snapshot) -> list[Baseline]:
    """The known networks of a study, in the order in which they were named or chosen."""
    trials = {record.digest: record for record in reversed(snapshot.trials)}
    timings: dict[str | None, list[Measurement]] = defaultdict(list)
    for taken in snapshot.measurements:
        timings[taken.reference].append(taken.measurement)
    between = run_to_run(runs_of(snapshot.measurements).values())
    latencies = {name: latency_of(own, between) for name, own in timings.items() if name}
    return [
        Baseline(
            name=entry["name"],
            record=trials.get(entry["digest"])
            or TrialRecord(
                number=_NO_TRIAL,
                state=entry["state"],
                digest="",
                choices={},
                **{key: entry[key] for key in ("spec", "params", "macs", "activations")},
                latency=latencies.get(entry["name"]),
                curve=tuple(CurvePoint(**point) for point in entry["curve"]),
                proxy_accuracy=entry["accuracy"],
                reason=entry["reason"],
                seconds=entry["seconds"],
                quantised=tuple(QuantisedAccuracy(**one) for one in entry["quantised"]),
            ),
        )
        for entry in snapshot.header.get(BASELINES) or ()
    ]


@dataclass(frozen=True, kw_only=True)
class AgainstBaselines:
    """What candidates are worth beside known networks, in sentences; empty where none is told."""

    beaten: str  # which candidate beats the most accurate known network that one beats
    unbeaten: str  # which known networks nothing beats


def against_baselines(
    baselines: Sequence[Baseline],
    trials: Sequence[TrialRecord],
    *,
    rule: FrontRule,
    sure: FrontProbabilities,
) -> AgainstBaselines:
    """Which candidate beats the most accurate known network that one beats; which none beats.

    Those that are over a limit, or that another known network beats, are passed over.
    """
    cost = OBJECTIVES[next((n for n in rule.objectives if n in costs()), costs()[0])]
    known = [one for one in baselines if rule.is_eligible(one.record)]
    known = [one for one in known if not any(_is_worse(one, other, cost) for other in known)]
    known.sort(key=lambda one: -(one.record.proxy_accuracy or 0.0))
    rivals = {one.name: best_rival(one, trials, cost=cost, rule=rule, sure=sure) for one in known}
    beaten = [
        f"Trial {rival.record.number} is {_compared(one, rival, cost=cost)}."
        for one in known
        if (rival := rivals[one.name]) is not None
    ]
    left = [_named(one, cost=cost) for one in known if rivals[one.name] is None]
    take = "take that" if len(left) == 1 else "take the one that you can afford"
    return AgainstBaselines(
        beaten=beaten[0] if beaten else "",
        unbeaten=f"Nothing here beats {' or '.join(left)}{'' if beaten else f': {take}'}."
        if left
        else "",
    )


def best_rival(
    baseline: Baseline,
    trials: Sequence[TrialRecord],
    *,
    cost: Objective,
    rule: FrontRule,
    sure: FrontProbabilities,
) -> Rival | None:
    """The candidate by which a known network is beaten; None where none does.

    It is surely cheaper, their intervals being apart, and as accurate: the 95 % interval of the
    difference, which counts the noise of seeds, holds no difference or lies above it. Of these it
    is the cheapest that is rather more accurate than less, else the most accurate. Failing that,
    it is surely more accurate and not surely dearer.
    """
    low, high = _interval(baseline.record, cost)
    cheaper, better = [], []
    for record in trials:
        if record.number == baseline.record.number or not rule.is_eligible(record):
            continue
        if record.number not in sure.accuracy:
            continue
        rival = Rival(
            record=record,
            gain=_gain(record, baseline, sure=sure),
            ratio=(cost.value(record) or 0.0) / (cost.value(baseline.record) or 1.0),
        )
        own_low, own_high = _interval(record, cost)
        if own_high < low and rival.gain.high >= 0:
            cheaper.append(rival)
        elif own_low <= high and rival.gain.low > 0:
            better.append(rival)
    likely = [rival for rival in cheaper if rival.gain.value >= 0]
    if likely:
        return min(likely, key=lambda rival: rival.ratio)
    return max(cheaper or better, key=lambda rival: rival.gain.value, default=None)


def _gain(record: TrialRecord, baseline: Baseline, *, sure: FrontProbabilities) -> Estimate:
    """The accuracy of a candidate less that of a known network, both without the noise of seeds."""
    mine, theirs = sure.accuracy[record.number], sure.accuracy.get(baseline.record.number)
    if theirs is None:
        reached = list(final_accuracies(baseline.record).values())
        half = NORMAL_95 * (sure.noise_sd or 0.0) / math.sqrt(len(reached))
        mean = statistics.fmean(reached)
        theirs = Estimate(value=mean, low=mean - half, high=mean + half)
    half = math.hypot(mine.high - mine.low, theirs.high - theirs.low) / 2
    value = mine.value - theirs.value
    return Estimate(value=value, low=value - half, high=value + half)


def _interval(record: TrialRecord, cost: Objective) -> tuple[float, float]:
    value = cost.value(record) or 0.0
    return cost.interval(record) or (value, value)


def _is_worse(one: Baseline, other: Baseline, cost: Objective) -> bool:
    """Whether a known network is no more accurate than another, and dearer."""
    mine, theirs = (cost.value(each.record) or 0.0 for each in (one, other))
    reached = [each.record.proxy_accuracy or 0.0 for each in (one, other)]
    return other is not one and mine > theirs and reached[0] <= reached[1]


def _compared(baseline: Baseline, rival: Rival, *, cost: Objective) -> str:
    """For example ``as accurate as A (98.7 %; -0.1 points, -0.8 to 0.6) at 0.49 of its time``."""
    gain = rival.gain
    points = f"{100 * gain.value:+.1f} points, {100 * gain.low:.1f} to {100 * gain.high:.1f}"
    how = "more accurate than" if gain.low > 0 else "as accurate as"
    reached = OBJECTIVES["proxy_accuracy"].text(baseline.record.proxy_accuracy or 0.0)
    what = "time" if cost.name == "latency_ms" else cost.label
    return f"{how} {baseline.name} ({reached}; {points}) at {rival.ratio:.2f} of its {what}"


def _named(baseline: Baseline, *, cost: Objective) -> str:
    """For example ``levit_128s (trial 3; 98.7 %, 0.45 ms)``."""
    trial = "" if baseline.trial is None else f"trial {baseline.trial}; "
    reached = OBJECTIVES["proxy_accuracy"].text(baseline.record.proxy_accuracy or 0.0)
    return f"{baseline.name} ({trial}{reached}, {cost.text(cost.value(baseline.record) or 0.0)})"


def baseline_document(baseline: Baseline) -> Mapping[str, Any]:
    """What a JSON document says of a known network beside its measurement, its counts included."""
    record = baseline.record
    return {
        "name": baseline.name,
        "trial": baseline.trial,
        "state": record.state,
        "proxy_accuracy": record.proxy_accuracy,
        "seeds": len(final_accuracies(record)),
        **{name: objective_value(record, name) for name in ("params", "macs")},
        "reason": record.why_it_ended or None,
        "seconds": record.seconds,
    }
