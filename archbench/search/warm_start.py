"""What does a new study take from earlier ones: trials that count as done, and where to start.

A trial counts as done where network and conditions are the same. Where only the latency was taken
otherwise, its accuracy counts and it is timed here. All else is a prior: it chooses the first
candidates, and no number of it enters the study.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from archbench.analysis.front import Direction, pareto_front
from archbench.evaluate.block_table import keep_stored
from archbench.models import as_spec
from archbench.search.confirmation import REPEATS_TAKEN_OVER, spent_on_repeats
from archbench.search.context import StudyContext
from archbench.search.earlier import Match, Part, differences
from archbench.search.inheritance import ancestor_entries
from archbench.search.jobs import over_limit, time_each
from archbench.search.optuna_view import Ledger
from archbench.search.settings import Settings
from archbench.search.suggestion import encoded
from archbench.space import Choices, SearchSpace, choices_for
from archbench.study import study_folder as owner
from archbench.study.measurement import Measurement
from archbench.study.objective import OBJECTIVES, costs, objective_value
from archbench.study.trial import Taken, precision_of

_LARGEST = 20  # a start stratified by cost was seen to need as many, see benchmarks/samplers
_SHARE = 3  # at most one in so many of the trials to come
_LAYERS = 3
_SECONDS_EACH = 120.0

Use = Literal["done", "untimed", "prior", "left"]


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """All that a new study takes over, and candidates of other conditions to be tried first."""

    inherited: tuple[Match, ...] = ()  # with the records to enter, under their new numbers
    first: tuple[Match, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()  # of the header: what was taken, why not all

    @property
    def designs(self) -> list[Match]:
        """What is inherited, each design once, also where it is there in int8, too."""
        return [match for match in self.inherited if match.record.design is None]


def warm_start(
    context: StudyContext, earlier: Sequence[Sequence[Match]], *, dry_run: bool
) -> WarmStart:
    """What a new study takes from earlier ones; latencies are taken here where they must be.

    In a dry run nothing is timed: what would be is told, and not taken.

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
            specs = {match.spec.digest: match.spec.to_document()}
            function = partial(time_each, specs=specs, target=context.target)
            found |= context.call(function, timeout_s=_SECONDS_EACH, place="target")
        return found

    settings = context.settings
    found = inherit(earlier, settings=settings, header=context.header, timer=timer)
    if len(found.designs) >= settings.search.trials:
        told = f"all {settings.search.trials} trials are there already and none will be trained"
        context.warn(f"{told}: ask for more with --trials")
    return found


def inherit(
    earlier: Sequence[Sequence[Match]],
    *,
    settings: Settings,
    header: Mapping[str, Any],
    timer: Callable[[Sequence[Match]], Mapping[str, Measurement]],
) -> WarmStart:
    """What of earlier studies counts as done in a new one, and what is tried first there.

    Of a candidate that several have, the first that counts is taken. The timer gives latencies by
    digest, under the conditions of the new study.
    """
    by_use: dict[Use, list[Match]] = {"done": [], "untimed": [], "prior": [], "left": []}
    studies = [matches[0].study for matches in earlier]
    differing = [differences(study.header, header) for study in studies]
    for matches, differs in zip(earlier, differing, strict=True):
        for match in matches:
            by_use[_use(match, differs, settings=settings)].append(match)
    fresh: dict[tuple[str, bool], Match] = {}
    for match in [*by_use["done"], *by_use["untimed"], *by_use["prior"]]:
        fresh.setdefault(_key(match), match)
    done, untimed, prior = (
        [match for match in by_use[use] if fresh[_key(match)] is match]
        for use in ("done", "untimed", "prior")
    )
    latencies = timer(untimed) if untimed else {}
    had = {digest: latency for digest, latency in latencies.items() if latency.value is not None}
    timed = [match for match in untimed if match.spec.digest in had]
    known = {match.spec.digest for match in (*done, *timed) if match.record.design is None}
    taken = [match for match in (*done, *timed) if match.spec.digest in known]
    numbers = {_key(match): number for number, match in enumerate(taken)}
    inherited = tuple(
        _inherited(
            match,
            number=number,
            design=numbers[match.spec.digest, False] if match.record.design is not None else None,
            latency=had.get(match.spec.digest),
            settings=settings,
        )
        for number, match in enumerate(taken)
    )
    priors = [[match for match in prior if match.study is study] for study in studies]
    left = settings.search.trials - len([one for one in inherited if one.record.design is None])
    return WarmStart(
        inherited=inherited,
        first=tuple(start(priors, objectives=header["objectives"], left=left)),
        sources=tuple(
            _source(matches, differs, inherited=inherited, timed=timed, prior=len(theirs))
            for matches, differs, theirs in zip(earlier, differing, priors, strict=True)
        ),
    )


