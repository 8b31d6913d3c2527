"""How long does a piece of a network take whose weights are not in the caches, as inside one?

Alone and repeated, a piece finds its weights in the nearest cache, which inside a network the
other pieces have taken over: sums of such hot times are wrong by 11 %.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from archbench.measure.calibration import Calibration, Progress
from archbench.measure.clock import Clock, Forward, SystemClock
from archbench.measure.device import require_device, settled
from archbench.measure.lock import measurement_lock
from archbench.measure.rounds import bench
from archbench.records.environment import Environment
from archbench.records.measurement import Conditions

# More than the second-level cache of a core and less than a third-level one, where a network of
# this size leaves its weights; on a GPU more than its one cache.
EVICTED_BYTES = {"cpu": 4 * 2**20, "cuda": 128 * 2**20}
ROUNDS = 20

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
class ColdTime:
    """A time as a multiple of a calibration network's.

    Attributes:
        calibrator: Which one.
        ratio: The median over pairs of passes, one right after the other.
    """

    calibrator: str
    ratio: float

    def milliseconds(self, calibration: Calibration) -> float:
        """The time where the calibration network takes its constant."""
        return self.ratio * calibration.constants_ms[self.calibrator]


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

    Before each pass the caches are taken over by other data, then a calibration network runs, so
    that the state of the machine cancels and the code of the operators is at hand, as it is in a
    network: only the weights are cold. The median ratio of such pairs is taken: on a busy machine
    the sums of 12 networks repeated to 2.3 %, with the lower quartiles of all passes to 3.2 %. A
    round takes some 4 ms for each piece beside its own time.

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
    require_device(conditions.device)
    order, names = random.Random(0), list(pieces)
    with measurement_lock(conditions.device), settled(threads=conditions.threads):
        calibration.require(environment, conditions=conditions)
        on = bench(conditions, clock=clock or SystemClock())
        evict = evictor(conditions.device)
        calibrator = calibration.nearest(_CALIBRATOR_SECONDS, family="attention").name
        reference = calibration.forward(calibrator, conditions=conditions)
        ratios: dict[str, list[float]] = {name: [] for name in names}
        with torch.inference_mode():
            for done in range(-1, rounds):  # one round more, which warms up
                for name in order.sample(names, len(names)):
                    evict()
                    compared = on.seconds(on.watch(reference))
                    pieces[name].example.sum()
                    taken = on.seconds(on.watch(pieces[name].forward))
                    if done >= 0:
                        ratios[name].append(taken / max(compared, _LEAST_S))
                if on_progress and done >= 0:
                    on_progress("timing blocks with cold caches", done + 1, rounds)
    return {
        name: ColdTime(calibrator=calibrator, ratio=statistics.median(found))
        for name, found in ratios.items()
    }
