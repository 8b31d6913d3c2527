"""How are networks timed in turn, so that all of them see the same machine."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from archbench.errors import InexactError, fault_text
from archbench.measure.backend import Prepared, prepared
from archbench.measure.gpu import GpuUse
from archbench.measure.latency.clock import Clock, Forward, Stopwatch, Timing, stopwatch
from archbench.measure.latency.estimate import NEEDED_FORWARDS, Ratio, placed_ratio, ratio
from archbench.measure.latency.reference_networks import Family
from archbench.study.measurement import Conditions

# What a network may raise that is its own fault: a candidate that does is set aside, with the
# reason in its record, and the others go on.
NETWORK_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)

MOST_FORWARDS = 400
WANTED_HALF_WIDTH = 0.01
# A measurement that stops when its interval is narrow stops on lucky draws, too: where it looks
# from 20 passes on, intervals of 95 % held the truth of synthetic runs 88 to 94 times in 100.
LOOK_LEVEL = 0.975
LOOKS = (34, 45, 59, 77, 101, 132, 172, 224, 292, 380, MOST_FORWARDS)
"""After how many passes it is asked whether the interval is narrow, a third more each time."""

PLACEMENT_ROUNDS = 20
"""How many rounds networks that are compared stay where they lie in memory, at most."""
PLACEMENT_LOOKS = (10, 20, 40)
"""After how many places it is asked whether the interval is narrow; the last ends it."""
# With these looks, 10,000 synthetic runs of each kind held the truth in 94 to 96 of 100 intervals.
PLACEMENT_LEVEL = 0.96

_WANTED_PLACEMENTS = 12  # where time is short
_LEAST_PLACEMENT_ROUNDS = 2
_SHORTEST_ROUND_S = 1e-6
_LEAST_WARM_UP = 8
_MOST_WARM_UP = 30
_AGREEING = 5
_AGREEMENT = 0.03


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all networks of a measurement are timed with.

    Attributes:
        clock: Tells when the budget is used up.
        watch: Times one forward pass.
        by_cpu_time: CPU time counts, not wall time.
    """

    clock: Clock
    watch: Stopwatch
    by_cpu_time: bool

    def seconds(self, timing: Timing) -> float:
        """The part of a timing that counts."""
        return timing.cpu if self.by_cpu_time else timing.wall


def bench(conditions: Conditions, *, clock: Clock) -> Bench:
    """One CPU thread is timed by its CPU time, which preemption leaves alone; all else by wall."""
    return Bench(
        clock=clock,
        watch=stopwatch(conditions.device, clock=clock),
        by_cpu_time=conditions.device == "cpu" and conditions.threads == 1,
    )


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """What the passes before the measurement showed.

    Attributes:
        forwards: How many there were.
        seconds: The last of them, fastest of five.
        wall_s: What one took on the wall on average, waiting included.
        settled: Whether the last five agreed.
    """

    forwards: int
    seconds: float
    wall_s: float
    settled: bool


def warm_up(forward: Forward, *, on: Bench, until: float) -> WarmUp:
    """Runs until five passes in a row agree within 3 %, at least 8 and at most 30 times.

    Args:
        forward: One forward pass.
        on: What to time with.
        until: When to stop in any case, on the bench's wall clock; two passes are always made.
    """
    taken: list[float] = []
    began = on.clock.wall()

    def found(*, settled: bool) -> WarmUp:
        number = len(taken)
        return WarmUp(
            forwards=number,
            seconds=min(taken[-_AGREEING:]),
            wall_s=(on.clock.wall() - began) / number,
            settled=settled,
        )

    while len(taken) < _MOST_WARM_UP and (len(taken) < 2 or on.clock.wall() < until):
        taken.append(on.seconds(on.watch(forward)))
        last = taken[-_AGREEING:]
        agree = len(last) == _AGREEING and max(last) <= min(last) * (1 + _AGREEMENT)
        if agree and len(taken) >= _LEAST_WARM_UP:
            return found(settled=True)
    return found(settled=False)


@dataclass(kw_only=True)
class Pair:
    """A candidate that is timed in turn with its calibrator.

    Attributes:
        name: The candidate.
        forward: One forward pass of it.
        calibrator: Name of its calibrator.
        timings: The candidate's passes, in order.
        calibration: The calibrator's pass of the same round.
        fault: What the candidate raised, if it did; then it takes no further part.
        is_done: It takes no further part.
        wanted_half_width: Of the interval, as a share, to be narrow enough.
        placement_rounds: After how many rounds it is placed anew in memory; 0 where it is not.
        throttled: How often a core was slowed down for heat meanwhile.
        gpu: What else happened on the GPU meanwhile.
    """

    name: str
    forward: Forward
    calibrator: str
    timings: list[Timing] = field(default_factory=list)
    calibration: list[Timing] = field(default_factory=list)
    fault: str = ""
    is_done: bool = False
    wanted_half_width: float = WANTED_HALF_WIDTH
    placement_rounds: int = 0
    throttled: int = 0
    gpu: GpuUse = field(default_factory=GpuUse)

    @property
    def has_value(self) -> bool:
        """Whether there are enough passes for an estimate."""
        return len(self.timings) >= NEEDED_FORWARDS

    @property
    def looks(self) -> tuple[int, ...]:
        """After how many passes it is asked whether the interval is narrow; the last is the end."""
        return looks(self.placement_rounds)

    def ratio(self, *, on: Bench) -> Ratio:
        """The ratio of all rounds so far, see `stopped_ratio`."""
        return stopped_ratio(
            [on.seconds(timing) for timing in self.timings],
            [on.seconds(timing) for timing in self.calibration],
            placement_rounds=self.placement_rounds,
        )

    def take(self, calibration: Timing, *, on: Bench) -> None:
        """Adds a round; done when the interval is narrow enough or there are enough passes."""
        try:
            timing = on.watch(self.forward)
        except NETWORK_FAULTS as error:
            self.fault, self.is_done = fault_text(error), True
            return
        self.timings.append(timing)
        self.calibration.append(calibration)
        number = len(self.timings)
        if number in self.looks:
            self.is_done = self.ratio(on=on).half_width <= self.wanted_half_width
        self.is_done = self.is_done or number >= self.looks[-1]


