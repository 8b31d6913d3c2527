"""Random legal networks of the grammar, for properties that must hold everywhere."""

from __future__ import annotations

import itertools
import random
from typing import Any

from archbench.errors import SpecError
from archbench.models import ArchSpec


def random_spec(rng: random.Random) -> ArchSpec:
    """A legal spec, small enough to build at once."""
    while True:
        spec = ArchSpec.from_document(random_document(rng))
        try:
            spec.resolved()
        except SpecError:
            continue
        return spec


def random_document(rng: random.Random) -> dict[str, Any]:
    """A spec's document; parts are legal one by one, not always together."""
    resolution: Any = rng.choice([16, 31, 32, 48, [24, 40], [33, 18]])
    stages = [_stage(rng, first=i == 0) for i in range(rng.randint(1, 3))]
    for before, stage in itertools.pairwise(stages):
        if stage["embed"]["kind"] == "none":
            stage["dim"] = before["dim"]
    tokens = 0
    for stage in stages:
        tokens = stage["class_tokens"] + (tokens if stage["embed"]["kind"] == "none" else 0)
    pool = rng.choice(["mean", "class_token", "layer_class_attention"]) if tokens else "mean"
    return {
        "resolution": resolution,
        "num_classes": rng.choice([2, 10, 17]),
        "stages": stages,
        "head": {
            "pool": pool,
            "norm": rng.choice(["layer", "batch", "none"]),
            "num_classifiers": rng.randint(1, 2 if pool == "mean" else min(2, tokens)),
        },
    }


def _stage(rng: random.Random, *, first: bool) -> dict[str, Any]:
    depth = rng.randint(0, 3)
    embed = _embed(rng, first=first)
    block = _block(rng)
    attends = depth > 0 and block["kind"] not in ("bottleneck", "conv")
    positions = ["none", "bias", "absolute"]
    stage: dict[str, Any] = {
        "embed": embed,
        "dim": rng.choice([16, 24, 32, 48]),
        "depth": depth,
        "class_tokens": rng.choice([0, 0, 1, 2]) if attends else 0,
        "drop_path": rng.choice([0.0, 0.1, [0.0, 0.2]]),
        "position": rng.choice(positions)
        if attends or embed["kind"] == "shrink_attention"
        else "none",
    }
    if depth:
        stage["block"] = block
    if depth > 1 and block["kind"] == "cvt":
        stage["layers"] = {1: {"mlp_ratio": 1, "kv_stride": rng.choice([1, 2])}}
    elif depth > 1 and rng.random() < 0.3:
        stage["layers"] = {0: rng.choice([_bottleneck, _conv])(rng)}
    return stage


def _embed(rng: random.Random, *, first: bool) -> dict[str, Any]:
    kinds = ["bottleneck", "conv", "conv_stem", "image_to_tokens", "pool", "resnet_stem"]
    kind = rng.choice(kinds if first else [*kinds, "none", "shrink_attention"])
    if kind == "conv":
        return {
            "kind": kind,
            "kernel": rng.choice([1, 2, 3, 7]),
            "stride": rng.choice([1, 2, 4]) if not first else rng.choice([2, 4]),
            "norm": rng.choice(["layer", "batch", "none"]),
        }
    if kind == "conv_stem":
        return {"kind": kind, "num_convs": rng.choice([1, 2, 3]), "activation": "relu"}
    if kind == "image_to_tokens":
        return {
            "kind": kind,
            "channels": rng.choice([8, 12]),
            "kernel": rng.choice([3, 7]),
            "stride": rng.choice([2, 4, 8]),
        }
    if kind == "shrink_attention":
        return {
            "kind": kind,
            "key_dim": rng.choice([4, 8]),
            "attention_ratio": rng.choice([1, 4]),
            "mlp_ratio": rng.choice([1, 1.5, 2]),
            "stride": rng.choice([1, 2, 3]),
            "norm": rng.choice(["batch", "layer"]),
        }
    if kind == "bottleneck":
        return {
            "kind": kind,
            "stride": rng.choice([1, 2, 3]) if not first else rng.choice([2, 3]),
            "reduction": rng.choice([1, 4, 5]),
            "activation": rng.choice(["relu", "silu"]),
        }
    if kind == "pool":
        return {"kind": kind, "stride": rng.choice([1, 2, 4]) if not first else 4}
    if kind == "resnet_stem":
        return {"kind": kind, "stride": rng.choice([1, 2, 4]) if not first else 4}
    return {"kind": kind}


