"""Does a space's proxy tell its candidates apart: the spread within a network against between?

Trains random candidates of a space with several seeds each, as a search would, and compares the
pooled standard deviation of one network over its seeds with that between the networks' means.

    python benchmarks/separability/separability.py quickstart --networks 24 --seeds 3 --json out.json

Takes networks x seeds x the time of one trial; ``--workers`` trains that many side by side.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def main() -> None:
    """Parses, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("space")
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sample-seed", type=int, default=12345)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--data", help="in place of the space's")
    parser.add_argument("--json", type=Path, help="write every accuracy here")
    arguments = parser.parse_args()
    jobs = [
        (arguments.space, spec, seed, arguments.data)
        for spec in sampled(arguments.space, arguments.networks, seed=arguments.sample_seed)
        for seed in range(arguments.seeds)
    ]
    begin = time.monotonic()
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("spawn")) as pool:
        results = []
        for result in pool.map(train_one, *zip(*jobs, strict=True)):
            results.append(result)
            if arguments.json:
                arguments.json.write_text(json.dumps(results, indent=1))
    print_result(results, seconds=time.monotonic() - begin)


def sampled(name: str, number: int, *, seed: int) -> list[dict[str, Any]]:
    """Distinct feasible candidates of a space, as documents."""
    from archbench.space import SearchSpace

    space = SearchSpace.load(name)
    rng = random.Random(seed)
    found: dict[str, dict[str, Any]] = {}
    while len(found) < number:
        choices = space.sample_feasible(rng, tries=1000)
        if choices is None:
            raise SystemExit(f"no {number} feasible candidates found in {name}")
        spec = space.decode(choices)
        found[spec.digest] = spec.to_document()
    return list(found.values())


def train_one(
    name: str, document: dict[str, Any], seed: int, data_name: str | None
) -> dict[str, Any]:
    """One training of one candidate: the accuracy at each rung and the CPU time."""
    import torch

    from archbench.data import load
    from archbench.models import ArchSpec, build, count, proxy
    from archbench.space import SearchSpace
    from archbench.train.loop import train
    from archbench.train.recipe import Plan, Recipe

    torch.set_num_threads(1)
    section = SearchSpace.load(name).proxy
    target = ArchSpec.from_document(document)
    data = load(data_name or section.data, resolution=section.resolution)
    spec = proxy(
        target, resolution=section.resolution, num_classes=data.num_classes, stem=section.stem
    )
    begin = time.process_time()
    points = train(
        build(spec, seed=seed),
        data,
        recipe=Recipe(rungs=section.rungs),
        seed=seed,
        plan=Plan(),
        width=max(stage.dim for stage in target.stages),
    )
    return {
        "digest": target.digest,
        "seed": seed,
        "params": count(target).params,
        "macs": count(target).macs,
        "accuracy": [point.accuracy for point in points],
        "cpu_seconds": time.process_time() - begin,
    }


def print_result(results: list[dict[str, Any]], *, seconds: float) -> None:
    """The spreads at the last rung, and the verdict."""
    networks: dict[str, list[float]] = {}
    for result in results:
        networks.setdefault(result["digest"], []).append(result["accuracy"][-1])
    means = [statistics.fmean(values) for values in networks.values()]
    within = math.sqrt(statistics.fmean(statistics.variance(v) for v in networks.values()))
    between = statistics.stdev(means)
    cpu = [result["cpu_seconds"] for result in results]
    print(f"networks {len(networks)}, seeds {len(results) // len(networks)}, {seconds:.0f} s")
    print(f"accuracy {min(means):.3f} to {max(means):.3f}, mean {statistics.fmean(means):.3f}")
    print(f"standard deviation between networks {between:.4f}, within (pooled) {within:.4f}")
    print(f"within / between {within / between:.3f}  (a third is {1 / 3:.3f})")
    print(
        f"CPU seconds a training {min(cpu):.1f} to {max(cpu):.1f}, mean {statistics.fmean(cpu):.1f}"
    )


if __name__ == "__main__":
    main()
