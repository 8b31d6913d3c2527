"""What is the smallest resolvable difference on this machine today?

The same network takes part several times: every two of its copies are a comparison whose truth is
known, so whatever seems faster seems so by chance.
"""

import itertools
import math
import random
from dataclasses import asdict
from typing import Any

import numpy as np

from archbench.measure.latency import estimate
from archbench.measure.latency.calibration import CalibratedBench, disturbance, keep_check
from archbench.measure.latency.clock import Timing
from archbench.measure.latency.rounds import Placed, relocate, rotated_orders, warm_up
from archbench.measure.machine import activity
from archbench.measure.machine_cache import CHECKS, DriftCheck, deviations
from archbench.study.runs import NORMAL_95

COPIES = 6
_PLACEMENT = 2 * COPIES  # rounds in one place of memory: each copy is twice in each of the order
WINDOW = estimate.LEAST_PLACEMENTS * _PLACEMENT
"""Rounds of one of the many short comparisons."""

_LEVEL = 0.95
_MOST_ROUNDS = 400
_LEAST_ROUNDS = 5
_LONG_CHECK = 80  # rounds, of which every fourth has a pass of each calibration network
_CALIBRATE_EVERY = 4
_WARM_UP_S = 0.5
# An interval that leaves out 1 in 95 of 100 runs: 1.96 of its deviations for itself, 1.645 more.
_FOUND_19_OF_20 = 1 + 1.645 / NORMAL_95


def resolution_of(samples: estimate.Array) -> dict[str, float]:
    """What the times of copies of one network say, (copies, rounds).

    They were placed anew in memory every twelve rounds. Rounds that are too few to tell by places
    give the difference that the rounds alone would find.

    ``smallest`` is the difference, as a share, that a comparison of so many rounds finds in 95 of
    100 runs; ``comparisons`` are short ones of two copies, ``false_share`` of which one seemed
    faster; and over all rounds the slowest copy seems slower than the fastest by ``spread``.
    """
    copies, rounds = samples.shape
    pairs = list(itertools.combinations(range(copies), 2))
    first, second = (samples[[pair[side] for pair in pairs]] for side in (0, 1))
    means = estimate.lower_means(samples)
    windows, apart = rounds // WINDOW, []
    if windows:
        logs = estimate.placement_logs(second, first, rounds=_PLACEMENT)
        _, widths = estimate.over_placements(logs, level=_LEVEL)
        for part in np.split(logs[:, : windows * estimate.LEAST_PLACEMENTS], windows, axis=1):
            off, width = estimate.over_placements(part, level=_LEVEL)
            apart.append(np.abs(off) > width)
    else:
        widths = estimate.log_half_widths(second, first, level=_LEVEL)
    return {
        "rounds": rounds,
        "smallest": math.expm1(float(np.median(widths)) * _FOUND_19_OF_20),
        "comparisons": len(apart) * len(pairs),
        "false_share": float(np.mean(apart)) if apart else 0.0,
        "spread": float(means.max() / means.min() - 1),
    }


def self_test(bench: CalibratedBench, *, seconds: float) -> dict[str, Any]:
    """Times copies of a calibration network, and now and then all calibration networks.

    Of the JSON-able results the ``resolution`` is None where there was no time for it; the
    ``deviation`` of a constant is the share by which it left the others, ``state`` that by which
    all together take longer than when they were taken; ``off_cpu`` is None on a GPU. What is to be
    said is mostly empty: the ``note`` of the constants, why they are ``due`` to be taken anew by
    the next measurement, and the ``disturbance`` for which nothing can be said of them now.
    """
    calibration = bench.calibration
    began, before = bench.clock.wall(), bench.counters()
    copies, others = _timed(bench, seconds=seconds)
    worked = activity(before, bench.counters(), seconds=bench.clock.wall() - began)
    off_cpu = bench.off_cpu([timing for timings in copies for timing in timings])
    # A round of which the end was cut off is of no use.
    rounds = min(map(len, copies))
    samples = np.array([[bench.seconds(one) for one in taken[:rounds]] for taken in copies])
    moved = estimate.drift(np.median(samples, axis=0).tolist()) if rounds else 0.0
    now_ms, stored_ms = bench.means_ms(others), calibration.constants_ms
    found, state = deviations(now_ms, stored_ms)
    disturbed = disturbance(off_cpu=off_cpu, moved=moved, activity=worked)
    weight = CHECKS if rounds >= _LONG_CHECK else 1
    check = DriftCheck(deviations=found, disturbance=disturbed, weight=weight)
    return {
        "network": calibration.calibrators[0].name,
        "resolution": resolution_of(samples) if rounds >= _LEAST_ROUNDS else None,
        "constants": {
            name: {"stored_ms": stored_ms[name], "now_ms": ms, "deviation": found[name]}
            for name, ms in now_ms.items()
        },
        "state": state,
        "off_cpu": off_cpu,
        "drift": moved,
        "seat": asdict(bench.pinning),
        "note": calibration.note,
        "generation": calibration.generation,
        "due": keep_check(check, bench=bench),
        "disturbance": disturbed,
    }


def _timed(
    bench: CalibratedBench, *, seconds: float
) -> tuple[list[list[Timing]], dict[str, list[Timing]]]:
    """Timings of each copy, and of each calibration network by its name."""
    until, first = bench.clock.wall() + seconds, bench.calibration.calibrators[0]
    placed = {str(copy): Placed(network=first.ready(bench.conditions)) for copy in range(COPIES)}
    known = {name: bench.ready(name).run for name in bench.calibration.constants_ms}
    for forward in (*(entry.forward for entry in placed.values()), *known.values()):
        warm_up(forward, bench=bench, until=bench.now() + _WARM_UP_S)
    copies: dict[str, list[Timing]] = {name: [] for name in placed}
    others: dict[str, list[Timing]] = {name: [] for name in known}
    draw = random.Random(0)
    orders = rotated_orders(COPIES, draw=draw)
    for done in range(_MOST_ROUNDS):
        if bench.clock.wall() >= until and done:
            break
        if done and done % _PLACEMENT == 0:
            relocate(placed.values(), draw=draw)
        for copy in map(str, next(orders)):
            copies[copy].append(bench.repeated(placed[copy].forward))
        if done % _CALIBRATE_EVERY == 0:
            for name, forward in known.items():
                others[name].append(bench.repeated(forward))
        bench.tell("timing copies of one network, rounds", done + 1, _MOST_ROUNDS)
    return list(copies.values()), others