def _block(rng: random.Random) -> dict[str, Any]:
    return rng.choice([_bottleneck, _ceit, _conv, _cvt, _levit, _local_global, _vit])(rng)


def _bottleneck(rng: random.Random) -> dict[str, Any]:
    return {"kind": "bottleneck", "reduction": rng.choice([1, 4, 5])}


def _conv(rng: random.Random) -> dict[str, Any]:
    return {
        "kind": "conv",
        "kernel": rng.choice([1, 3, 5]),
        "expansion": rng.choice([None, 0.5, 1, 2.3]),
        "depthwise": rng.choice([True, False]),
        "norm": rng.choice(["batch", "layer", "none"]),
        "activation": rng.choice(["relu", "hardswish"]),
    }


def _levit(rng: random.Random) -> dict[str, Any]:
    block: dict[str, Any] = {
        "kind": "levit",
        "key_dim": rng.choice([4, 8]),
        "attention_ratio": rng.choice([1, 2]),
        "mlp_ratio": rng.choice([0.5, 2]),
        "attention_activation": rng.choice(["hardswish", "none"]),
        "norm": rng.choice(["batch", "layer"]),
    }
    return block | ({"num_heads": rng.choice([1, 3])} if rng.random() < 0.5 else {})


def _cvt(rng: random.Random) -> dict[str, Any]:
    block = {
        "kind": "cvt",
        "kv_stride": rng.choice([1, 2, 3]),
        "mlp_ratio": rng.choice([1, 2.5, 4]),
        "projection": rng.choice(["depthwise", "average", "linear"]),
        "kernel": rng.choice([1, 3, 5]),
        "scale": rng.choice(["width", "head"]),
        "bias": rng.choice([True, False]),
        "shared_kv": rng.choice([True, False]),
        "activation": rng.choice(["gelu", "quick_gelu"]),
    }
    return block | _heads(rng)


def _vit(rng: random.Random) -> dict[str, Any]:
    block = {
        "kind": "vit",
        "mlp_ratio": rng.choice([1, 2.5, 4]),
        "bias": rng.choice([True, False]),
        "epsilon": rng.choice([1e-6, 1e-5]),
        "activation": rng.choice(["gelu", "relu"]),
    }
    return block | _heads(rng)


def _ceit(rng: random.Random) -> dict[str, Any]:
    block = {
        "kind": "ceit",
        "mlp_ratio": rng.choice([1, 2.5, 4]),
        "kernel": rng.choice([1, 3, 5]),
        "bias": rng.choice([True, False]),
        "epsilon": rng.choice([1e-6, 1e-5]),
        "activation": rng.choice(["gelu", "relu"]),
    }
    return block | _heads(rng)


def _local_global(rng: random.Random) -> dict[str, Any]:
    block = {
        "kind": "local_global",
        "window": rng.choice([2, 3, 7]),
        "pool": rng.choice([1, 2, 7]),
        "mlp_ratio": rng.choice([1, 2.5]),
        "epsilon": rng.choice([1e-6, 1e-5]),
        "activation": rng.choice(["gelu", "relu"]),
    }
    return block | _heads(rng)


def _heads(rng: random.Random) -> dict[str, Any]:
    return rng.choice([{"num_heads": 4}, {"head_dim": 8}, {"num_heads": 3, "head_dim": 5}])