def looks(placement_rounds: int) -> tuple[int, ...]:
    """After how many passes a measurement may stop; only between places, where there are some."""
    if not placement_rounds:
        return LOOKS
    return tuple(number * placement_rounds for number in PLACEMENT_LOOKS)


def placement_rounds(*, seconds: float, round_s: float) -> int:
    """How many rounds networks stay in one place, so that there are a dozen places in the time.

    Args:
        seconds: What is left.
        round_s: What one round takes on the wall.

    Returns:
        0 where the time suffices for too few rounds to place anything anew.
    """
    fitting = int(min(seconds / max(round_s, _SHORTEST_ROUND_S), MOST_FORWARDS))
    rounds = min(PLACEMENT_ROUNDS, fitting // _WANTED_PLACEMENTS)
    return rounds if rounds >= _LEAST_PLACEMENT_ROUNDS else 0


def stopped_ratio(
    candidate: Sequence[float], calibration: Sequence[float], *, placement_rounds: int
) -> Ratio:
    """The ratio of two networks with its 95 % interval, where being narrow ended the run.

    Args:
        candidate: One sample a round.
        calibration: The other's sample of the same rounds.
        placement_rounds: After how many rounds networks were placed anew; 0 where they stayed, or
            there were too few places to tell by: then the interval is that of the rounds alone.
    """
    found = placed_ratio(candidate, calibration, rounds=placement_rounds, level=PLACEMENT_LEVEL)
    return found or ratio(candidate, calibration, level=LOOK_LEVEL)


def run_rounds(
    pairs: Sequence[Pair],
    calibrators: Mapping[str, Forward],
    *,
    on: Bench,
    until: float,
    at_last: float,
    after_round: Callable[[], None],
    together: bool = False,
) -> None:
    """Times calibrators and candidates in turn until every candidate is done.

    In each round each calibrator in use runs once, then the candidates that are compared with it.
    What ran before leaves the caches in its state: in a fixed order the first of five copies of
    one network of 0.5 ms seemed 13 % slower than the last. So the order is drawn, and turned
    until each candidate has been in each place; then it is drawn anew. In orders drawn each time,
    some were first by chance in 45 and some in 75 of 400 rounds, and the first of seven took 7 %
    more.

    Args:
        pairs: The candidates; their timings are added to.
        calibrators: One forward pass of each, by name.
        on: What to time with.
        until: When to stop on the bench's wall clock, unless somebody still lacks the passes that
            it takes to have a value at all.
        at_last: When to stop in any case.
        after_round: Called between rounds, outside all timing.
        together: Whether those that are done go on until all are, so that every round has a pass
            of each.
    """
    order, number, turns = random.Random(0), 0, list(pairs)
    while waiting := _waiting(pairs, together=together):
        place = number % len(turns)
        if place == 0:
            order.shuffle(turns)
        number += 1
        going = {pair.name for pair in waiting}
        names = list(dict.fromkeys(pair.calibrator for pair in waiting))
        for name in order.sample(names, len(names)):
            calibration = on.watch(calibrators[name])
            for pair in [*turns[place:], *turns[:place]]:
                if pair.calibrator != name or pair.name not in going:
                    continue
                pair.take(calibration, on=on)
                now = on.clock.wall()
                if now >= at_last or (now >= until and all(entry.has_value for entry in waiting)):
                    return
        after_round()


def _waiting(pairs: Sequence[Pair], *, together: bool) -> list[Pair]:
    able = [pair for pair in pairs if not pair.fault]
    going = [pair for pair in able if not pair.is_done]
    return able if together and going else going


@dataclass(kw_only=True)
class Candidate:
    """A network that is to be timed.

    Attributes:
        name: Any.
        family: What kind of work it does.
        prepared: The network ready to be run, if it could be made so.
        warm: What its first passes showed.
        fault: Why it takes no part; mostly empty.
        attempts: Its timings, attempt by attempt.
    """

    name: str
    family: Family
    prepared: Prepared | None = None
    warm: WarmUp | None = None
    fault: str = ""
    attempts: list[Pair] = field(default_factory=list)


def ready_candidate(
    name: str, network: nn.Module, *, family: Family, conditions: Conditions
) -> Candidate:
    """The network ready to be run, or with its fault."""
    candidate = Candidate(name=name, family=family)
    with faults_of(candidate):
        candidate.prepared = prepared(network, _example(conditions), conditions=conditions)
    return candidate


@contextmanager
def faults_of(candidate: Candidate) -> Iterator[None]:
    """What is raised within is the candidate's fault, unless the device is lost to this process."""
    try:
        yield
    except torch.AcceleratorError:
        raise
    except InexactError as error:
        candidate.fault = str(error)
    except NETWORK_FAULTS as error:
        candidate.fault = fault_text(error)


def output_fault(output: object) -> str:
    """Why an output is none, or nothing."""
    tensors = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    if all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        return ""
    return "its output is not finite"


def _example(conditions: Conditions) -> Tensor:
    """Images drawn from a normal distribution, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(conditions.batch, 3, *conditions.resolution, generator=generator)


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
