"""Trains every network of a small space with several seeds: a table to judge searches by.

One line of JSON for each training goes to the file as soon as it ends, first all networks with
seed 0, then all with seed 1, and so on, in an order by chance; what stands in the file already is
not trained again. Several processes may share the work, each with its part and its own file.

    python benchmarks/hybrids/trained_table.py train benchmarks/hybrids/hybrids.yaml out-0.jsonl --part 0/2
    python benchmarks/hybrids/trained_table.py train benchmarks/hybrids/hybrids.yaml out-1.jsonl --part 1/2

A training of hybrids.yaml takes 6 to 11 s of a core, so all 1,296 about three hours of one;
hybrids.jsonl holds them (11,393 s of CPU time). A run that was stopped goes on from its files.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Parses and does one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(required=True)
    step = steps.add_parser("train", help="train, one line of JSON for each training")
    step.add_argument("space")
    step.add_argument("out", type=Path)
    step.add_argument("--part", default="0/1", help="which part of how many, from 0")
    step.set_defaults(run=lambda a: train_all(a.space, a.out, part=a.part))
    arguments = parser.parse_args()
    arguments.run(arguments)


def train_all(name: str, out: Path, *, part: str) -> None:
    """Trains this part of all networks and seeds that the file does not hold yet."""
    from archbench.space import SearchSpace

    space = SearchSpace.load(name)
    number, parts = map(int, part.split("/"))
    done = {(line["digest"], line["seed"]) for line in read_lines(out)}
    jobs = []
    for seed in range(space.proxy.seeds):
        candidates = list(space.enumerate())
        random.Random(seed).shuffle(candidates)
        jobs += [(choices, seed) for choices in candidates]
    with out.open("a") as file:
        for choices, seed in jobs[number::parts]:
            if (space.decode(choices).digest, seed) not in done:
                result = train_one(space, choices, seed=seed)
                file.write(json.dumps(result) + "\n")
                file.flush()


def train_one(space: Any, choices: Any, *, seed: int) -> dict[str, Any]:
    """One training: the accuracy after each rung and the CPU time it took."""
    import torch

    from archbench.data import load
    from archbench.models import build, count, proxy
    from archbench.train.loop import train
    from archbench.train.recipe import Plan, Recipe

    torch.set_num_threads(1)
    target = space.decode(choices)
    section = space.proxy
    data = load(section.data, resolution=section.resolution)
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
        "choices": dict(choices),
        "seed": seed,
        "params": count(target).params,
        "macs": count(target).macs,
        "accuracy": [point.accuracy for point in points],
        "cpu_seconds": time.process_time() - begin,
    }


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The trainings in a file, which may not be there yet; a torn last line is left out."""
    if not file.exists():
        return []
    text = file.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


if __name__ == "__main__":
    main()
