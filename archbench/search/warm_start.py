"""What does a new study take from earlier ones: trials that count as done, and where to start.

A trial counts as done where network and conditions are the same. Where only the latency was taken
otherwise, its accuracy counts and it is timed here. All else is a prior: it chooses the first
candidates, and no number of it enters the study.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from archbench.analysis.front import Direction, pareto_front
from archbench.analysis.verdict import source_in_words
from archbench.search.context import StudyContext
from archbench.search.earlier import Earlier, Match
from archbench.search.jobs import over_limit, time_alone
from archbench.search.same_conditions import Differences, differences
from archbench.search.settings import Settings
from archbench.space import Choices, SearchSpace, choices_for
from archbench.study.measurement import Measurement
from archbench.study.objective import costs, objective_value
from archbench.study.trial import Taken, TrialRecord

LARGEST = 20
"""As many as a start stratified by cost was seen to need, see ``benchmarks/samplers``."""

_SHARE = 3  # at most one in so many of the trials to come
_LAYERS = 3
_SECONDS_EACH = 120.0

Use = Literal["done", "untimed", "prior", "left"]


@dataclass(frozen=True, kw_only=True)
class InheritedTrial:
    """A trial that the new study takes over.

    Attributes:
        match: What it was and is.
        record: As it enters, under its new number.
        taken: The measurements that enter with it.
        is_timed: Whether its latency was taken anew.
    """

    match: Match
    record: TrialRecord
    taken: tuple[Taken, ...]
    is_timed: bool


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """All that a new study takes over.

    Attributes:
        inherited: In the order of their new numbers.
        first: Candidates seen under other conditions that are to be tried first.
        sources: What was taken from each study named, and why not all, as the header keeps it.
    """

    inherited: tuple[InheritedTrial, ...] = ()
    first: tuple[Match, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()

    def in_words(self) -> tuple[str, ...]:
        """What is taken from each earlier study, a sentence each."""
        return tuple(source_in_words(source) for source in self.sources)


def warm_start(context: StudyContext, earlier: Sequence[Earlier], *, dry_run: bool) -> WarmStart:
    """What a new study takes from earlier ones; latencies are taken here where they must be.

    Args:
        context: Of the new study, which is prepared.
        earlier: The studies.
        dry_run: Whether to time nothing; what would be timed is then told, and not taken.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop.
    """

    def timer(matches: Sequence[Match]) -> Mapping[str, Measurement]:
        number = len(matches)
        what = f"{number} earlier candidate{'s' if number > 1 else ''}, trained but not timed here"
        if dry_run:
            context.say(f"{what}, would be timed first")
            return {}
        found: dict[str, Measurement] = {}
        for done, match in enumerate(matches):
            context.say(f"timing {what}: {done + 1} of {number}")
            assert context.target is not None, "only a study with latencies times"
            spec = match.spec.to_document()
            function = partial(time_alone, spec=spec, target=context.target)
            found[match.spec.digest] = context.call(function, timeout_s=_SECONDS_EACH)
        return found

    settings = context.settings
    found = inherit(earlier, settings=settings, header=context.header, timer=timer)
    if len(found.inherited) >= settings.search.trials:
        told = f"all {settings.search.trials} trials are there already and none will be trained"
        context.warn(f"{told}: ask for more with --trials")
    return found


def inherit(
    earlier: Sequence[Earlier],
    *,
    settings: Settings,
    header: Mapping[str, Any],
    timer: Callable[[Sequence[Match]], Mapping[str, Measurement]],
) -> WarmStart:
    """What of earlier studies counts as done in a new one, and what is tried first there.

    Args:
        earlier: The studies; of a candidate that several have, the first that counts is taken.
        settings: Of the new search.
        header: Of the new study.
        timer: Gives latencies by digest, under the conditions of the new study.
    """
    by_use: dict[Use, list[Match]] = {"done": [], "untimed": [], "prior": [], "left": []}
    differing = [differences(found.study.header, header) for found in earlier]
    for found, differs in zip(earlier, differing, strict=True):
        for match in found.matches:
            by_use[_use(match, differs, settings=settings)].append(match)
    seen: set[str] = set()
    done, untimed, prior = (_unseen(by_use[use], seen) for use in ("done", "untimed", "prior"))
    latencies = timer(untimed) if untimed else {}
    timed = [match for match in untimed if _has_value(latencies.get(match.spec.digest))]
    inherited = tuple(
        _inherited(
            match, number=number, latency=latencies.get(match.spec.digest), settings=settings
        )
        for number, match in enumerate([*done, *timed])
    )
    priors = [[match for match in prior if match.study is found.study] for found in earlier]
    left = settings.search.trials - len(inherited)
    return WarmStart(
        inherited=inherited,
        first=tuple(start(priors, objectives=header["objectives"], left=left)),
        sources=tuple(
            _source(found, differs, inherited=inherited, prior=len(theirs))
            for found, differs, theirs in zip(earlier, differing, priors, strict=True)
        ),
    )


def start(
    prior: Sequence[Sequence[Match]], *, objectives: Mapping[str, Direction], left: int
) -> list[Match]:
    """The members of the earlier fronts, then what was next to them, of all costs.

    Only the order of the numbers within one study counts, so they need not be comparable. Each
    study is peeled into fronts, of which the first three serve; of one that does not fit whole,
    members evenly spaced by cost are taken. At most 20, and a third of the trials to come.

    Args:
        prior: The candidates of each earlier study, none of them twice.
        objectives: ``max`` or ``min`` by name, those of the new study.
        left: Trials to come.
    """
    room = min(LARGEST, left // _SHARE)
    peeled = [_layers(matches, objectives=objectives) for matches in prior]
    found: list[Match] = []
    for depth in range(_LAYERS):
        layer = [match for layers in peeled if depth < len(layers) for match in layers[depth]]
        found += _spread(layer, room=room - len(found))
    return found


def first_choices(space: SearchSpace, header: Mapping[str, Any]) -> list[Choices]:
    """The candidates that a study tries before any of its sampler's."""
    from archbench.models import as_spec

    found = (
        choices_for(space, as_spec(entry["spec"]), known=entry["choices"])
        for entry in header.get("start", ())
    )
    return [choices for choices in found if choices is not None]


