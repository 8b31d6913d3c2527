"""How long does a piece of a network take whose weights are not in the caches, as inside one?

Alone and repeated, a piece finds its weights in the nearest cache, which inside a network the
other pieces have taken over: sums of such hot times are wrong by 11 %.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from archbench.measure.latency.calibration import Calibration, Progress
from archbench.measure.latency.clock import Clock, Forward, measuring
from archbench.measure.latency.estimate import lower_mean
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

# More than the second-level cache of a core and less than a third-level one, where a network of
# this size leaves its weights; on a GPU more than its one cache.
EVICTED_BYTES = {"cpu": 4 * 2**20, "cuda": 128 * 2**20}
ROUNDS = 30

_LEAST_S = 1e-9
_CALIBRATOR_SECONDS = 2e-3  # the calibration network of about that size


@dataclass(frozen=True, kw_only=True)
class ColdPiece:
    """What is timed.

    Attributes:
        forward: One pass.
        example: What the pass takes; in a network the piece before has just written it.
    """

    forward: Forward
    example: Tensor


@dataclass(frozen=True, kw_only=True)
class Multiple:
    """A time as a multiple of a calibration network's.

    Attributes:
        calibrator: Which one.
        ratio: The lower quartile of all passes over that of the calibration network.
    """

    calibrator: str
    ratio: float

    def milliseconds(self, calibration: Calibration) -> float:
        """The time where the calibration network takes its constant."""
        return self.ratio * calibration.constants_ms[self.calibrator]


@dataclass(frozen=True, kw_only=True)
class ColdTime(Multiple):
    """What a piece takes whose weights are not in the nearest caches.

    Attributes:
        ratio: Behind other work, whose code is in the caches instead of its own.
        again: Behind an equal piece, whose code is its own: only the weights are others.
    """

    again: float

    def milliseconds_again(self, calibration: Calibration) -> float:
        """The time behind an equal piece."""
        return self.again * calibration.constants_ms[self.calibrator]


def evictor(device: str) -> Callable[[], None]:
    """What takes the caches over."""
    filler = torch.ones(EVICTED_BYTES[device] // 4, device=device)

    def evict() -> None:
        filler.sum()

    return evict


def cold_times(
    pieces: Mapping[str, ColdPiece],
    *,
    conditions: Conditions,
    environment: Environment,
    calibration: Calibration,
    rounds: int = ROUNDS,
    clock: Clock | None = None,
    on_progress: Progress | None = None,
) -> dict[str, ColdTime]:
    """The time of each piece with cold caches, in an order drawn anew each round.

    Before a pass the caches are taken over by other data, then a calibration network runs: such a
    pass finds neither weights nor code, as the first of a stack of blocks does. Then the caches
    are taken over once more, and a second pass finds its code and no weights, as the blocks
    behind it do. The sums of 84 networks, each block as it stands, differed by 2.6 % from what
    they took whole once scaled; with the first kind of pass for all blocks by 3.8 %. A round
    takes some 5 ms for each piece beside its own time.

    Args:
        pieces: By any names.
        conditions: What they were made ready for.
        environment: This machine.
        calibration: Its constants.
        rounds: Passes of each piece.
        clock: Where time comes from; a test has its own.
        on_progress: Told how many rounds are done.

    Raises:
        MissingError: This machine has no such device.
        IncomparableError: The calibration was taken elsewhere or under other settings.
        StorageError: The measurement lock cannot be had.
    """
    order, names = random.Random(0), list(pieces)
    with measuring(conditions, clock=clock) as bench:
        calibration.require(environment, conditions=conditions)
        evict = evictor(conditions.device)
        calibrator = calibration.nearest(_CALIBRATOR_SECONDS, family="attention").name
        reference = calibration.forward(calibrator, conditions=conditions)
        first: dict[str, list[float]] = {name: [] for name in names}
        again: dict[str, list[float]] = {name: [] for name in names}
        compared: list[float] = []

        def passed(name: str) -> float:
            pieces[name].example.sum()
            return bench.seconds(bench.watch(pieces[name].forward))

        with torch.inference_mode():
            for done in range(-1, rounds):  # one round more, which warms up
                for name in order.sample(names, len(names)):
                    evict()
                    reference_s = bench.seconds(bench.watch(reference))
                    first_s = passed(name)
                    evict()
                    again_s = passed(name)
                    if done >= 0:
                        compared.append(reference_s)
                        first[name].append(first_s)
                        again[name].append(again_s)
                if on_progress and done >= 0:
                    on_progress("timing blocks with cold caches", done + 1, rounds)
    if not names:
        return {}
    unit = max(lower_mean(compared), _LEAST_S)
    return {
        name: ColdTime(
            calibrator=calibrator,
            ratio=lower_mean(first[name]) / unit,
            again=lower_mean(again[name]) / unit,
        )
        for name in names
    }
