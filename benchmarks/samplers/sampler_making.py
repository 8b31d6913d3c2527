"""Makes tables: synthetic ones of several kinds, and one of networks that were really trained."""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sampler_table
from sampler_table import Axis, Table

_SEEDS = 3


@dataclass(frozen=True)
class Truth:
    """A made-up table before anyone trains its networks.

    Attributes:
        name: Its kind.
        axes: Choices that vary.
        codes: (n, D) the index of each choice.
        cost: (n,).
        accuracy: (n,) in truth.
        noise: Standard deviation between seeds.
    """

    name: str
    axes: tuple[Axis, ...]
    codes: np.ndarray
    cost: np.ndarray
    accuracy: np.ndarray
    noise: float

    def table(self, rng: np.random.Generator) -> Table:
        """What three seeds of each network show."""
        luck = rng.normal(0, self.noise, size=(len(self.codes), _SEEDS))
        return Table(self.name, self.axes, self.codes, self.cost, self.accuracy[:, None] + luck)


def make(words: list[str]) -> None:
    """Parses and makes one table."""
    parser = argparse.ArgumentParser(prog="samplers.py make")
    steps = parser.add_subparsers(required=True)
    step = steps.add_parser("synthetic", help="made-up networks")
    step.add_argument("out", type=Path)
    step.add_argument("--kind", choices=sorted(KINDS), default="stages")
    step.add_argument("--seed", type=int, default=0)
    step.add_argument("--rows", type=int, help="only so many, by chance: an incomplete table")
    step.set_defaults(run=_synthetic)
    step = steps.add_parser("trained", help="from the lines of trained_table.py")
    step.add_argument("out", type=Path)
    step.add_argument("--from", dest="files", type=Path, nargs="+", required=True)
    step.add_argument("--latency", type=Path, help="JSON of digest to ms; MACs are cost without it")
    step.add_argument("--curves", type=Path, help="also the accuracy after every epoch")
    step.set_defaults(run=_trained)
    arguments = parser.parse_args(words)
    arguments.run(arguments)


def _synthetic(arguments: argparse.Namespace) -> None:
    rng = np.random.default_rng(arguments.seed)
    table = KINDS[arguments.kind](rng).table(rng)
    if arguments.rows is not None:
        rows = np.sort(rng.choice(len(table), size=arguments.rows, replace=False))
        table = Table(
            table.name, table.axes, table.codes[rows], table.cost[rows], table.accuracy[rows]
        )
    sampler_table.write(arguments.out, table)
    print(f"{arguments.out}: {len(table):,} networks, {len(table.axes)} choices", file=sys.stderr)


