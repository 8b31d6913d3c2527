"""How long does a piece of a network take with cold caches, as it does inside a network?

Alone and repeated, a piece finds its weights in the nearest cache, which inside a network the
other pieces have taken over: sums of such hot times are wrong by 11 %.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from archbench.measure.latency.calibration import CalibratedBench, Calibration
from archbench.measure.latency.clock import Forward, Timing

# More than the second-level cache of a core and less than a third-level one, where a network of
# this size leaves its weights; on a GPU more than its one cache.
_EVICTED_BYTES = {"cpu": 4 * 2**20, "cuda": 128 * 2**20}
_LEAST_MS = 1e-6
_CALIBRATOR_SECONDS = 2e-3  # the calibration network of about that size


@dataclass(frozen=True, kw_only=True)
class Multiple:
    """A time as a multiple of that of a calibration network: the ratio of the lower means."""

    calibrator: str
    ratio: float

    def milliseconds(self, calibration: Calibration) -> float:
        """The time where the calibration network takes its constant."""
        return self.ratio * calibration.constants_ms[self.calibrator]


@dataclass(frozen=True, kw_only=True)
class ColdTime(Multiple):
    """The time of a piece with cold caches: its weights are not in the nearest ones.

    Attributes:
        ratio: Behind other work, whose code is in the caches instead of its own.
        again: Behind an equal piece, whose code is its own: only the weights are others.
    """

    again: float

    def milliseconds_again(self, calibration: Calibration) -> float:
        """The time behind an equal piece, where the calibration network takes its constant."""
        return self.again * calibration.constants_ms[self.calibrator]


def evictor(device: str) -> Callable[[], object]:
    """A function that fills the caches with other data."""
    return torch.ones(_EVICTED_BYTES[device] // 4, device=device).sum


def cold_times(
    pieces: Mapping[str, tuple[Forward, Tensor]],
    *,
    bench: CalibratedBench,
    rounds: int = 30,
) -> dict[str, ColdTime]:
    """The time of each piece with cold caches, in an order drawn anew each round.

    Before a pass the caches are filled with other data, then a calibration network runs: such a
    pass finds neither weights nor code, as the first of a stack of blocks does. Then the caches
    are filled once more, and a second pass finds its code and no weights, as the blocks
    behind it do. The sums of 84 networks, each block as it stands, differed by 2.6 % from what
    they took whole once scaled; with the first kind of pass for all blocks by 3.8 %. A round
    takes some 5 ms for each piece beside its own time.

    The pieces are, by any names, one pass of each with what it takes, which in a network the piece
    before has just written.
    """
    order, names = random.Random(0), list(pieces)
    evict = evictor(bench.conditions.device)
    calibrator = bench.calibration.nearest(_CALIBRATOR_SECONDS)
    reference = bench.ready(calibrator).run
    compared: list[Timing] = []
    first, again = ({name: list[Timing]() for name in names} for _ in range(2))

    def passed(name: str) -> Timing:
        forward, example = pieces[name]
        example.sum()
        return bench.watch(forward)

    with torch.inference_mode():
        for _ in range(rounds + 1):  # the first one warms up, and does not count
            for name in order.sample(names, len(names)):
                evict()
                compared.append(bench.watch(reference))
                first[name].append(passed(name))
                evict()
                again[name].append(passed(name))
    unit = max(bench.mean_ms(compared[len(names) :]), _LEAST_MS)
    return {
        name: ColdTime(
            calibrator=calibrator,
            ratio=bench.mean_ms(first[name][1:]) / unit,
            again=bench.mean_ms(again[name][1:]) / unit,
        )
        for name in names
    }
