"""How well does the block table predict latencies, on networks that it was not fitted to.

Random networks of the space hybrid, as many of LeViT's work as of CvT's and mixed. Six others of
each family are measured whole for the scale; then all are predicted from their blocks, and after
that measured, in a random order and six at a time in turn with one another.

    python benchmarks/block_table/block_table.py --networks 60 --resolution 160
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

KINDS = ("levit", "cvt", "mixed")
_TOGETHER = 6
_TO_FIT = 12  # of which six are measured whole, small and large ones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=60, help="not used for fitting")
    parser.add_argument("--resolution", type=int, default=160, help="side in pixels")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each network")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--raw", type=Path, help="a file for every number, as JSON")
    options = parser.parse_args()
    report(
        per_kind=options.networks // len(KINDS),
        resolution=options.resolution,
        budget_s=options.budget,
        seed=options.seed,
        raw=options.raw,
    )


def report(*, per_kind: int, resolution: int, budget_s: float, seed: int, raw: Path | None) -> None:
    from archbench.evaluate.block_estimate import estimate_all
    from archbench.evaluate.piece import pieces
    from archbench.evaluate.target import calibrated
    from archbench.measure.machine import capture_environment
    from archbench.study.measurement import Conditions

    environment, conditions = capture_environment(), Conditions()
    print(f"{environment.cpu}, {environment.cores} cores, {environment.system}, ", end="")
    print(f"torch {environment.packages['torch']}, environment {environment.id}")
    print(f"load average at the start: {' '.join(f'{load:.1f}' for load in os.getloadavg())}")
    drawn = {kind: sampled(kind, _TO_FIT + per_kind, resolution, seed) for kind in KINDS}
    fitting = [spec for specs in drawn.values() for spec in specs[:_TO_FIT]]
    held_out = [spec for specs in drawn.values() for spec in specs[_TO_FIT:]]
    target = calibrated(conditions, environment=environment)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        predicted = estimate_all(held_out, conditions, alike=fitting, folder=Path(folder))
        filled = time.perf_counter()
        again = estimate_all(held_out, conditions, folder=Path(folder))
        ended = time.perf_counter()
    order = random.Random(seed).sample(range(len(held_out)), len(held_out))
    found = {}
    for start in range(0, len(order), _TOGETHER):
        group = {str(number): held_out[number] for number in order[start : start + _TOGETHER]}
        found |= target.measure_together(group, budget_s=budget_s)
    measured = [found[str(number)] for number in range(len(held_out))]
    keep(raw, held_out, predicted, measured)
    print(f"load average at the end: {' '.join(f'{load:.1f}' for load in os.getloadavg())}\n")
    number = len({piece.key for spec in held_out for piece in pieces(spec)})
    print(f"{number} distinct blocks of {len(held_out)} networks, and ", end="")
    print(f"{predicted[0]['num_wholes']} whole networks of each family to fit to, ", end="")
    print(f"{filled - began:.0f} s; all predicted again {ended - filled:.2f} s; ", end="")
    print(f"measured whole {time.perf_counter() - ended:.0f} s; ", end="")
    print(f"{sum(entry.verdict == 'disturbed' for entry in measured)} of them disturbed\n")
    print(
        "| family | networks | ms | mean error % | worst % | bias % | tau | MACs' tau | shown % |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in (*KINDS, "all"):
        chosen = [i for i, entry in enumerate(again) if kind in (entry["family"], "all")]
        row(
            kind,
            told=[predicted[i]["ms"] for i in chosen],
            seen=[measured[i].value or math.nan for i in chosen],
            macs=[macs(held_out[i]) for i in chosen],
            shown=statistics.fmean(predicted[i]["error_percent"] for i in chosen),
        )


def keep(
    raw: Path | None,
    specs: Sequence[Any],
    predicted: Sequence[Any],
    measured: Sequence[Any],
) -> None:
    if raw is not None:
        rows = [
            {
                "spec": spec.to_document(),
                "family": told["family"],
                "predicted": [told["ms"], told["low"], told["high"]],
                "measured": [seen.value, seen.low, seen.high],
                "reason": seen.reason,
            }
            for spec, told, seen in zip(specs, predicted, measured, strict=True)
        ]
        raw.write_text(json.dumps(rows))


def row(
    kind: str,
    *,
    told: Sequence[float],
    seen: Sequence[float],
    macs: Sequence[float],
    shown: float,
) -> None:
    errors = [a / b - 1 for a, b in zip(told, seen, strict=True)]
    print(
        f"| {kind} | {len(told)} | {min(seen):.1f}-{max(seen):.1f} "
        f"| {100 * statistics.fmean(map(abs, errors)):.1f} | {100 * max(map(abs, errors)):.1f} "
        f"| {100 * statistics.fmean(errors):+.1f} | {tau(told, seen):.3f} | {tau(macs, seen):.3f} "
        f"| {shown:.1f} |"
    )


def tau(left: Sequence[float], right: Sequence[float]) -> float:
    """Kendall's rank correlation, without ties."""
    pairs = list(combinations(range(len(left)), 2))
    signs = [math.copysign(1, (left[i] - left[j]) * (right[i] - right[j])) for i, j in pairs]
    return sum(signs) / len(pairs)


def macs(spec: object) -> float:
    from archbench.models import ArchSpec, count

    assert isinstance(spec, ArchSpec)
    return count(spec).macs


def sampled(kind: str, number: int, resolution: int, seed: int) -> list:  # type: ignore[type-arg]
    """So many random networks of a family."""
    from archbench.evaluate.piece import family
    from archbench.space import SearchSpace

    space = SearchSpace.load("hybrid", overrides=[f"resolution={resolution}"])
    rng, found = random.Random(seed), {}
    while len(found) < number:
        choices = space.sample_feasible(rng)
        assert choices is not None
        spec = space.decode(choices)
        if family(spec) == kind:
            found[spec.digest] = spec
    return list(found.values())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