def _stages(rng: np.random.Generator) -> Truth:
    """14 choices as of CvT and LeViT in three stages: widths, depths, kinds; pairs interact."""
    sizes = [2, 3, 2, 2, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    is_ordered = [place % 4 != 3 for place in range(len(sizes))]
    axes = _axes(sizes, is_ordered)
    codes = _grid(sizes)
    log_cost, quality = _main_effects(axes, codes, rng, spread=0.5, bend=0.25)
    quality += _pairs(axes, codes, rng, share=0.35, scale=0.12)
    accuracy = 0.55 + 0.35 / (1 + np.exp(-0.9 * _standard(quality) - 0.3))
    return Truth("stages", axes, codes, 1e6 * np.exp(log_cost), accuracy, noise=0.01)


def _layers(rng: np.random.Generator) -> Truth:
    """Eight layers of three kinds each (nothing, narrow, wide), with diminishing returns."""
    axes = _axes([3] * 8, [True] * 8)
    codes = _grid([3] * 8)
    macs = rng.uniform(0.7, 1.6, size=8)[:, None] * np.array([0.0, 0.45, 1.0])
    worth = rng.uniform(0.5, 1.5, size=8)[:, None] * np.array([0.0, 1.0, 1.0])
    worth[:, 2] *= 1 + rng.uniform(0.1, 0.6, size=8)
    capacity = worth[np.arange(8), codes].sum(axis=1)
    for layers in ([0, 1], [2, 3, 4], [5, 6, 7]):
        capacity += 1.2 * (codes[:, layers] > 0).any(axis=1)
    accuracy = 0.78 + 0.155 * (1 - np.exp(-3.2 * capacity / capacity.max()))
    accuracy += _pairs(axes, codes, rng, share=1.0, scale=0.002)
    accuracy += rng.normal(0, 0.002, size=len(codes))
    cost = 20 * (1 + macs[np.arange(8), codes].sum(axis=1))
    return Truth("layers", axes, codes, cost, accuracy, noise=0.0025)


def _rugged(rng: np.random.Generator) -> Truth:
    """Five choices of six, half of them categories, with strong pairs; some do not learn."""
    axes = _axes([6] * 5, [True, False, True, False, True])
    codes = _grid([6] * 5)
    log_cost, quality = _main_effects(axes, codes, rng, spread=1.2, bend=0.3)
    quality += _pairs(axes, codes, rng, share=1.0, scale=0.35)
    accuracy = 0.5 + 0.3 / (1 + np.exp(-_standard(quality)))
    accuracy[rng.random(len(codes)) < 0.03] = 0.1
    return Truth("rugged", axes, codes, np.exp(2 * log_cost), accuracy, noise=0.004)


def _noisy(rng: np.random.Generator) -> Truth:
    """432 networks whose seeds differ by a quarter of what networks differ by."""
    axes = _axes([2, 2, 3, 3, 2, 2, 3], [False, False, True, True, True, False, False])
    codes = _grid([len(axis.values) for axis in axes])
    log_cost, quality = _main_effects(axes, codes, rng, spread=0.9, bend=0.5)
    quality += _pairs(axes, codes, rng, share=1.0, scale=0.25)
    quality = _standard(quality) + rng.normal(0, 0.25, size=len(codes))
    accuracy = 0.62 + 0.13 * np.tanh(0.8 * quality)
    return Truth("noisy", axes, codes, 5e5 * np.exp(log_cost), accuracy, noise=0.033)


KINDS = {"stages": _stages, "layers": _layers, "rugged": _rugged, "noisy": _noisy}


def _axes(sizes: list[int], is_ordered: list[bool]) -> tuple[Axis, ...]:
    return tuple(
        Axis(
            f"choice_{place}",
            tuple(float(value) for value in range(size)) if ordered else tuple("abcdef"[:size]),
            ordered,
        )
        for place, (size, ordered) in enumerate(zip(sizes, is_ordered, strict=True))
    )


def _grid(sizes: list[int]) -> np.ndarray:
    return np.array(list(itertools.product(*map(range, sizes))))


def _main_effects(
    axes: tuple[Axis, ...],
    codes: np.ndarray,
    rng: np.random.Generator,
    *,
    spread: float,
    bend: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Log cost and quality: what costs more is mostly, and not always, better."""
    log_cost, quality = np.zeros(len(codes)), np.zeros(len(codes))
    for place, axis in enumerate(axes):
        costs = rng.uniform(0, spread, size=len(axis.values))
        costs = np.sort(costs) if axis.is_ordered else costs / 2
        log_cost += costs[codes[:, place]]
        quality += (costs + rng.normal(0, bend, size=len(costs)))[codes[:, place]]
    return log_cost, quality


def _pairs(
    axes: tuple[Axis, ...],
    codes: np.ndarray,
    rng: np.random.Generator,
    *,
    share: float,
    scale: float,
) -> np.ndarray:
    total = np.zeros(len(codes))
    for a, b in itertools.combinations(range(len(axes)), 2):
        if rng.random() < share:
            effect = rng.normal(0, scale, size=(len(axes[a].values), len(axes[b].values)))
            total += effect[codes[:, a], codes[:, b]]
    return total


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


def _trained(arguments: argparse.Namespace) -> None:
    lines = [json.loads(line) for file in arguments.files for line in file.read_text().splitlines()]
    latency = json.loads(arguments.latency.read_text()) if arguments.latency else None
    networks: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        networks.setdefault(line["digest"], {})[line["seed"]] = line
    seeds = sorted({line["seed"] for line in lines})
    names = sorted({name for line in lines for name in line["choices"]})
    with arguments.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "cost", *(f"accuracy_{seed}" for seed in seeds)])
        for digest, by_seed in networks.items():
            first = next(iter(by_seed.values()))
            cost = first["macs"] if latency is None else latency[digest]
            known = [by_seed[s]["accuracy"][-1] if s in by_seed else "" for s in seeds]
            # Indices of whole parts have no order: letters say so, digits are numbers.
            writer.writerow([*(_choice(name, first["choices"]) for name in names), cost, *known])
    if arguments.curves:
        _write_curves(arguments.curves, lines)
    print(f"{arguments.out}: {len(networks)} networks, {len(seeds)} seeds", file=sys.stderr)


def _choice(name: str, choices: dict[str, int]) -> str:
    if name not in choices:
        return "-"
    is_part = name.endswith((".embed", ".block"))
    return chr(ord("a") + choices[name]) if is_part else str(choices[name])


def _write_curves(path: Path, lines: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["digest", "params", "macs", "seed", "epoch", "accuracy"])
        for line in lines:
            for epoch, accuracy in enumerate(line["accuracy"], start=1):
                start = [line["digest"], line["params"], line["macs"], line["seed"]]
                writer.writerow([*start, epoch, accuracy])
