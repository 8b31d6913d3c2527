"""How are networks timed in turn, so that all of them see the same machine?"""

import math
import random
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from archbench.errors import NETWORK_FAULTS, fault_text
from archbench.measure.backend import Runnable
from archbench.measure.latency import estimate
from archbench.measure.latency.clock import Bench, Forward, Timing, expected_leads
from archbench.measure.latency.estimate import Ratio
from archbench.study.measurement import Verdict

WANTED_HALF_WIDTH = 0.01
LOOKS = (34, 45, 59, 77, 101, 132, 172, 224, 292, 380, 400)
"""After how many passes it is asked whether the interval is narrow, a third more each time."""

PLACEMENT_ROUNDS = 20
"""How many rounds networks that are compared stay where they lie in memory, at most."""
PLACEMENT_LOOKS = (10, 20, 40)
"""After how many places it is asked whether the interval is narrow; the last ends it."""
CALIBRATOR_ROUNDS = 10
"""How many rounds calibrators stay where they lie: what that costs is in all that is measured."""

_WANTED_PLACEMENTS = 12  # where time is short
_LEAST_PLACEMENT_ROUNDS = 2
_SHORTEST_ROUND_S = 1e-6
_LEAST_WARM_UP, _MOST_WARM_UP = 8, 30
_AGREEING, _AGREEMENT = 5, 0.03
_PLACEMENT_WARM_UP = 2
_BEST_FIRST: tuple[Verdict, ...] = ("stable", "disturbed", "incomplete")


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """What the passes before the measurement showed; they settled where the last five agreed.

    The seconds are those of the fastest of these; ``round_s`` is what a timed pass takes with those
    that lead it, by the mean of all.
    """

    forwards: int
    seconds: float
    round_s: float
    settled: bool


def warm_up(forward: Forward, *, bench: Bench, until: float) -> WarmUp:
    """Runs until five passes in a row agree within 3 %, at least 8 and at most 30 times.

    It stops when the bench's ``now`` is ``until``, but makes two passes in any case.
    """
    taken: list[float] = []
    settled = False
    while not settled and len(taken) < _MOST_WARM_UP:
        if len(taken) >= 2 and bench.now() >= until:
            break
        taken.append(bench.seconds(bench.watch(forward)))
        last = taken[-_AGREEING:]
        settled = len(taken) >= _LEAST_WARM_UP and max(last) <= min(last) * (1 + _AGREEMENT)
    seconds = max(min(taken), _SHORTEST_ROUND_S)
    return WarmUp(
        forwards=len(taken),
        seconds=min(taken[-_AGREEING:]),
        round_s=statistics.fmean(taken) * (1 + expected_leads(seconds)),
        settled=settled,
    )


@dataclass(kw_only=True, eq=False)
class Placed:
    """A network that is timed where it lies in memory, and then in copies that lie elsewhere.

    A pass takes about ``pass_s``, 0 where that is not known.
    """

    network: Runnable
    pass_s: float = 0.0

    def __post_init__(self) -> None:
        self.forward: Forward = self.network.run

    def relocate(self, draw: random.Random) -> None:
        """Goes on with a warm copy in another place, unless the backend cannot make one."""
        if self.network.relocated is not None:
            self.forward = self.network.relocated(draw)
            for _ in range(_PLACEMENT_WARM_UP):
                self.forward()


def relocate(networks: Collection[Placed], *, draw: random.Random) -> None:
    """Moves networks elsewhere in memory, one after another in an order that is drawn.

    The first of them finds another memory than the last: in a fixed order six copies of one
    network differed by 1 % between first and last, however often they were placed anew.
    """
    for network in draw.sample(list(networks), len(networks)):
        network.relocate(draw)


