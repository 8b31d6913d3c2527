"""What did stopping trainings early save, and what did it lose?"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from archbench.analysis.front_probability import Estimate
from archbench.analysis.learning_curve import LearningCurve
from archbench.analysis.rule import FrontRule
from archbench.study.objective import objective_value
from archbench.study.trial import RungVerdict, TrialRecord, epochs_trained

SEED_SCATTER = 0.03
"""Between trainings of one network, before any was trained twice."""

_PRIOR_SEEDS = 4.0  # trainings that this counts as
_DRAWS = 400
_Z = 1.96


@dataclass(frozen=True, kw_only=True)
class PruningReport:
    """What a rule for stopping early did to a study.

    Attributes:
        stopped: Trials that it stopped.
        audited: Trials that it would have stopped and that were trained to the end all the same.
        reached: Of the audited, those that stand on the front.
        reached_share: Share of all stopped trials that would stand there, by the audited.
        epochs: Epochs that were trained.
        saved: Epochs that the stopped trials were not trained.
        lost: Share of the hypervolume that stopping lost, 0 to 1.
    """

    stopped: int
    audited: int
    reached: int
    reached_share: Estimate
    epochs: int
    saved: int
    lost: Estimate

    @property
    def saved_share(self) -> float:
        """Epochs saved of those that training everything to the end had taken."""
        return self.saved / max(1, self.epochs + self.saved)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "saved_share": self.saved_share}

    def in_words(self) -> str:
        """For a person, in some sentences."""
        told = (
            f"Stopping early saved {100 * self.saved_share:.0f} % of the epochs: "
            f"{self.stopped} trial{'s were' if self.stopped != 1 else ' was'} stopped."
        )
        if self.audited:
            told += (
                f" {self.audited} more should have been and {_were(self.audited)} trained to the "
                f"end as an audit: {self.reached or 'none'} of them {_are(self.reached)} on the "
                "front."
            )
        low, high = 100 * self.lost.low, 100 * self.lost.high
        return (
            f"{told} Hypervolume lost by it, from the curves of all that ended: about "
            f"{100 * self.lost.value:.1f} % (95 % interval {low:.1f} to {high:.1f})."
        )


def stop_of(record: TrialRecord) -> RungVerdict | None:
    """The verdict that stopped a trial, or would have without the audit."""
    return next((verdict for verdict in record.verdicts if verdict.stops), None)


def pruning_report(
    trials: Sequence[TrialRecord],
    *,
    rule: FrontRule,
    rungs: Sequence[int],
    num_seeds: int,
) -> PruningReport | None:
    """What stopping early saved and lost; None where no trial was to be stopped.

    What a stopped trial would have reached is drawn many times from the regression over all
    trainings that ended (``LearningCurve``), the audited ones among them, which alone show what
    becomes of trials that look hopeless. Each draw is a front that training everything could have
    given, by accuracies as noisy as those of the study.

    Args:
        trials: Of the study.
        rule: What may stand on the front.
        rungs: Epochs, rising; the last is the end of a training.
        num_seeds: Trainings of a trial.
    """
    own = [record for record in trials if not record.origin]
    stopped = [record for record in own if record.state == "pruned" and stop_of(record)]
    audited = [r for r in own if (stop := stop_of(r)) and stop.is_audited]
    if not stopped and not audited:
        return None
    members = rule.front(trials)
    numbers = {record.number for record in members}
    reached = sum(record.number in numbers for record in audited)
    whole = rungs[-1] * num_seeds
    return PruningReport(
        stopped=len(stopped),
        audited=len(audited),
        reached=reached,
        reached_share=_share(reached, len(audited)),
        epochs=sum(epochs_trained(record, num_seeds=num_seeds) for record in own),
        saved=sum(whole - epochs_trained(record, num_seeds=num_seeds) for record in stopped),
        lost=_lost(trials, stopped=stopped, rule=rule, rungs=rungs, num_seeds=num_seeds),
    )


def seed_scatter(ends: Iterable[Sequence[float]]) -> float:
    """Standard deviation of the last accuracy between trainings of one network, pooled.

    Args:
        ends: The last accuracies of each network; those with one say nothing.
    """
    squares, freedom = _PRIOR_SEEDS * SEED_SCATTER**2, _PRIOR_SEEDS
    for found in ends:
        if len(found) > 1:
            squares += (len(found) - 1) * statistics.variance(found)
            freedom += len(found) - 1
    return math.sqrt(squares / freedom)


def _lost(
    trials: Sequence[TrialRecord],
    *,
    stopped: Sequence[TrialRecord],
    rule: FrontRule,
    rungs: Sequence[int],
    num_seeds: int,
) -> Estimate:
    box = rule.box(trials)
    if box is None or not stopped:
        return Estimate(value=0.0, low=0.0, high=0.0)
    front = [_point(record, rule=rule) for record in rule.front(trials)]
    base = box.share(front)
    place = list(rule.objectives).index("proxy_accuracy")
    unended = [list(_point(record, rule=rule)) for record in stopped]
    shares = []
    for accuracies in _ends(trials, stopped=stopped, rungs=rungs, num_seeds=num_seeds):
        points = list(front)
        for point, accuracy in zip(unended, accuracies, strict=True):
            if accuracy > rule.bar:
                points.append((*point[:place], min(1.0, float(accuracy)), *point[place + 1 :]))
        shares.append(1 - base / box.share(points))
    low, high = np.quantile(shares, (0.025, 0.975))
    return Estimate(value=float(np.mean(shares)), low=float(low), high=float(high))


def _ends(
    trials: Sequence[TrialRecord],
    *,
    stopped: Sequence[TrialRecord],
    rungs: Sequence[int],
    num_seeds: int,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Mean accuracies over seeds that the stopped trials could have ended with: (draws, trials)."""
    generator = np.random.default_rng(0)
    last = rungs[-1]
    curves = [_curves(record) for record in trials]
    whole = [curve for found in curves for curve in found.values() if last in curve]
    scatter = seed_scatter([c[last] for c in found.values() if last in c] for found in curves)
    groups: dict[int, list[int]] = defaultdict(list)
    known: list[list[float]] = []
    rows: list[list[float]] = []
    for place, record in enumerate(stopped):
        found = _curves(record)
        known.append([curve[last] for curve in found.values() if last in curve])
        rows.append(next(([*c.values()] for c in found.values() if last not in c), []))
        groups[len(rows[-1])].append(place)
    ends = np.zeros((_DRAWS, len(stopped)))
    for count, places in groups.items():
        if not count:
            continue
        fit = LearningCurve.fit(
            [[curve[rung] for rung in rungs[:count]] for curve in whole],
            ends=[curve[last] for curve in whole],
            num_rungs=count,
        )
        for draw in range(_DRAWS):
            ends[draw, places] = fit.draw([rows[p] for p in places], generator=generator)
    for place, done in enumerate(known):
        count = len(done) + bool(rows[place])
        mean = (sum(done) + ends[:, place] * bool(rows[place])) / count
        left = num_seeds - count
        spread = scatter * math.sqrt(left / (num_seeds * count))
        ends[:, place] = mean + spread * generator.normal(size=_DRAWS)
    return ends


def _curves(record: TrialRecord) -> Mapping[int, Mapping[int, float]]:
    """Seed to epoch to accuracy."""
    found: dict[int, dict[int, float]] = {}
    for point in sorted(record.curve, key=lambda point: (point.seed, point.epoch)):
        found.setdefault(point.seed, {})[point.epoch] = point.accuracy
    return found


def _point(record: TrialRecord, *, rule: FrontRule) -> tuple[float, ...]:
    """Its objectives; 0 for an accuracy that it has not."""
    return tuple(objective_value(record, name) or 0.0 for name in rule.objectives)


def _share(count: int, total: int) -> Estimate:
    """Wilson's interval (1927) for a share; all of 0 to 1 without any case."""
    if not total:
        return Estimate(value=0.0, low=0.0, high=1.0)
    share = count / total
    middle = (share + _Z**2 / (2 * total)) / (1 + _Z**2 / total)
    half = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    half /= 1 + _Z**2 / total
    return Estimate(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _are(count: int) -> str:
    return "is" if count <= 1 else "are"
