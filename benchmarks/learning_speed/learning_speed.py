"""How fast do short trainings learn, and what do they reach: by batch, rate and precision?

Networks of a space are trained in several forms, in turn, in one thread. A form is written
BATCH:RATE:PRECISION, the rate as a share of the recipe's; `:plain` behind it leaves the gradient of
depthwise kernels to PyTorch. All are told as ratios to the first form, in CPU seconds.

    python benchmarks/learning_speed/learning_speed.py kernels
    python benchmarks/learning_speed/learning_speed.py steps photos 32:1:fp32:plain 32:1:bf16 \
        --data folder:photos64 --side 64 --number 5
    python benchmarks/learning_speed/learning_speed.py accuracy quickstart 32:1:fp32 64:2:fp32 \
        --number 6 --seeds 0 1 --epochs 8 --json digits.json
    python benchmarks/learning_speed/learning_speed.py table digits.json

A further run of `accuracy` goes on with what the file lacks.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from archbench.analysis.statistics import kendall_tau_of
from archbench.data import DataSet
from archbench.evaluate.proxy import open_data, widest
from archbench.memory import keep_memory
from archbench.models import ArchSpec, as_spec, build, count, depthwise
from archbench.models.depthwise import has_own_gradient
from archbench.space import SearchSpace
from archbench.train.loop import train
from archbench.train.recipe import Plan, Recipe
from archbench.train.step import Feed, Trainer, reproducible

_SPACES = Path(__file__).parents[2] / "search_spaces"
_CPU = torch.device("cpu")
_KERNELS = ((96, 32, 5, 1), (256, 16, 5, 1), (512, 8, 5, 1), (128, 32, 5, 2))


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a network is trained."""

    name: str
    batch: int
    rate: float
    plan: Plan
    has_own_gradient: bool

    @classmethod
    def of(cls, text: str) -> Form:
        """What is written as BATCH:RATE:PRECISION, with ``:plain`` behind it or not."""
        batch, rate, precision, *plain = text.split(":")
        return cls(
            name=text,
            batch=int(batch),
            rate=float(rate),
            plan=Plan(precision=cast(Literal["fp32", "bf16"], precision)),
            has_own_gradient=not plain,
        )

    def take_gradients(self) -> None:
        """Has those of depthwise kernels taken as the form says."""
        own = has_own_gradient if self.has_own_gradient else lambda conv: False
        depthwise.has_own_gradient = own

    def recipe(self, *, epochs: int = 1, images: int | None = None) -> Recipe:
        """The recipe of a training in this form."""
        rate = self.rate * Recipe().peak_rate
        return Recipe(rungs=(epochs,), batch=self.batch, peak_rate=rate, images=images)


