"""What do the trainings of a certificate show: can this proxy rank this space?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from archbench.analysis.certificate import (
    FEWEST,
    GOOD,
    CandidateRecord,
    Certificate,
    Judgement,
    Rung,
    State,
    estimate_text,
    is_good,
)
from archbench.analysis.front import FrontRule
from archbench.analysis.rank import Agreement, Spread, agreement, grouped, others, spread
from archbench.analysis.statistics import Floats
from archbench.study.planned import pending, read_planned
from archbench.study.trial import Snapshot, TrialRecord

_ENOUGH = 32  # candidates that mostly settle it

METHOD = (
    "Tau is Kendall's: the share of pairs in their order less that of the others. The truth is the "
    "mean of the longer trainings, whose seeds no score has seen. At equal cost: what is left of "
    "both when a cubic in the logarithm of the MACs is taken out; a score that knows nothing but "
    "the size is left with 0. Near the front: the half of the candidates that is least below the "
    "best of its cost. Intervals of 95 % are percentiles of a bootstrap over candidates, each "
    "drawn with all its trainings. A proxy is certified where its tau at equal cost is a third or "
    "more (two of three pairs in their order) and the interval leaves out 0."
)

_KEPT = (
    "created", "command", "space_name", "question", "subject", "proxy", "seeds", "longer",
    "workers", "notes", "environment",
)  # fmt: skip


def read_certificate(path: Path) -> Certificate:
    """Everything that is known of a certificate; it may still be running.

    Raises:
        StorageError: There is no certificate, or it cannot be read.
    """
    return certificate_of(path, read_planned(path, kind="certificate"))


def certificate_of(path: Path, found: Snapshot) -> Certificate:
    """The certificate in a folder, judged once each of its trainings has ended or failed."""
    header, proxy = found.header, found.header["proxy"]
    candidates = tuple(_candidate(trial, seeds=header["seeds"]) for trial in found.trials)
    trainings = [training for trial in found.trials for training in trial.trainings]
    finding = None
    if all(training.accuracy is not None or training.failure for training in trainings):
        chance = {key: proxy[key] for key in ("chance", "num_validation")}
        finding = judge(
            candidates,
            proxy_seeds=proxy["seeds"],
            bar=FrontRule(objectives={}, limits={}, **chance).bar,
            most=header.get("most_candidates"),
            holds_for=(
                f"That holds for {proxy['data']} at {proxy['resolution']} px and "
                f"{proxy['rungs'][-1]} epochs, judged by {header['longer']}; it says nothing of "
                "other data or of full training."
            ),
        )
    return Certificate(
        path=path,
        header={key: header[key] for key in _KEPT} | {"method": METHOD},
        candidates=candidates,
        num_trainings=len(trainings),
        num_done=len(trainings) - len(pending(found)),
        finding=finding,
    )


def _candidate(trial: TrialRecord, *, seeds: int) -> CandidateRecord:
    """A trial of which the first ``seeds`` trainings are as long as the proxy's."""
    ended = {t.seed: t.accuracy for t in trial.trainings if t.accuracy is not None}
    return CandidateRecord(
        digest=trial.digest,
        choices=trial.choices,
        params=trial.params,
        macs=trial.macs,
        proxy={
            seed: {point.epoch: point.accuracy for point in trial.curve if point.seed == seed}
            for seed in ended
            if seed < seeds
        },
        longer={seed: accuracy for seed, accuracy in ended.items() if seed >= seeds},
        failures=tuple(
            f"seed {training.seed} failed ({training.failure.kind}): {training.failure.message}"
            for training in trial.trainings
            if training.failure
        ),
    )


def judge(
    candidates: Sequence[CandidateRecord],
    *,
    proxy_seeds: int,
    bar: float,
    holds_for: str,
    most: int | None = None,
) -> Judgement:
    """What the trainings of a sample show; those that lack one of them are left out.

    Without longer trainings the truth of a score is the end of the schedule in the other seeds.

    Args:
        candidates: The sample.
        proxy_seeds: Trainings of a candidate that count together in a search.
        bar: The accuracy from which a candidate is better than guessing.
        holds_for: Data, resolution and lengths, in words.
        most: Candidates that a sample of the space can have; None where that is not known.
    """
    used = _complete(candidates)
    if len(used) < FEWEST:
        return _too_few(used, num=len(candidates), most=most)
    log_cost = np.log([float(candidate.macs) for candidate in used])
    truth_of, truths = _truth(used, proxy_seeds=proxy_seeds)
    rungs = tuple(
        _rung(used, epoch, proxy_seeds=proxy_seeds, bar=bar, log_cost=log_cost, truth_of=truth_of)
        for epoch in sorted(next(iter(used[0].proxy.values())))
    )
    mean = truths.mean(0, keepdims=True)
    nulls = {
        name: agreement(
            np.log([[float(getattr(candidate, name)) for candidate in used]]),
            mean,
            log_cost=log_cost,
        )
        for name in ("macs", "params")
    }
    several = len(truths) > 1
    ceiling = agreement(truths, others(truths), log_cost=log_cost) if several else None
    apart = spread(truths, log_cost=log_cost) if several else None
    state = _state(rungs[-1])
    return Judgement(
        state=state,
        num_used=len(used),
        rungs=rungs,
        nulls=nulls,
        ceiling=ceiling,
        spread=apart,
        rungs_advised=_advised(rungs),
        sentence=f"{_SENTENCES[state](rungs[-1], nulls['macs'], len(used))} {holds_for}",
        advice=_advice(state, rungs, ceiling=ceiling, apart=apart, num=len(used), most=most),
    )


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


