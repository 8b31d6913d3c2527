"""What do the trainings of a certificate show: can this proxy rank this space?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from archbench.analysis.statistics import (
    Agreement,
    Estimate,
    Floats,
    Spread,
    agreement,
    estimate_text,
    grouped,
    others,
    spread,
)

GOOD = 1 / 3
"""The tau at equal cost from which a proxy is good enough: two of three pairs in their order."""

FEWEST = 8
"""Candidates whose trainings all ended, below which nothing is said."""

_ENOUGH = 32  # candidates that mostly decide it

State = Literal["certified", "refused", "undecided", "unfinished"]


@dataclass(frozen=True, kw_only=True)
class CandidateRecord:
    """One candidate of the sample and what its trainings reached."""

    digest: str
    choices: Mapping[str, Any]  # axis to value, as tables show it
    params: int
    macs: int
    # seed to epoch to accuracy, of trainings as long as the proxy's; and seed to the last accuracy,
    # of longer trainings with other seeds
    proxy: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    longer: Mapping[int, float] = field(default_factory=dict)
    failures: tuple[str, ...] = ()  # what failed of it, in words


@dataclass(frozen=True, kw_only=True)
class Rung:
    """How well the proxy orders candidates after some epochs of its schedule."""

    epoch: int
    median: float  # accuracy of the median candidate
    is_above_chance: bool  # whether that is more than guessing
    agreement: Agreement  # with the longer trainings

    @property
    def is_good(self) -> bool:
        """Whether candidates may be compared here."""
        return self.is_above_chance and is_good(self.agreement.at_equal_cost)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the trainings show."""

    state: State
    num_used: int  # candidates whose trainings all ended
    rungs: tuple[Rung, ...] = ()
    # of ``macs`` and ``params``: how well size alone orders the candidates
    nulls: Mapping[str, Agreement] = field(default_factory=dict)
    # how well one longer training orders them by the others; None where each has one
    ceiling: Agreement | None = None
    spread: Spread | None = None  # of the longer trainings; None where each has one
    rungs_advised: tuple[int, ...] = ()  # rungs that follow for the proxy; empty where none is good
    sentence: str = ""  # whether this proxy can rank this space
    advice: str = ""  # what to do about it; empty where nothing need be done

    @property
    def last(self) -> Estimate:
        """Tau at equal cost at the end of the proxy's schedule."""
        return self.rungs[-1].agreement.at_equal_cost


def judge(
    candidates: Sequence[CandidateRecord],
    *,
    proxy_seeds: int,
    bar: float,
    holds_for: str,
    most: int | None = None,
) -> Judgement:
    """What the trainings of a sample show; candidates that lack one of them are left out.

    Without longer trainings the truth of a score is the end of the schedule in the other seeds.
    So many seeds count together in a search of this proxy; a candidate is better than guessing
    from the bar on; most is how many candidates a sample of the space can have, where it is known.
    """
    used = _complete(candidates)
    if len(used) < FEWEST:
        return _too_few(used, num=len(candidates), most=most)
    log_cost = np.log([float(candidate.macs) for candidate in used])
    rungs, truths = _rungs(used, proxy_seeds=proxy_seeds, bar=bar, log_cost=log_cost)
    sizes = {name: [float(getattr(one, name)) for one in used] for name in ("macs", "params")}
    mean = truths.mean(0, keepdims=True)
    several = len(truths) > 1
    found = Judgement(
        state=_state(rungs[-1]),
        num_used=len(used),
        rungs=rungs,
        nulls={
            name: agreement(np.log([size]), mean, log_cost=log_cost) for name, size in sizes.items()
        },
        ceiling=agreement(truths, others(truths), log_cost=log_cost) if several else None,
        spread=spread(truths, log_cost=log_cost) if several else None,
        rungs_advised=_advised(rungs),
    )
    sentence = f"{_sentence(found)} {holds_for}"
    return replace(found, sentence=sentence, advice=_advice(found, most=most))


def _rungs(
    used: Sequence[CandidateRecord], *, proxy_seeds: int, bar: float, log_cost: Floats
) -> tuple[tuple[Rung, ...], Floats]:
    """Each epoch held against the truth, and the trainings (L, n) that the truth comes from."""
    epochs = sorted(next(iter(used[0].proxy.values())))
    trainings = [
        np.array([[one.proxy[seed][epoch] for one in used] for seed in sorted(used[0].proxy)])
        for epoch in epochs
    ]
    scores = [grouped(found, size=proxy_seeds) for found in trainings]
    if used[0].longer:
        truths = np.array([[one.longer[seed] for one in used] for seed in sorted(used[0].longer)])
        truth = np.repeat(truths.mean(0, keepdims=True), len(scores[-1]), axis=0)
    else:
        truths, truth = trainings[-1], others(trainings[-1])
    medians = [float(np.median(found.mean(0))) for found in trainings]
    rungs = tuple(
        Rung(
            epoch=epoch,
            median=median,
            is_above_chance=median > bar,
            agreement=agreement(score, truth, log_cost=log_cost),
        )
        for epoch, median, score in zip(epochs, medians, scores, strict=True)
    )
    return rungs, truths


