"""What does a new study take from earlier ones: trials that count as done, and where to start.

A trial counts as done where network and conditions are the same. Where only the latency was taken
otherwise, its accuracy counts and it is timed here. All else is a prior: it chooses the first
candidates, and no number of it enters the study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from archbench.analysis.rule import FrontRule
from archbench.search.earlier import Earlier, Match
from archbench.search.jobs import over_limit
from archbench.search.repeat import TAKEN_OVER, spent_on_repeats
from archbench.search.sameness import (
    accuracy_differences,
    latency_differences,
    rule_differences,
)
from archbench.search.start import start
from archbench.study.measurement import Measurement
from archbench.study.snapshot import Taken
from archbench.study.trial import TrialRecord

if TYPE_CHECKING:
    from archbench.search.settings import Request

Timer = Callable[[Sequence[Match]], Mapping[str, Measurement]]
Use = Literal["done", "untimed", "prior", "left"]


@dataclass(frozen=True, kw_only=True)
class Heir:
    """A trial that the new study takes over.

    Attributes:
        match: What it was and is.
        source: Place of its study among those that were named.
        record: As it enters, under its new number.
        taken: The measurements that enter with it.
        is_timed: Whether its latency was taken anew.
    """

    match: Match
    source: int
    record: TrialRecord
    taken: tuple[Taken, ...]
    is_timed: bool


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the numbers of an earlier study stand to those of the new one.

    Attributes:
        accuracy: What of the accuracy's conditions differs, in words; empty where nothing does.
        latency: What of the latency's conditions differs; empty where none is wanted.
        rule: What else decides whether a training is stopped early.
    """

    accuracy: tuple[str, ...]
    latency: tuple[str, ...]
    rule: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """All that a new study takes over.

    Attributes:
        heirs: In the order of their new numbers.
        first: Candidates seen under other conditions that are to be tried first.
        sources: What was taken from each study named, and why not all, as the header keeps it.
    """

    heirs: tuple[Heir, ...] = ()
    first: tuple[Match, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()

    def header(self, request: Request) -> dict[str, Any]:
        """What the new study's header keeps of it; nothing where nothing was asked for."""
        if not self.sources:
            return {}
        values = request.space.values
        return {
            "sources": [dict(source) for source in self.sources],
            "origins": {str(heir.record.number): heir.record.origin for heir in self.heirs},
            TAKEN_OVER: sum(
                spent_on_repeats(heir.record, own=request.space.proxy.seeds) for heir in self.heirs
            ),
            "start": [
                {"choices": values(match.choices), "spec": match.spec.to_document()}
                for match in self.first
            ],
        }


def inherit(
    earlier: Sequence[Earlier], *, request: Request, header: Mapping[str, Any], timer: Timer
) -> Inheritance:
    """What of earlier studies counts as done in a new one, and what is tried first there.

    Args:
        earlier: The studies; of a candidate that several have, the first that counts is taken.
        request: The new search.
        header: Of the new study.
        timer: Gives latencies by digest, under the conditions of the new study.
    """
    standings = [_standing(found, request=request, header=header) for found in earlier]
    sorted_out: dict[Use, list[tuple[int, Match]]] = {"done": [], "untimed": [], "prior": []}
    for place, found in enumerate(earlier):
        for match in found.matches:
            use = _use(match, standings[place], rule=found.study.rule, request=request)
            sorted_out.setdefault(use, []).append((place, match))
    seen: set[str] = set()
    done, untimed, prior = (_new(sorted_out[use], seen) for use in ("done", "untimed", "prior"))
    latencies = timer([match for _, match in untimed]) if untimed else {}
    usable = [(p, m) for p, m in untimed if _has_value(latencies.get(m.spec.digest))]
    heirs = tuple(
        _heir(
            match,
            number=number,
            source=place,
            study=earlier[place].study.name,
            latency=latencies.get(match.spec.digest),
            request=request,
        )
        for number, (place, match) in enumerate([*done, *usable])
    )
    first = start(
        [[match for at, match in prior if at == place] for place in range(len(earlier))],
        objectives=header["objectives"],
        left=request.trials - len(heirs),
    )
    used = [(heir.source, heir) for heir in heirs]
    sources = [
        _source(
            found,
            standing=standings[place],
            heirs=[heir for at, heir in used if at == place],
            prior=sum(at == place for at, _ in prior),
        )
        for place, found in enumerate(earlier)
    ]
    return Inheritance(heirs=heirs, first=tuple(first), sources=tuple(sources))


def _standing(found: Earlier, *, request: Request, header: Mapping[str, Any]) -> Standing:
    before = found.study.header
    return Standing(
        accuracy=tuple(accuracy_differences(before, header)),
        latency=tuple(latency_differences(before, header)) if request.wants_latency else (),
        rule=tuple(rule_differences(before, header)),
    )


def _use(match: Match, standing: Standing, *, rule: FrontRule, request: Request) -> Use:
    record = match.record
    is_timed = not request.wants_latency or (not standing.latency and _has_value(record.latency))
    if match.is_same and not standing.accuracy:
        if record.state == "complete":
            return "done" if is_timed else "untimed"
        if record.state == "pruned" and is_timed and not standing.rule:
            return "done"
    if match.is_same and record.state == "over_limit" and is_timed:
        return "done" if over_limit(record.latency, limit_ms=_limit(request)) else "left"
    return "prior" if record.state == "complete" and rule.beats_chance(record) else "left"


def _new(found: Sequence[tuple[int, Match]], seen: set[str]) -> list[tuple[int, Match]]:
    """Those whose network was not seen before, each once."""
    fresh = []
    for place, match in found:
        if match.spec.digest not in seen:
            seen.add(match.spec.digest)
            fresh.append((place, match))
    return fresh


def _heir(
    match: Match,
    *,
    number: int,
    source: int,
    study: str,
    latency: Measurement | None,
    request: Request,
) -> Heir:
    old = match.record
    counting = latency or (old.latency if request.wants_latency else None)
    reason = over_limit(counting, limit_ms=_limit(request))
    taken = match.taken if request.wants_latency else ()
    if latency is not None:
        taken = (Taken(trial=number, reference=None, kind="search", measurement=latency),)
    record = replace(
        old,
        number=number,
        state="over_limit" if reason else old.state,
        reason=reason or old.reason,
        choices=request.space.values(match.choices),
        spec=match.spec.to_document(),
        latency=counting,
        origin=f"{study}:{old.number}",
    )
    return Heir(
        match=match,
        source=source,
        record=record,
        taken=taken,
        is_timed=latency is not None,
    )


def _source(
    found: Earlier, *, standing: Standing, heirs: Sequence[Heir], prior: int
) -> dict[str, Any]:
    num_trials = len(found.study.trials())
    differs = [*standing.accuracy, *standing.latency]
    return {
        "study": found.study.name,
        "path": str(found.study.path.resolve()),
        "trials": num_trials,
        "taken": len(heirs),
        "timed": sum(heir.is_timed for heir in heirs),
        "otherwise": list(standing.latency),
        "prior": prior,
        "differs": differs,
        "strangers": found.strangers,
        "left": num_trials - len(heirs) - prior - found.strangers,
    }


def _limit(request: Request) -> float | None:
    return request.space.limits.get("latency_ms")


def _has_value(latency: Measurement | None) -> bool:
    return latency is not None and latency.value is not None
