"""Random legal networks of the grammar, for properties that must hold everywhere."""

from __future__ import annotations

import itertools
import random
from typing import Any

from archbench.errors import SpecError
from archbench.models import ArchSpec
from archbench.models.part import KINDS, Role
from tests.models.parts import draw_values

WITHOUT_ATTENTION = ("bottleneck", "conv")
NEEDS_A_STAGE_BEFORE = ("none", "shrink_attention")


def random_spec(rng: random.Random) -> ArchSpec:
    """A legal spec, small enough to build at once."""
    while True:
        try:
            spec = ArchSpec.from_document(random_document(rng))
            spec.resolved()
        except SpecError:
            continue
        return spec


def random_document(rng: random.Random) -> dict[str, Any]:
    """A spec's document; fields are legal one by one, not always together."""
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
    embeds = [kind for kind in KINDS["embed"].names if not (first and kind in NEEDS_A_STAGE_BEFORE)]
    embed, block = _part("embed", embeds, rng), _part("block", KINDS["block"].names, rng)
    attends = depth > 0 and block["kind"] not in WITHOUT_ATTENTION
    has_attention = attends or embed["kind"] == "shrink_attention"
    stage: dict[str, Any] = {
        "embed": embed,
        "dim": rng.choice([16, 24, 32, 48]),
        "depth": depth,
        "class_tokens": rng.choice([0, 0, 1, 2]) if attends else 0,
        "drop_path": rng.choice([0.0, 0.1, [0.0, 0.2]]),
        "position": rng.choice(["none", "bias", "absolute"]) if has_attention else "none",
    }
    if depth:
        stage["block"] = block
    if depth > 1 and block["kind"] == "cvt":
        stage["layers"] = {1: {"mlp_ratio": 1, "kv_stride": rng.choice([1, 2])}}
    elif depth > 1 and rng.random() < 0.3:
        stage["layers"] = {0: _part("block", WITHOUT_ATTENTION, rng)}
    return stage


def _part(role: Role, kinds: Any, rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(kinds)
    return {"kind": kind, **draw_values(role, kind, rng)}
