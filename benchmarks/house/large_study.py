"""Makes a study of many made-up trials, for which nothing was trained or timed.

    python benchmarks/house/large_study.py FOLDER [--trials 10000] [--space hybrid]

The candidates are drawn from the space at random, each network once. MACs and parameters are
theirs; the latency follows both, and the accuracy follows the cost, bends, and adds what each choice
and some pairs contribute, both with noise. Every 20th complete trial is trained with a second seed,
every 9th is stopped early.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from archbench.models import count
from archbench.search.optuna_view import Ledger
from archbench.search.suggestion import encoded
from archbench.space import Choices, SearchSpace
from archbench.study.measurement import Conditions, Measurement
from archbench.study.trial import CurvePoint, TrialRecord

_EPOCHS = (5, 8, 16)
_SEED_SD = 0.01


def main() -> None:
    """Reads what was typed and makes the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--space", default="hybrid")
    arguments = parser.parse_args()
    space = SearchSpace.load(arguments.space)
    arguments.folder.mkdir(parents=True)
    file = arguments.folder / "study.db"
    asked = {"name": arguments.folder.name, "trials": arguments.trials}
    Ledger.create(file, {**header(space), **asked}).close()
    with Ledger.open(file) as study, study.transaction():
        for record, choices in trials(space, number=arguments.trials):
            study.begin(record, drawn=encoded(space, choices))


def header(space: SearchSpace) -> dict[str, Any]:
    """What a search would have written when it began, as far as a report reads it."""
    return {
        "space_name": space.name,
        "space_text": space.text,
        "size": space.size(),
        "created": "2026-11-20",
        "seed": 0,
        "sampler": "cost_aware",
        "pruner": "none",
        "objectives": dict(space.objectives),
        "limits": dict(space.limits),
        "axes": {a.name: [a.label(i) for i in range(len(a.values))] for a in space.axes},
        "proxy": {
            "data": "cluttered_digits", "resolution": 64, "rungs": list(_EPOCHS), "seeds": 1,
            "chance": 0.1, "num_validation": 1536, "num_classes": 10,
        },
    }  # fmt: skip


def trials(space: SearchSpace, *, number: int) -> Iterator[tuple[TrialRecord, Choices]]:
    """So many trials and the choices of each."""
    chance, rng = random.Random(0), np.random.default_rng(0)
    single: dict[Any, float] = {}
    seen: set[str] = set()
    while len(seen) < number:
        choices = space.sample_feasible(chance)
        assert choices is not None
        spec = space.decode(choices)
        if spec.digest in seen:
            continue
        counted, place = count(spec), len(seen)
        seen.add(spec.digest)
        items = sorted(choices.items())
        pairs = [(*one, *other) for one, other in pairwise(items)]
        gain = sum(single.setdefault(key, rng.normal(0, 0.15)) for key in (*items, *pairs))
        size = np.log(counted.macs / 300e6)
        latency = float(12 * np.exp(0.8 * size + rng.normal(0, 0.1)))
        truth = 0.35 + 0.5 / (1 + np.exp(-(0.8 * size + gain)))
        record = TrialRecord(
            number=place,
            state="complete",
            digest=spec.digest,
            choices=space.values(choices),
            spec=spec.to_document(),
            params=counted.params,
            macs=counted.macs,
            activations=counted.activations,
            latency=timing(latency),
            seconds=60.0,
        )
        yield trained(record, truth=float(truth), rng=rng), choices


def timing(latency_ms: float) -> Measurement:
    """A latency with an interval of a hundredth each way."""
    return Measurement(
        metric="latency", unit="ms", samples=(latency_ms,), value=latency_ms,
        low=0.99 * latency_ms, high=1.01 * latency_ms,
        conditions=Conditions(resolution=(224, 224)), environment_id="0" * 12, verdict="stable",
    )  # fmt: skip


def trained(record: TrialRecord, *, truth: float, rng: np.random.Generator) -> TrialRecord:
    """The trial with the curves of its trainings."""
    if record.latency and (record.latency.value or 0) > 25:
        return replace(record, state="over_limit", reason="latency over the limit")
    is_pruned = record.number % 9 == 4
    epochs, seeds = _EPOCHS[:1] if is_pruned else _EPOCHS, 1 + (record.number % 20 == 0)
    final = np.clip(truth + rng.normal(0, _SEED_SD, seeds), 0.0, 0.999)
    curve = tuple(
        CurvePoint(
            seed=seed, epoch=epoch, step=60 * epoch, loss=1.0, seconds=3.0 * epoch,
            accuracy=float(final[seed] * (1 - 0.5 / epoch) if epoch < _EPOCHS[-1] else final[seed]),
        )
        for seed in range(seeds)
        for epoch in epochs
    )  # fmt: skip
    if is_pruned:
        return replace(record, state="pruned", reason="its curve is low", curve=curve)
    return replace(record, curve=curve, proxy_accuracy=float(final.mean()))


if __name__ == "__main__":
    main()