@dataclass(kw_only=True, eq=False)
class Attempt(Placed):
    """One attempt at timing a candidate in turn with its calibrator, and what came of it.

    Its references are the calibrators by name, with their weights. Its timings and the weighted
    means of the calibrators' are of the same rounds. A candidate that raised has a
    fault and takes no further part. ``found`` is the ratio to the calibrator over all rounds, None
    without a value; the drift is the calibrator's, ``off_cpu`` the share of the time without a
    core, None on a GPU. After so many placement rounds it is placed anew, never for 0.
    """

    references: Mapping[str, float]
    timings: list[Timing] = field(default_factory=list)
    calibration: list[Timing] = field(default_factory=list)
    fault: str = ""
    is_done: bool = False
    wanted_half_width: float = WANTED_HALF_WIDTH
    placement_rounds: int = 0
    found: Ratio | None = None
    verdict: Verdict = "incomplete"
    reason: str = ""
    drift: float = 0.0
    off_cpu: float | None = None
    note: str = ""

    @property
    def has_value(self) -> bool:
        """Whether there are enough passes for an estimate."""
        return len(self.timings) >= estimate.NEEDED_FORWARDS

    @property
    def rank(self) -> tuple[int, float]:
        """Lower for a better verdict, and of equal ones for a narrower interval."""
        width = self.found.half_width if self.found else math.inf
        return _BEST_FIRST.index(self.verdict), width

    def ratio(self, *, bench: Bench) -> Ratio:
        """The ratio to the calibrator over all rounds so far."""
        return estimate.ratio(
            [bench.seconds(timing) for timing in self.timings],
            [bench.seconds(timing) for timing in self.calibration],
            placement_rounds=self.placement_rounds,
        )

    def relocate(self, draw: random.Random) -> None:
        """Goes on elsewhere; one that cannot be copied stays, and its record says so."""
        try:
            super().relocate(draw)
        except NETWORK_FAULTS:
            self.placement_rounds = 0

    def add_round(self, calibration: Timing, *, bench: Bench) -> None:
        """Adds a round; done when the interval is narrow enough or there are enough passes."""
        try:
            timing = bench.repeated(self.forward, pass_s=self.pass_s)
        except NETWORK_FAULTS as error:
            self.fault, self.is_done = fault_text(error), True
            return
        self.timings.append(timing)
        self.calibration.append(calibration)
        number, stops = len(self.timings), looks(self.placement_rounds)
        if number in stops:
            self.is_done = self.ratio(bench=bench).half_width <= self.wanted_half_width
        self.is_done = self.is_done or number >= stops[-1]

    def judge(self, *, bench: Bench, throttled: int, others: str) -> None:
        """Keeps ratio, verdict and reason of a finished attempt."""
        number, self.reason, fitted = len(self.timings), self.fault, "fitted into the budget"
        if not self.reason and not self.has_value:
            needed = estimate.NEEDED_FORWARDS
            self.reason = f"only {number} of {needed} needed forward passes {fitted}"
        ratio = None if self.reason else self.ratio(bench=bench)
        if ratio is None or not ratio.value:
            self.reason = self.reason or "it takes less time than the clock can tell"
            return
        self.found = ratio
        self.off_cpu = bench.off_cpu([*self.timings, *self.calibration])
        self.drift = drift = estimate.drift([bench.seconds(one) for one in self.calibration])
        wanted, width = estimate.WANTED_FORWARDS, ratio.half_width
        is_drifting, is_wide = drift > estimate.DRIFT_LIMIT, width > estimate.WIDTH_LIMIT
        reasons = (
            f"only {number} of {wanted} wanted forward passes {fitted}" if number < wanted else "",
            estimate.core_disturbance(self.off_cpu),
            f"the calibration network drifted by {drift:.0%} meanwhile" if is_drifting else "",
            f"cores were slowed down for heat {throttled} times meanwhile" if throttled else "",
            others,
            f"the interval is as wide as ±{width:.0%}" if is_wide else "",
        )
        self.reason = "; ".join(filter(None, reasons))
        self.verdict = "disturbed" if self.reason else "stable"


