"""A study as a search would leave it, made of plausible numbers."""

import hashlib
import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from archbench.analysis.study import StudyReader
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement
from archbench.study.trial import Failure, Reference, Snapshot, TrialRecord
from tests.study import example

CONDITIONS = Conditions(resolution=(32, 32))
ENVIRONMENT = Environment(
    cpu="AMD EPYC 9R45",
    cores=2,
    memory_bytes=8 * 2**30,
    gpu=None,
    system="Linux 6.8.0",
    python="3.12.8",
    packages={"torch": "2.11.0", "archbench": "0.1.0", "optuna": "5.0.0"},
)
QUESTION = "Which small hybrid reads cluttered digits best, and how much latency does it cost?"
SPACE = f"""# {QUESTION}
base: levit_128s
axes:
  stages[0].dim: [16, 24, 32]
  stages[1].dim: [32, 48, 64]
  stages[each].depth: [1, 2]
limits: {{latency_ms: 1.4}}
"""
_SHRINK = {"kind": "shrink_attention", "key_dim": 8, "attention_ratio": 4}


def header(**changes: Any) -> dict[str, Any]:
    """What a search writes into the head of its study."""
    said: dict[str, Any] = {
        "name": "quickstart",
        "created": "2026-03-02T10:15:00+00:00",
        "seed": 7,
        "space_text": SPACE,
        "space_name": "quickstart",
        "question": QUESTION,
        "objectives": {"proxy_accuracy": "max", "latency_ms": "min"},
        "limits": {"latency_ms": 1.4},
        "conditions": {**asdict(CONDITIONS), "resolution": [32, 32]},
        "proxy": {
            "data": "cluttered_digits",
            "data_description": "synthetic digits: scikit-learn's handwritten digits on textured "
            "backgrounds with distractors",
            "data_digest": "91be02c7a1d3f5e4",
            "data_notes": ["2048 images to train on, 203 to 207 a class"],
            "resolution": 32,
            "stem": "keep_grid",
            "rungs": [2, 4, 8],
            "seeds": 1,
            "chance": 0.1071,
            "majority": 0.1071,
            "num_classes": 10,
            "num_train": 2048,
            "num_validation": 1536,
            "num_test": 1024,
        },
        "environment": asdict(ENVIRONMENT),
        "sampler": "tpe",
        "size": 1152,
        "feasible_share": 0.8888,
        "feasible_low": 0.8888,
        "feasible_high": 0.8888,
        "command": "archbench search quickstart",
        "plan": {"precision": "fp32", "seconds": {"fp32 contiguous": 0.021417}, "device": "cpu"},
        "seconds": 247.0,
    }
    return said | changes


def spec(choices: dict[str, Any]) -> dict[str, Any]:
    """The network that a trial's choices stand for."""
    levit = {"kind": "levit", "key_dim": 8, "attention_ratio": 2}
    chosen = choices["stages[1].block"]
    stages = [
        {
            "embed": embed,
            "block": {**block, "mlp_ratio": choices["stages[all].block.mlp_ratio"]},
            "dim": choices[f"stages[{stage}].dim"],
            "depth": choices[f"stages[{stage}].depth"],
            "position": "bias",
        }
        for stage, embed, block in (
            (0, {"kind": "conv_stem", "num_convs": 2}, levit),
            (1, _SHRINK, chosen if chosen["kind"] == "cvt" else levit),
        )
    ]
    head = {"pool": "mean", "norm": "batch", "num_classifiers": 1}
    return {"resolution": 32, "num_classes": 10, "stages": stages, "head": head}


def trial(number: int, rng: random.Random, *, limit: float = 1.4) -> TrialRecord:
    """One candidate whose accuracy grows with its cost, with some noise."""
    blocks = [{"kind": "levit", "key_dim": 8}, {"kind": "cvt", "head_dim": 16, "kv_stride": 2}]
    values: dict[str, list[Any]] = {
        "stages[0].dim": [16, 24, 32],
        "stages[1].dim": [32, 48, 64],
        "stages[0].depth": [1, 2],
        "stages[1].depth": [1, 2],
        "stages[all].block.mlp_ratio": [1, 2],
        "stages[1].block": blocks,
    }
    choices = {axis: rng.choice(known) for axis, known in values.items()}
    document = spec(choices)
    digest = hashlib.sha256(json.dumps([document, number]).encode()).hexdigest()[:16]
    work = (choices["stages[0].dim"] / 16) * choices["stages[0].depth"]
    work += (choices["stages[1].dim"] / 24) * choices["stages[1].depth"]
    latency = 0.22 + 0.17 * work * rng.uniform(0.85, 1.15)
    base = {
        "number": number,
        "digest": digest,
        "choices": choices,
        "spec": document,
        "params": int(21_000 * work**1.4),
        "macs": int(610_000 * work**1.2),
        "activations": int(31_000 * work),
        "latency": measurement(latency, rng),
    }
    chance = rng.random()
    if latency > limit:
        reason = f"latency {latency:.2f} ms is over the limit of {limit} ms"
        return TrialRecord(state="over_limit", reason=reason, seconds=0.6, **base)
    if chance < 0.06:
        failure = Failure(kind="nan", message=f"the loss was not finite at step {number + 40}")
        return TrialRecord(state="failed", failure=failure, seconds=2.2, **base)
    final = 0.86 - 0.5 * math.exp(-1.1 * work / 3) + rng.gauss(0, 0.05)
    is_pruned = chance < 0.25
    curve = tuple(
        example.point(epoch, 0.11 + (final - 0.11) * share)
        for epoch, share in ((2, 0.12), (4, 0.62), (8, 1.0))[: 2 if is_pruned else 3]
    )
    if is_pruned:
        reason = "cannot beat the front at its latency"
        return TrialRecord(state="pruned", reason=reason, curve=curve, seconds=3.1, **base)
    return TrialRecord(
        state="complete", proxy_accuracy=round(final, 4), curve=curve, seconds=5.9, **base
    )


def measurement(value: float, rng: random.Random) -> Measurement:
    """A latency of so many milliseconds with its interval."""
    is_disturbed = rng.random() < 0.1
    half = value * (0.03 if is_disturbed else 0.008)
    samples = tuple(value * rng.uniform(0.98, 1.05) for _ in range(20))
    taken = example.latency(value, verdict="disturbed" if is_disturbed else "stable")
    return replace(taken, samples=samples, low=value - half, high=value + half)


def trials(count: int = 40, *, seed: int = 3, limit: float = 1.4) -> list[TrialRecord]:
    """So many trials of one study."""
    rng = random.Random(seed)
    return [trial(number, rng, limit=limit) for number in range(count)]


def references() -> tuple[Reference, ...]:
    """Published networks measured beside the study: one near its trials, one far out."""
    rng = random.Random(1)
    sizes = (("levit_128s", 1.93, 7_391_290, 9_000_000), ("cvt_13", 7.7, 19_600_000, 94_000_000))
    return tuple(
        Reference(name=name, latency=measurement(value, rng), params=params, macs=macs)
        for name, value, params, macs in sizes
    )


def study(
    *,
    records: Sequence[TrialRecord] | None = None,
    head: dict[str, Any] | None = None,
    beside: Sequence[Reference] | None = None,
    path: Path = Path("results/quickstart"),
) -> StudyReader:
    """A study that holds all this; nothing is written anywhere."""
    snapshot = Snapshot(
        header=header() if head is None else head,
        trials=tuple(trials() if records is None else records),
        references=tuple(references() if beside is None else beside),
        measurements=(),
    )
    return StudyReader(path, snapshot=snapshot)