def _scores(used: Sequence[CandidateRecord], epoch: int) -> Floats:
    """Accuracies (S, n) after some epochs."""
    seeds = sorted(used[0].proxy)
    return np.array([[candidate.proxy[seed][epoch] for candidate in used] for seed in seeds])


def _truth(
    used: Sequence[CandidateRecord], *, proxy_seeds: int
) -> tuple[Callable[[int], Floats], Floats]:
    """The truth (P, n) for so many scores, and the trainings (L, n) that it comes from."""
    if used[0].longer:
        seeds = sorted(used[0].longer)
        longer = np.array([[candidate.longer[seed] for candidate in used] for seed in seeds])
        return (lambda num: np.repeat(longer.mean(0, keepdims=True), num, axis=0)), longer
    ends = _scores(used, max(next(iter(used[0].proxy.values()))))
    if proxy_seeds != 1 or len(ends) < 2:
        raise ValueError("without longer trainings, one of several seeds is held against the rest")
    return (lambda num: others(ends)), ends


def _rung(
    used: Sequence[CandidateRecord],
    epoch: int,
    *,
    proxy_seeds: int,
    bar: float,
    log_cost: Floats,
    truth_of: Callable[[int], Floats],
) -> Rung:
    trainings = _scores(used, epoch)
    scores = grouped(trainings, size=proxy_seeds)
    median = float(np.median(trainings.mean(0)))
    return Rung(
        epoch=epoch,
        median=median,
        is_above_chance=median > bar,
        agreement=agreement(scores, truth_of(len(scores)), log_cost=log_cost),
    )


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


def _certified(last: Rung, macs: Agreement, num: int) -> str:
    tau = last.agreement.at_equal_cost
    return (
        f"This proxy can rank this space: of two networks of equal cost it names the better one "
        f"in {50 * (1 + tau.value):.0f} % of cases, tau {estimate_text(tau)}."
    )


def _refused(last: Rung, macs: Agreement, num: int) -> str:
    told = "This proxy cannot rank this space, and a front that it finds is not to be trusted"
    if not last.is_above_chance:
        return (
            f"{told}: after {last.epoch} epochs the median candidate reaches "
            f"{100 * last.median:.1f} %, which is no more than guessing."
        )
    tau, overall = last.agreement.at_equal_cost, last.agreement.overall
    size = (
        f"; its order, tau {overall.value:.2f}, is that of the size, {macs.overall.value:.2f}"
        if overall.low > 0
        else ""
    )
    return f"{told}: of networks of equal cost it orders {estimate_text(tau)} by tau{size}."


def _undecided(last: Rung, macs: Agreement, num: int) -> str:
    return (
        f"Whether this proxy can rank this space is not known, and a front that it finds is not "
        f"to be trusted yet: {num} candidates show a tau at equal cost of "
        f"{estimate_text(last.agreement.at_equal_cost)}, and {GOOD:.2f} with an interval above 0 "
        "is asked for."
    )


_SENTENCES: dict[State, Callable[[Rung, Agreement, int], str]] = {
    "certified": _certified,
    "refused": _refused,
    "undecided": _undecided,
}


def _advice(
    state: State,
    rungs: Sequence[Rung],
    *,
    ceiling: Agreement | None,
    apart: Spread | None,
    num: int,
    most: int | None,
) -> str:
    if state == "certified":
        return ""
    last = rungs[-1]
    longer = f"train longer: --set 'proxy.rungs=[{last.epoch}, {2 * last.epoch}]'"
    if not last.is_above_chance:
        return longer
    if apart is not None and apart.at_equal_cost <= apart.seeds:
        return (
            f"at equal cost candidates differ by {100 * apart.at_equal_cost:.1f} points and seeds "
            f"of one by {100 * apart.seeds:.1f}: count several seeds together "
            "(--set proxy.seeds=3), or widen the axes"
        )
    if state == "undecided":
        return _more(last, num=num, most=most, longer=longer)
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
        f"the space has {most} candidates, too few for a sample of them to settle it (about "
        f"{needed} would): {longer}; or count several seeds together (--set proxy.seeds=3); or "
        "train all of them instead of ranking them"
    )


def _too_few(used: Sequence[CandidateRecord], *, num: int, most: int | None) -> Judgement:
    wanted = _ENOUGH if most is None else min(_ENOUGH, most)
    return Judgement(
        state="undecided",
        num_used=len(used),
        rungs=(),
        nulls={},
        ceiling=None,
        spread=None,
        rungs_advised=(),
        sentence=(
            f"Whether this proxy can rank this space is not known: all trainings ended of "
            f"{len(used)} candidates, and {FEWEST} are the least."
        ),
        advice="see why trainings failed"
        + (f", or train more candidates: --candidates {wanted}" if wanted > num else ""),
    )