def main() -> None:
    """Parses, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("kernels", "steps", "accuracy", "table"))
    parser.add_argument("space", nargs="?", help="quickstart, photos; of a table the file")
    parser.add_argument("forms", nargs="*", type=Form.of)
    parser.add_argument("--data", default="cluttered_digits")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--number", type=int, default=6)
    parser.add_argument("--most-macs", type=float, default=1e9)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    if chosen.what == "table":
        print_table(json.loads(Path(chosen.space).read_text()))
        return
    torch.set_num_threads(1)
    keep_memory()
    if chosen.what == "kernels":
        print_kernels(rounds=chosen.rounds)
        return
    dataset = open_data(chosen.data, resolution=chosen.side)
    specs = networks(chosen.space, dataset, number=chosen.number, most_macs=chosen.most_macs)
    if chosen.what == "steps":
        print_steps(specs, dataset, chosen.forms, rounds=chosen.rounds)
    else:
        learn(specs, dataset, chosen)


def print_kernels(*, rounds: int, batch: int = 32) -> None:
    """Milliseconds of CPU of depthwise convolutions, forward and backward, by PyTorch and by us."""
    print("| channels | map | kernel | stride | precision | PyTorch | ours | times as fast |")
    print("|---" * 8 + "|")
    for (C, side, k, stride), precision in product(_KERNELS, (torch.float32, torch.bfloat16)):
        conv = nn.Conv2d(C, C, k, stride, k // 2, groups=C, bias=False).to(precision)
        x = torch.randn(batch, C, side, side, dtype=precision)
        x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        plain, ours = [], []
        for _ in range(rounds):
            for forward, taken in ((conv, plain), (partial(depthwise.convolved, conv), ours)):
                begin = time.thread_time()
                forward(x).sum().backward()
                taken.append(1e3 * (time.thread_time() - begin))
        a, b = statistics.median(plain[1:]), statistics.median(ours[1:])
        name = str(precision).removeprefix("torch.")
        sizes = f"{C} | {side} | {k} | {stride} | {name}"
        print(f"| {sizes} | {a:.2f} | {b:.2f} | {a / b:.1f} |", flush=True)


def networks(
    space: str, dataset: DataSet, *, number: int, most_macs: float, seed: int = 0
) -> list[ArchSpec]:
    """Random candidates of a space, of different sizes, at the side of the data."""
    searched, rng = SearchSpace.load(_SPACES / f"{space}.yaml"), random.Random(seed)
    found: dict[str, ArchSpec] = {}
    while len(found) < 8 * number:
        if choices := searched.sample_feasible(rng):
            own = {"resolution": dataset.resolution, "num_classes": dataset.num_classes}
            spec = as_spec({**searched.document(choices), **own})
            found |= {spec.digest: spec} if count(spec).macs <= most_macs else {}
    ordered = sorted(found.values(), key=lambda spec: (count(spec).macs, spec.digest))
    return [ordered[round((len(ordered) - 1) * (2 * i + 1) / (2 * number))] for i in range(number)]


def print_steps(
    specs: Sequence[ArchSpec], dataset: DataSet, forms: Sequence[Form], *, rounds: int
) -> None:
    """Milliseconds of CPU that an image takes to learn from, by network and form."""
    print("| network | MACs | " + " | ".join(form.name for form in forms) + " |")
    print("|---" * (2 + len(forms)) + "|")
    ratios = []
    for spec in specs:
        taken = step_seconds(spec, dataset, forms, rounds=rounds)
        ratios.append([taken[0] / one for one in taken])
        cells = [f"{1e3 * one:.2f} ms ({taken[0] / one:.2f})" for one in taken]
        macs = f"{count(spec).macs / 1e6:.1f} M"
        print(f"| {spec.digest[:8]} | {macs} | " + " | ".join(cells) + " |", flush=True)
    means = [statistics.geometric_mean(column) for column in zip(*ratios, strict=True)]
    print("| geometric mean | | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")


def step_seconds(
    spec: ArchSpec, dataset: DataSet, forms: Sequence[Form], *, rounds: int
) -> list[float]:
    """CPU seconds an image, augmentation included: medians of steps of all forms in turn."""
    steps = [_stepping(spec, dataset, form) for form in forms]
    taken: list[list[float]] = [[] for _ in forms]
    with reproducible(_CPU):
        for _ in range(rounds + 1):
            for form, step, seconds in zip(forms, steps, taken, strict=True):
                form.take_gradients()
                begin = time.thread_time()
                step()
                seconds.append((time.thread_time() - begin) / form.batch)
    return [statistics.median(seconds[1:]) for seconds in taken]


def _stepping(spec: ArchSpec, dataset: DataSet, form: Form) -> Callable[[], Any]:
    recipe = form.recipe()
    trainer = Trainer(
        build(spec, seed=0).train(),
        recipe=recipe,
        width=widest(spec),
        num_classes=dataset.num_classes,
        plan=form.plan,
        device=_CPU,
    )
    feed = Feed(dataset, recipe=recipe, seed=0, device=_CPU)
    batches = (batch for epoch in range(99) for batch in islice(feed.epoch(epoch), 8))
    return lambda: trainer.step(*next(batches), share=0.1).tolist()


def learn(specs: Sequence[ArchSpec], dataset: DataSet, chosen: argparse.Namespace) -> None:
    """Trains what the file lacks, and writes each training into it as it ends."""
    path: Path = chosen.json
    rows = json.loads(path.read_text()) if path.exists() else []
    done = {(row["network"], row["seed"], row["form"], row["epochs"]) for row in rows}
    for seed, spec, form in product(chosen.seeds, specs, chosen.forms):
        if (spec.digest, seed, form.name, chosen.epochs) in done:
            continue
        form.take_gradients()
        begin = time.thread_time()
        points = train(
            build(spec, seed=seed),
            dataset,
            recipe=form.recipe(epochs=chosen.epochs, images=chosen.images),
            seed=seed,
            plan=form.plan,
            width=widest(spec),
        )
        row = {"network": spec.digest, "macs": count(spec).macs, "seed": seed, "form": form.name}
        row |= {"epochs": chosen.epochs, "accuracy": points[-1].accuracy}
        rows.append({**row, "cpu_seconds": time.thread_time() - begin})
        path.write_text(json.dumps(rows, indent=0))


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Mean accuracy, CPU seconds and order of networks by form, each against the first form.

    Of the differences between accuracies of one network and seed stands the standard error.
    """
    kept = [{(r["network"], r["seed"]): r for r in rows if r["form"] == f} for f in _forms(rows)]
    pairs = sorted(set.intersection(*map(set, kept)))
    print(f"{len(pairs)} trainings each\n")
    print("| form | accuracy | difference | times as fast | tau of networks |")
    print("|---|---|---|---|---|")
    first = [kept[0][pair] for pair in pairs]
    for name, found in zip(_forms(rows), kept, strict=True):
        own = [found[pair] for pair in pairs]
        gains = [b["accuracy"] - a["accuracy"] for a, b in zip(first, own, strict=True)]
        error = statistics.stdev(gains) / len(gains) ** 0.5
        ratio = sum(r["cpu_seconds"] for r in first) / sum(r["cpu_seconds"] for r in own)
        means = zip(_by_network(first), _by_network(own), strict=True)
        mean = statistics.fmean(row["accuracy"] for row in own)
        gain, tau = statistics.fmean(gains), kendall_tau_of(list(means))
        print(f"| {name} | {mean:.3f} | {gain:+.3f} ± {error:.3f} | {ratio:.2f} | {tau:.2f} |")


def _forms(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["form"] for row in rows))


def _by_network(rows: Sequence[dict[str, Any]]) -> list[float]:
    names = dict.fromkeys(row["network"] for row in rows)
    return [
        statistics.fmean(row["accuracy"] for row in rows if row["network"] == name)
        for name in names
    ]


if __name__ == "__main__":
    main()
