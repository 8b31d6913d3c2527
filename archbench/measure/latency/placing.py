"""Who comes to lie elsewhere in memory between the rounds of a measurement?"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from archbench.measure.backend import Prepared
from archbench.measure.latency.clock import Forward
from archbench.measure.latency.rounds import NETWORK_FAULTS, Pair

CALIBRATOR_ROUNDS = 10
"""How many rounds calibrators stay where they lie: theirs is the luck of all that is measured."""

_WARM_UP = 2


def place_anew(
    networks: Mapping[str, Prepared], *, forwards: dict[str, Forward], draw: random.Random
) -> None:
    """Puts a pass of each network from another place in memory, warmed up, in place of the old.

    One after another in an order that is drawn, as the first of them finds another memory than the
    last: in a fixed order six copies of one network differed by 1 % between first and last, however
    often they were placed anew.

    Args:
        networks: By name; those whose backend cannot place them anew stay.
        forwards: Their passes by name, which are replaced.
        draw: Decides on order and places.
    """
    for name in draw.sample(list(networks), len(networks)):
        anew = networks[name].anew
        if anew is None:
            continue
        forwards[name] = anew(draw)
        for _ in range(_WARM_UP):
            forwards[name]()


@dataclass(kw_only=True)
class Placing:
    """Places candidates and calibrators anew whenever it is time.

    Attributes:
        pairs: The candidates; those with ``placement_rounds`` take part.
        prepared: Theirs, by the names of the pairs.
        sources: Calibrators as they were prepared.
        calibrators: The calibrators' passes, which are replaced.
        draw: Decides on order and places.
    """

    pairs: Mapping[str, Pair]
    prepared: Mapping[str, Prepared]
    sources: Mapping[str, Prepared]
    calibrators: dict[str, Forward]
    draw: random.Random = field(default_factory=lambda: random.Random(0))
    _rounds: int = 0

    def after_round(self) -> None:
        """Counts a round, and places anew whose time it is."""
        self._rounds += 1
        able = [pair for pair in self.pairs.values() if pair.placement_rounds and not pair.fault]
        stay = max((pair.placement_rounds for pair in able), default=CALIBRATOR_ROUNDS)
        if self._rounds % stay or all(pair.is_done for pair in self.pairs.values()):
            return
        place_anew(self.sources, forwards=self.calibrators, draw=self.draw)
        for pair in self.draw.sample(able, len(able)):
            self._place(pair)

    def _place(self, pair: Pair) -> None:
        alone, forwards = {pair.name: self.prepared[pair.name]}, {pair.name: pair.forward}
        try:
            place_anew(alone, forwards=forwards, draw=self.draw)
        except NETWORK_FAULTS:  # it cannot be copied, so it stays, and its record says so
            pair.placement_rounds = 0
        pair.forward = forwards[pair.name]
