"""What did stopping trainings early save, and what did it lose?"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from archbench.analysis.front import FrontRule
from archbench.analysis.statistics import Estimate, Floats, wilson
from archbench.study.objective import objective_value
from archbench.study.trial import RungVerdict, TrialRecord, epochs_trained

SEED_SCATTER = 0.03
"""Between trainings of one network, before any was trained twice."""

_PRIOR_SEEDS = 4.0  # trainings that this counts as
_DRAWS = 400
_SAME = 1e-4  # accuracies whose standard deviation is less do not differ
_PRIOR_TRAININGS = 4.0  # how many trainings the guess below of the scatter counts as
_PRIOR_SCATTER = 0.06  # of the last accuracy around the guess: what small networks showed half-way
_PRIOR_GAIN = 0.25  # from a rung to the end: anything up to so much, one standard deviation
_PRIOR_SLOPE = 0.5  # standard deviation around 1 for the rung itself, around 0 for earlier ones


@dataclass(frozen=True, kw_only=True)
class PruningReport:
    """What a rule for stopping early did to a study."""

    stopped: int
    audited: int  # would have been stopped, and were trained to the end all the same
    reached: int  # of the audited, the front
    reached_share: Estimate  # of all that were stopped that would have
    epochs: int  # trained
    saved: int  # epochs that were not
    lost: Estimate  # share of the hypervolume, 0 to 1

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
            were, are = "was" if self.audited == 1 else "were", "is" if self.reached <= 1 else "are"
            told += (
                f" {self.audited} more should have been and {were} trained to the end as an audit: "
                f"{self.reached or 'none'} of them {are} on the front."
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
    trials: Sequence[TrialRecord], *, rule: FrontRule, rungs: Sequence[int], num_seeds: int
) -> PruningReport | None:
    """What stopping early saved and lost; None where no trial was to be stopped.

    What a stopped trial would have reached is drawn many times from the regression over all
    trainings that ended (``LearningCurve``), the audited ones among them, which alone show what
    becomes of trials that look hopeless. Each draw is a front that training everything could have
    given, by accuracies as noisy as those of the study.
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
        reached_share=wilson(reached, len(audited)),
        epochs=sum(epochs_trained(record, num_seeds=num_seeds) for record in own),
        saved=sum(whole - epochs_trained(record, num_seeds=num_seeds) for record in stopped),
        lost=_lost(
            _ends(trials, stopped=stopped, rungs=rungs, num_seeds=num_seeds),
            trials=trials,
            stopped=stopped,
            rule=rule,
        ),
    )


def seed_scatter(ends: Iterable[Sequence[float]]) -> float:
    """Standard deviation of the last accuracies of each network between its trainings, pooled."""
    squares, freedom = _PRIOR_SEEDS * SEED_SCATTER**2, _PRIOR_SEEDS
    for found in ends:
        if len(found) > 1:
            squares += (len(found) - 1) * statistics.variance(found)
            freedom += len(found) - 1
    return math.sqrt(squares / freedom)


def _lost(
    ends: Floats, *, trials: Sequence[TrialRecord], stopped: Sequence[TrialRecord], rule: FrontRule
) -> Estimate:
    box = rule.box(trials)
    if box is None or not stopped:
        return Estimate(value=0.0, low=0.0, high=0.0)
    front, unended = (
        [tuple(objective_value(one, name) or 0.0 for name in rule.objectives) for one in records]
        for records in (rule.front(trials), stopped)
    )
    base, place = box.share(front), list(rule.objectives).index("proxy_accuracy")
    shares = []
    for accuracies in ends:
        points = [
            (*point[:place], min(1.0, float(accuracy)), *point[place + 1 :])
            for point, accuracy in zip(unended, accuracies, strict=True)
            if accuracy > rule.bar
        ]
        shares.append(1 - base / box.share([*front, *points]))
    return Estimate.of_draws(shares)


