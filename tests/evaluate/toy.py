"""A network that trains in milliseconds."""

from __future__ import annotations

from typing import Any

SPEC: dict[str, Any] = {
    "name": "toy",
    "resolution": 16,
    "num_classes": 3,
    "stages": [
        {
            "embed": {"kind": "conv", "kernel": 4, "stride": 4, "padding": 0, "norm": "batch"},
            "block": {
                "kind": "levit",
                "num_heads": 2,
                "key_dim": 8,
                "attention_ratio": 1,
                "mlp_ratio": 1,
            },
            "dim": 16,
            "depth": 1,
            "position": "bias",
        }
    ],
    "head": {"pool": "mean", "norm": "batch", "num_classifiers": 1},
}