def _complete(candidates: Sequence[CandidateRecord]) -> list[CandidateRecord]:
    """Those that have every training that any has."""
    proxy = {seed for candidate in candidates for seed in candidate.proxy}
    longer = {seed for candidate in candidates for seed in candidate.longer}
    epochs = {e for candidate in candidates for curve in candidate.proxy.values() for e in curve}
    return [
        candidate
        for candidate in candidates
        if proxy
        and candidate.proxy.keys() == proxy
        and candidate.longer.keys() == longer
        and all(curve.keys() == epochs for curve in candidate.proxy.values())
    ]


def _state(last: Rung) -> State:
    at_equal_cost = last.agreement.at_equal_cost
    if not last.is_above_chance:
        return "refused"
    if is_good(at_equal_cost):
        return "certified"
    return "refused" if at_equal_cost.high < GOOD else "undecided"


def _advised(rungs: Sequence[Rung]) -> tuple[int, ...]:
    """From the first good rung on each at least twice as late, and the last."""
    if not rungs[-1].is_good:
        return ()
    last = rungs[-1].epoch
    first = next(
        index for index in range(len(rungs)) if all(rung.is_good for rung in rungs[index:])
    )
    found = [rungs[first].epoch]
    for rung in rungs[first + 1 :]:
        if rung.epoch >= 2 * found[-1] and (rung.epoch == last or 2 * rung.epoch <= last):
            found.append(rung.epoch)
    return tuple(found if found[-1] == last else [*found, last])


def _sentence(found: Judgement) -> str:
    last = found.rungs[-1]
    tau, overall = last.agreement.at_equal_cost, last.agreement.overall
    if found.state == "certified":
        return (
            f"This proxy can rank this space: of two networks of equal cost it names the better "
            f"one in {50 * (1 + tau.value):.0f} % of cases, tau {estimate_text(tau)}."
        )
    if found.state == "undecided":
        return (
            "Whether this proxy can rank this space is not known, and a front that it finds is not "
            f"to be trusted yet: {found.num_used} candidates show a tau at equal cost of "
            f"{estimate_text(tau)}, and {GOOD:.2f} with an interval above 0 is asked for."
        )
    told = "This proxy cannot rank this space, and a front that it finds is not to be trusted"
    if not last.is_above_chance:
        return (
            f"{told}: after {last.epoch} epochs the median candidate reaches "
            f"{100 * last.median:.1f} %, which is no more than guessing."
        )
    size = ""
    if overall.low > 0:
        theirs = found.nulls["macs"].overall.value
        size = f"; its order, tau {overall.value:.2f}, is that of the size, {theirs:.2f}"
    return f"{told}: of networks of equal cost it orders {estimate_text(tau)} by tau{size}."


def _advice(found: Judgement, *, most: int | None) -> str:
    if found.state == "certified":
        return ""
    last, ceiling, apart = found.rungs[-1], found.ceiling, found.spread
    longer = f"train longer: --set 'proxy.rungs=[{last.epoch}, {2 * last.epoch}]'"
    if not last.is_above_chance:
        return longer
    if apart is not None and apart.at_equal_cost <= apart.seeds:
        return (
            f"at equal cost candidates differ by {100 * apart.at_equal_cost:.1f} points and seeds "
            f"of one by {100 * apart.seeds:.1f}: count several seeds together "
            "(--set proxy.seeds=3), or widen the axes"
        )
    if found.state == "undecided":
        return _more(last, num=found.num_used, most=most, longer=longer)
    if ceiling is not None and is_good(ceiling.at_equal_cost):
        return longer
    return "count several seeds together (--set proxy.seeds=3), or widen the axes"


def _more(last: Rung, *, num: int, most: int | None, longer: str) -> str:
    """Candidates whose interval would decide; at least half as many again, at most four times."""
    tau = last.agreement.at_equal_cost
    half = (tau.high - tau.low) / 2
    off = tau.value if tau.value >= GOOD else max(abs(GOOD - tau.value), 0.05)
    needed = max(math.ceil(1.5 * num), math.ceil(num * (half / off) ** 2))
    if most is None or needed <= most:
        return f"train more candidates: --candidates {min(4 * num, needed)}"
    return (
        f"the space has {most} candidates, too few to decide from a sample of them (about "
        f"{needed} would): {longer}; or count several seeds together (--set proxy.seeds=3); or "
        "train all of them instead of ranking them"
    )


def _too_few(used: Sequence[CandidateRecord], *, num: int, most: int | None) -> Judgement:
    wanted = _ENOUGH if most is None else min(_ENOUGH, most)
    return Judgement(
        state="undecided",
        num_used=len(used),
        sentence=(
            f"Whether this proxy can rank this space is not known: all trainings ended of "
            f"{len(used)} candidates, and {FEWEST} are the least."
        ),
        advice="see why trainings failed"
        + (f", or train more candidates: --candidates {wanted}" if wanted > num else ""),
    )


def is_good(at_equal_cost: Estimate) -> bool:
    """Two of three pairs in their order, and surely more than chance."""
    return at_equal_cost.value >= GOOD and at_equal_cost.low > 0
