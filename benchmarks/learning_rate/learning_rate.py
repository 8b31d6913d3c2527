"""Which peak learning rate suits which width, and does the recipe's rule stay below the cliff?

Trains one LeViT and one CvT of two stages at each width and rate on the built-in digits. The rate
that the recipe's rule gives a width is printed beside.

    python benchmarks/learning_rate/learning_rate.py --widths 32 64 128 --json out.json

Takes 7 to 20 s of CPU a training up to width 128.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from archbench.data import DataSet, load
from archbench.models import build
from archbench.train.loop import train
from archbench.train.recipe import Plan, Recipe

RATES = (1e-3, 2e-3, 4e-3, 6e-3, 9e-3)


def main() -> None:
    """Parses, trains, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    dataset = load("cluttered_digits", resolution=32)
    rows = []
    for width in chosen.widths:
        print(f"width {width}: the rule gives {Recipe().learning_rate(width):.2e}")
        for rate in chosen.rates:
            for kind, document in {"levit": levit(width), "cvt": cvt(width)}.items():
                accuracy = trained(document, dataset, width=width, rate=rate, seed=chosen.seed)
                rows.append({"kind": kind, "width": width, "rate": rate, "accuracy": accuracy})
                print(f"  {kind:5} {rate:.1e} {accuracy:.3f}", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps({"seed": chosen.seed, "rows": rows}, indent=1))


def trained(
    document: dict[str, Any], dataset: DataSet, *, width: int, rate: float, seed: int
) -> float:
    """The validation accuracy after 8 epochs at one rate, whatever the width."""
    recipe = Recipe(rungs=(8,), peak_rate=rate, rate_power=0.0)
    points = train(
        build(document, seed=seed), dataset, recipe=recipe, seed=seed, plan=Plan(), width=width
    )
    return points[-1].accuracy


def levit(width: int) -> dict[str, Any]:
    """A LeViT of two stages, the second of this width."""
    block = {"kind": "levit", "key_dim": 8, "attention_ratio": 2, "mlp_ratio": 2}
    shrink = {"kind": "shrink_attention", "key_dim": 8, "attention_ratio": 4, "mlp_ratio": 2}
    return {
        "resolution": 32,
        "num_classes": 10,
        "stages": [
            {
                "embed": {"kind": "conv_stem", "num_convs": 2},
                "block": {**block, "num_heads": 2},
                "dim": width // 2,
                "depth": 1,
                "position": "bias",
            },
            {
                "embed": {**shrink, "stride": 2},
                "block": {**block, "num_heads": 4},
                "dim": width,
                "depth": 2,
                "position": "bias",
            },
        ],
        "head": {"pool": "mean", "norm": "batch", "num_classifiers": 2},
    }


def cvt(width: int) -> dict[str, Any]:
    """A CvT of two stages, the second of this width."""
    embed = {"kind": "conv", "norm": "layer"}
    block = {"kind": "cvt", "mlp_ratio": 2}
    return {
        "resolution": 32,
        "num_classes": 10,
        "stages": [
            {
                "embed": {**embed, "kernel": 7, "stride": 4, "padding": 2},
                "block": {**block, "num_heads": 2, "kv_stride": 2},
                "dim": width // 2,
                "depth": 1,
            },
            {
                "embed": {**embed, "kernel": 3, "stride": 2, "padding": 1},
                "block": {**block, "num_heads": 4, "kv_stride": 1},
                "dim": width,
                "depth": 2,
            },
        ],
        "head": {"pool": "mean", "norm": "layer", "num_classifiers": 1},
    }


if __name__ == "__main__":
    main()