def _use(match: Match, differing: Differences, *, settings: Settings) -> Use:
    record = match.record
    is_timed = not settings.wants_latency or (not differing.latency and _has_value(record.latency))
    if match.is_same and not differing.accuracy:
        if record.state == "complete":
            return "done" if is_timed else "untimed"
        if record.state == "pruned" and is_timed and not differing.rule:
            return "done"
    if match.is_same and record.state == "over_limit" and is_timed:
        is_over = over_limit(record.latency, limit_ms=settings.latency_limit_ms)
        return "done" if is_over else "left"
    is_prior = record.state == "complete" and match.study.rule.beats_chance(record)
    return "prior" if is_prior else "left"


def _unseen(found: Sequence[Match], seen: set[str]) -> list[Match]:
    """Those whose network was not seen before, each once."""
    fresh = []
    for match in found:
        if match.spec.digest not in seen:
            seen.add(match.spec.digest)
            fresh.append(match)
    return fresh


def _inherited(
    match: Match, *, number: int, latency: Measurement | None, settings: Settings
) -> InheritedTrial:
    old = match.record
    counting = latency or (old.latency if settings.wants_latency else None)
    reason = over_limit(counting, limit_ms=settings.latency_limit_ms)
    taken = match.taken if settings.wants_latency else ()
    if latency is not None:
        taken = (Taken(trial=number, reference=None, kind="search", measurement=latency),)
    record = replace(
        old,
        number=number,
        state="over_limit" if reason else old.state,
        reason=reason or old.reason,
        choices=settings.space.values(match.choices),
        spec=match.spec.to_document(),
        latency=counting,
        origin=f"{match.study.name}:{old.number}",
    )
    return InheritedTrial(match=match, record=record, taken=taken, is_timed=latency is not None)


def _source(
    found: Earlier, differing: Differences, *, inherited: Sequence[InheritedTrial], prior: int
) -> dict[str, Any]:
    trials = [trial for trial in inherited if trial.match.study is found.study]
    num_trials = len(found.study.trials())
    return {
        "study": found.study.name,
        "path": str(found.study.path.resolve()),
        "trials": num_trials,
        "taken": len(trials),
        "timed": sum(trial.is_timed for trial in trials),
        "otherwise": list(differing.latency),
        "prior": prior,
        "differs": [*differing.accuracy, *differing.latency],
        "strangers": found.num_outside,
        "left": num_trials - len(trials) - prior - found.num_outside,
    }


def _has_value(latency: Measurement | None) -> bool:
    return latency is not None and latency.value is not None


def _layers(matches: Sequence[Match], *, objectives: Mapping[str, Direction]) -> list[list[Match]]:
    records = [match.record for match in matches]
    names = [_in_place_of(name, records) for name in objectives]
    left = [m for m in matches if all(objective_value(m.record, n) is not None for n in names)]
    layers: list[list[Match]] = []
    while left and len(layers) < _LAYERS:
        points = [tuple(objective_value(m.record, n) or 0.0 for n in names) for m in left]
        members = set(pareto_front(points, list(objectives.values())))
        layers.append([match for place, match in enumerate(left) if place in members])
        left = [match for place, match in enumerate(left) if place not in members]
    return layers


def _in_place_of(name: str, records: Sequence[TrialRecord]) -> str:
    """The objective itself; the MACs for a latency that the study has not measured."""
    has_all = all(objective_value(record, name) is not None for record in records)
    return name if has_all or name not in costs("latency") else "macs"


def _spread(layer: Sequence[Match], *, room: int) -> list[Match]:
    """At most so many, evenly spaced by MACs."""
    ordered = sorted(layer, key=lambda match: (match.record.macs, match.spec.digest))
    if len(ordered) <= room:
        return ordered
    places = {round((len(ordered) - 1) * step / max(1, room - 1)) for step in range(room)}
    return [ordered[place] for place in sorted(places)]