def _ends(
    trials: Sequence[TrialRecord],
    *,
    stopped: Sequence[TrialRecord],
    rungs: Sequence[int],
    num_seeds: int,
) -> Floats:
    """Mean accuracies over seeds that the stopped trials could have ended with: (draws, trials)."""
    generator = np.random.default_rng(0)
    last = rungs[-1]
    curves = [_curves(record) for record in trials]
    whole = [curve for found in curves for curve in found if last in curve]
    scatter = seed_scatter([c[last] for c in found if last in c] for found in curves)
    known = [[c[last] for c in _curves(record) if last in c] for record in stopped]
    rows = [next(([*c.values()] for c in _curves(r) if last not in c), []) for r in stopped]
    ends = np.zeros((_DRAWS, len(stopped)))
    for count in dict.fromkeys(len(row) for row in rows if row):
        places = [place for place, row in enumerate(rows) if len(row) == count]
        learnt = LearningCurve(
            [[curve[rung] for rung in rungs[:count]] for curve in whole],
            ends=[curve[last] for curve in whole],
            num_rungs=count,
        )
        for draw in range(_DRAWS):
            ends[draw, places] = learnt.draw([rows[p] for p in places], generator=generator)
    for place, done in enumerate(known):
        count = len(done) + bool(rows[place])
        mean = (sum(done) + ends[:, place] * bool(rows[place])) / count
        left = num_seeds - count
        spread = scatter * math.sqrt(left / (num_seeds * count))
        ends[:, place] = mean + spread * generator.normal(size=_DRAWS)
    return ends


def _curves(record: TrialRecord) -> list[dict[int, float]]:
    """Epoch to accuracy, for each seed in turn."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    for point in sorted(record.curve, key=lambda point: (point.seed, point.epoch)):
        found[point.seed][point.epoch] = point.accuracy
    return list(found.values())


class Forecast(NamedTuple):
    """Student's t distribution of a last accuracy, noise of the training included."""

    mean: float
    scale: float
    freedom: float


class LearningCurve:
    """A Bayesian linear regression of the last accuracy on those of the rungs so far.

    The guess before any training has ended is that nothing changes after the rung, give or take;
    each training that went to the end counts as much as all others, whatever it reached. Which
    trainings went so far was decided by their rungs, upon which the regression is conditional, so
    stopping the weak ones does not bias it.

    It is learnt from the accuracies of trainings that went to the end at the first ``num_rungs``
    rungs, one row a training, of which there may be none, and from how each ``ends``. Of the
    variance of the last accuracies the rungs explain the share ``explained``; that is 1 where they
    do not differ, or fewer than two trainings have ended.

    Source: the conjugate normal-inverse-gamma model, for example Bishop 2006, ex. 3.12 and 3.13.
    """

    def __init__(
        self, rungs: Sequence[Sequence[float]], *, ends: Sequence[float], num_rungs: int
    ) -> None:
        prior = np.zeros(num_rungs + 1)
        prior[1] = 1.0
        spread = np.array([_PRIOR_GAIN, *[_PRIOR_SLOPE] * num_rungs]) / _PRIOR_SCATTER
        precision = np.diag(spread**-2.0)
        features = _features(np.reshape(np.asarray(rungs, dtype=np.float64), (-1, num_rungs)))
        target = np.asarray(ends, dtype=np.float64)
        posterior = precision + features.T @ features
        self._covariance = np.linalg.inv(posterior).astype(np.float64)
        self._weights = self._covariance @ (precision @ prior + features.T @ target)
        self._freedom = _PRIOR_TRAININGS + len(target)
        residual = target - features @ self._weights
        moved = self._weights - prior
        squares = _PRIOR_TRAININGS * _PRIOR_SCATTER**2
        squares += float(residual @ residual + moved @ precision @ moved)
        self._scatter = math.sqrt(squares / self._freedom)
        variance = float(target.var()) if len(target) else 0.0
        left = float(residual @ residual) / max(1, len(target))
        self.explained = max(0.0, 1.0 - left / variance) if variance > _SAME**2 else 1.0

    def forecast(self, rungs: Sequence[float]) -> Forecast:
        """What a training with these accuracies at its rungs so far ends with."""
        (row,) = _features(np.asarray([rungs], dtype=np.float64))
        scale = self._scatter * math.sqrt(1.0 + float(row @ self._covariance @ row))
        return Forecast(float(row @ self._weights), scale, self._freedom)

    def draw(self, rungs: Sequence[Sequence[float]], *, generator: np.random.Generator) -> Floats:
        """Last accuracies of several trainings at once, drawn from what is known together."""
        variance = self._scatter**2 * self._freedom / generator.chisquare(self._freedom)
        weights = generator.multivariate_normal(self._weights, variance * self._covariance)
        features = _features(np.asarray(rungs, dtype=np.float64))
        noise = generator.normal(scale=math.sqrt(variance), size=len(features))
        return np.asarray(features @ weights + noise)


def _features(rungs: Floats) -> Floats:
    """A constant, the last rung, and how far the earlier ones lie below it: (n, rungs + 1)."""
    last = rungs[:, -1:]
    return np.hstack([np.ones((len(rungs), 1)), last, last - rungs[:, :-1]])