def looks(placement_rounds: int) -> tuple[int, ...]:
    """After how many passes a measurement may stop; only between places, where there are some."""
    if not placement_rounds:
        return LOOKS
    return tuple(number * placement_rounds for number in PLACEMENT_LOOKS)


def placement_rounds(*, seconds: float, round_s: float) -> int:
    """How many rounds networks stay in one place, so that a dozen places fit into the seconds left.

    One takes ``round_s``. 0 where too few fit to place anything anew.
    """
    fitting = int(min(seconds / max(round_s, _SHORTEST_ROUND_S), LOOKS[-1]))
    rounds = min(PLACEMENT_ROUNDS, fitting // _WANTED_PLACEMENTS)
    return rounds if rounds >= _LEAST_PLACEMENT_ROUNDS else 0


def rotated_orders(number: int, *, draw: random.Random) -> Iterator[list[int]]:
    """Orders of so many networks: drawn, then turned until each has been in each place.

    What ran before leaves the caches in its state: in a fixed order the first of five copies of
    one network of 0.5 ms seemed 13 % slower than the last. In orders drawn each time, some were
    first by chance in 45 and some in 75 of 400 rounds, and the first of seven took 7 % more.
    """
    order = list(range(number))
    while True:
        draw.shuffle(order)
        for place in range(number):
            yield [*order[place:], *order[:place]]


def run_rounds(
    attempts: Sequence[Attempt],
    calibrators: Mapping[str, Placed],
    *,
    bench: Bench,
    until: float,
    at_last: float,
    together: bool,
) -> None:
    """Times calibrators and candidates in turn until every candidate is done.

    In each round each calibrator in use runs once, then each candidate, in the order of
    `rotated_orders`. Every so many rounds all of them are relocated in memory.

    Timings are added to the attempts. It stops when the bench's ``now`` is ``until``, unless
    somebody still lacks the passes that it takes to have a value at all, and ``at_last`` in any
    case. ``together`` has those that are done go on until all are, so that every round has a pass
    of each.
    """
    draw, placing, number = random.Random(0), random.Random(0), 0
    orders = rotated_orders(len(attempts), draw=draw)
    while not all(entry.is_done for entry in attempts):
        going = [entry for entry in attempts if not entry.is_done]
        able = [entry for entry in attempts if not entry.fault]
        waiting = able if together else going
        order = [attempts[i] for i in next(orders) if attempts[i] in waiting]
        names = list(dict.fromkeys(name for attempt in waiting for name in attempt.references))
        taken = {}
        for name in draw.sample(names, len(names)):
            reference = calibrators[name]
            taken[name] = bench.repeated(reference.forward, pass_s=reference.pass_s)
        for attempt in order:
            attempt.add_round(_mean_timing(taken, attempt.references), bench=bench)
            now = bench.now()
            if now >= at_last or (now >= until and all(entry.has_value for entry in waiting)):
                return
        number += 1
        most = max(looks(entry.placement_rounds)[-1] for entry in attempts)
        bench.tell("timing, rounds", max(len(entry.timings) for entry in attempts), most)
        movable = [entry for entry in attempts if entry.placement_rounds and not entry.fault]
        stay = max((entry.placement_rounds for entry in movable), default=CALIBRATOR_ROUNDS)
        if number % stay == 0 and not all(entry.is_done for entry in attempts):
            relocate(calibrators.values(), draw=placing)
            relocate(movable, draw=placing)


def _mean_timing(taken: Mapping[str, Timing], weights: Mapping[str, float]) -> Timing:
    """The weighted mean of the timings of one round: geometric, but for the delays."""
    walls, cpus = (
        {name: getattr(taken[name], clock) for name in weights} for clock in ("wall", "cpu")
    )
    return Timing(
        wall=estimate.weighted_mean(walls, weights),
        cpu=estimate.weighted_mean(cpus, weights),
        delay=sum(weight * taken[name].delay for name, weight in weights.items()),
    )