def start(
    prior: Sequence[Sequence[Match]], *, objectives: Mapping[str, Direction], left: int
) -> list[Match]:
    """The members of the earlier fronts, then what was next to them, of all costs.

    Only the order of the numbers within one study counts, so they need not be comparable. Each
    study is peeled into fronts, of which the first three serve; of one that does not fit whole,
    members evenly spaced by cost are taken. At most 20, and a third of the trials to come. No
    candidate of an earlier study is another's, too.
    """
    room = min(_LARGEST, left // _SHARE)
    peeled = [_layers(matches, objectives=objectives) for matches in prior]
    found: list[Match] = []
    for depth in range(_LAYERS):
        layer = [match for layers in peeled if depth < len(layers) for match in layers[depth]]
        found += _spread(layer, room=room - len(found))
    return found


def first_choices(space: SearchSpace, header: Mapping[str, Any]) -> list[Choices]:
    """The candidates that a study tries before any of its sampler's."""
    found = (
        choices_for(space, as_spec(entry["spec"]), known=entry["choices"])
        for entry in header.get("start", ())
    )
    return [choices for choices in found if choices is not None]


def _key(match: Match) -> tuple[str, bool]:
    """What a study has once: a design, and that design in int8 beside it."""
    return match.spec.digest, match.record.design is not None


def _use(match: Match, differing: Mapping[Part, Sequence[str]], *, settings: Settings) -> Use:
    record = match.record
    limits = settings.timed_limits
    has_all = all(OBJECTIVES[name].value(record) is not None for name in limits)
    is_timed = not limits or (not differing["latency"] and has_all)
    has_both = len(settings.space.target.precisions) > 1
    if match.is_same and not differing["accuracy"]:
        if record.state == "complete" and (is_timed or not has_both):
            return "done" if is_timed else "untimed"
        if record.state == "pruned" and is_timed and not differing["rule"]:
            return "done"
    if match.is_same and record.state == "over_limit" and is_timed:
        is_over = over_limit(record.latency, limits=limits)
        return "done" if is_over else "left"
    is_prior = record.state == "complete" and match.study.rule.beats_chance(record)
    if record.design is not None:
        return "left"  # the design itself says as much
    return "prior" if is_prior else "left"


def _inherited(
    match: Match,
    *,
    number: int,
    design: int | None,
    latency: Measurement | None,
    settings: Settings,
) -> Match:
    """A trial as it enters the new study; with a latency where that was taken anew."""
    old = match.record
    counting = latency or (old.latency if settings.timed_limits else None)
    reason = over_limit(counting, limits=settings.timed_limits)
    taken = match.taken if settings.timed_limits else ()
    if latency is not None:
        taken = (Taken(trial=number, reference=None, kind="search", measurement=latency),)
    record = replace(
        old,
        number=number,
        state="over_limit" if reason else old.state,
        reason=reason or old.reason,
        design=design,
        choices={**settings.space.values(match.choices), **precision_of(old)},
        spec=match.spec.to_document(),
        latency=counting,
        origin=f"{match.study.name}:{old.number}",
    )
    return replace(match, record=record, taken=taken)


def _source(
    matches: Sequence[Match],
    differing: Mapping[Part, Sequence[str]],
    *,
    inherited: Sequence[Match],
    timed: Sequence[Match],
    prior: int,
) -> dict[str, Any]:
    study = matches[0].study
    num_trials, taken = len(study.trials()), sum(match.study is study for match in inherited)
    return {
        "study": study.name,
        "path": str(study.path.resolve()),
        "trials": num_trials,
        "taken": taken,
        "timed": sum(match.study is study for match in timed),
        "otherwise": list(differing["latency"]),
        "prior": prior,
        "differs": [*differing["accuracy"], *differing["latency"]],
        "strangers": num_trials - len(matches),
        "left": len(matches) - taken - prior,
    }


def _layers(matches: Sequence[Match], *, objectives: Mapping[str, Direction]) -> list[list[Match]]:
    known = {
        n for n in objectives if all(objective_value(m.record, n) is not None for m in matches)
    }
    timed = set(costs("latency")) - known  # the study has not measured it: MACs tell the order
    names = ["macs" if name in timed else name for name in objectives]
    left = [m for m in matches if all(objective_value(m.record, n) is not None for n in names)]
    layers: list[list[Match]] = []
    while left and len(layers) < _LAYERS:
        points = [tuple(objective_value(m.record, n) or 0.0 for n in names) for m in left]
        members = set(pareto_front(points, list(objectives.values())))
        layers.append([match for place, match in enumerate(left) if place in members])
        left = [match for place, match in enumerate(left) if place not in members]
    return layers


def _spread(layer: Sequence[Match], *, room: int) -> list[Match]:
    """At most so many, evenly spaced by MACs."""
    ordered = sorted(layer, key=lambda match: (match.record.macs, match.spec.digest))
    if len(ordered) <= room:
        return ordered
    places = {round((len(ordered) - 1) * step / max(1, room - 1)) for step in range(room)}
    return [ordered[place] for place in sorted(places)]


def create(context: StudyContext, start: WarmStart) -> None:
    """Makes the folder of a new study with all that it takes over, whole or not at all.

    The machine's block table is copied, so that predictions stay as they are. Weights stay in the
    earlier study, where a trial that stands on the front is tested with them.

    Raises:
        StorageError: The folder cannot be written, or is there.
    """
    space, path = context.settings.space, context.settings.path

    def fill(folder: Path) -> None:
        (folder / owner.SPACE).write_text(space.text)
        document = context.environment.document()
        (folder / owner.ENVIRONMENT).write_text(json.dumps(document, indent=2) + "\n")
        if context.target is not None:
            keep_stored(folder / owner.BLOCKS, target=context.target)
        entries = warm_start_entries(context, start)
        header = {**context.header, **entries, **ancestor_entries(context, entries)}
        with Ledger.create(folder / owner.DATABASE, header) as study, study.transaction():
            for trial in start.inherited:
                drawn = encoded(space, trial.choices)
                study.begin(trial.record, taken=trial.taken, drawn=drawn)

    owner.create_folder(path.parent, path.name, fill=fill)


def warm_start_entries(context: StudyContext, start: WarmStart) -> dict[str, Any]:
    """What the new study's header keeps of what it takes over; nothing without a source."""
    if not start.sources:
        return {}
    space = context.settings.space
    records = [trial.record for trial in start.inherited]
    return {
        "sources": [dict(source) for source in start.sources],
        "origins": {str(record.number): record.origin for record in records},
        REPEATS_TAKEN_OVER: sum(
            spent_on_repeats(record, own=space.proxy.seeds) for record in records
        ),
        "start": [
            {"choices": space.values(match.choices), "spec": match.spec.to_document()}
            for match in start.first
        ],
    }
