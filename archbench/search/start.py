"""Which candidates come first, where they were seen under other conditions?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archbench.analysis.front import Direction, pareto_front
from archbench.search.earlier import Match
from archbench.study.objective import costs, objective_value
from archbench.study.trial import TrialRecord

LARGEST = 20
"""As many as a start stratified by cost was seen to need, see ``benchmarks/samplers.py``."""

_SHARE = 3  # at most one in so many of the trials to come
_LAYERS = 3


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


def _layers(matches: Sequence[Match], *, objectives: Mapping[str, Direction]) -> list[list[Match]]:
    names = [_standing_for(name, [match.record for match in matches]) for name in objectives]
    left = [m for m in matches if all(objective_value(m.record, n) is not None for n in names)]
    layers: list[list[Match]] = []
    while left and len(layers) < _LAYERS:
        points = [tuple(objective_value(m.record, n) or 0.0 for n in names) for m in left]
        members = set(pareto_front(points, list(objectives.values())))
        layers.append([match for place, match in enumerate(left) if place in members])
        left = [match for place, match in enumerate(left) if place not in members]
    return layers


def _standing_for(name: str, records: Sequence[TrialRecord]) -> str:
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
