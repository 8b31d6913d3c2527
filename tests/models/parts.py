"""Random legal embeds, blocks and networks, for properties that must hold everywhere."""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models import ArchSpec
from archbench.models.attention import AttentionBias
from archbench.models.part import ACTIVATIONS, KINDS, Grid, Role, Site, part_spec

NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 0.5, 1.5, 2.5, 1e-5)
WORDS = (
    *("average", "batch", "depthwise", "head", "last", "layer", "linear", "none", "width"),
    *ACTIVATIONS,
)
NEEDED: Sequence[Mapping[str, Any]] = ({}, {"num_heads": 2})
ODD_GRIDS = (Grid(7, 7), Grid(5, 9), Grid(6, 3), Grid(13, 4), Grid(2, 3))
ROLES_AND_KINDS = [(role, kind) for role, registry in KINDS.items() for kind in registry.names]
WITHOUT_ATTENTION = (
    *("bottleneck", "conv", "convnext", "edgenext", "efficientvit"),
    *("inverted_bottleneck", "mobileone", "repvit"),
)
NEEDS_A_STAGE_BEFORE = ("none", "shrink_attention")


@dataclass(frozen=True)
class Drawn:
    """A resolved part and where it stands."""

    role: Role
    part: Any
    site: Site

    def shape(self, batch: int) -> tuple[int, ...]:
        """Shape of what it takes: a map for an embed, tokens for a block."""
        site = self.site
        if self.role == "embed":
            return batch, site.incoming_dim, *site.grid
        return batch, site.class_tokens + site.grid.tokens, site.dim

    def outgoing(self, batch: int) -> tuple[int, ...]:
        """Shape of what it gives."""
        if self.role == "block":
            return self.shape(batch)
        return batch, self.site.dim, *self.part.outgoing(self.site.grid)


class Alone(nn.Module):
    """One embed or block."""

    def __init__(self, drawn: Drawn) -> None:
        super().__init__()
        self.grid = drawn.site.grid if drawn.role == "block" else None
        self.part = drawn.part.module(drawn.site)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.part(x) if self.grid is None else self.part(x, self.grid)
        return y


def counts(work: Any) -> tuple[int, int, int]:
    """What both ways of counting give."""
    return work.params, work.macs, work.activations


def draw(role: Role, kind: str, rng: random.Random) -> Drawn:
    """A legal part of a kind at a random site; at odd and at non-square maps, too."""
    for _ in range(500):
        site = _site(role, kind, rng)
        try:
            part = part_spec(role, kind)(**draw_values(role, kind, rng)).resolved(site)
            if role == "embed":
                part.outgoing(site.grid)
        except SpecError:
            continue
        return Drawn(role, part, site)
    raise AssertionError(f"no legal {role} of kind {kind} was found")


def draw_values(role: Role, kind: str, rng: random.Random) -> dict[str, Any]:
    """Some fields of a kind, each legal by itself."""
    values = dict(rng.choice([needed for needed in NEEDED if _is_legal(role, kind, needed)]))
    for name, legal in _legal_values(role, kind).items():
        if rng.random() < 0.4:
            values[name] = rng.choice(legal)
    return values


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
            "hidden_dim": rng.choice([None, 24]),
            "hidden_norm": rng.choice(["batch", "layer", "none"]),
            "activation": rng.choice([None, "relu"]),
        },
    }


def _site(role: Role, kind: str, rng: random.Random) -> Site:
    attends = part_spec(role, kind).has_attention
    dim = rng.choice([8, 12, 16, 30])
    if role == "embed":
        incoming = dim if kind == "none" else rng.choice([3, 8, 12])
        grid = rng.choice([Grid(32, 32), Grid(31, 17), Grid(9, 24), *ODD_GRIDS])
        return Site(grid=grid, incoming_dim=incoming, dim=dim, bias=attends and rng.random() < 0.5)
    return Site(
        grid=rng.choice(ODD_GRIDS),
        incoming_dim=dim,
        dim=dim,
        class_tokens=rng.choice([0, 0, 1, 2]),
        bias=attends and rng.random() < 0.5,
        drop_path=rng.choice([0.0, 0.2]),
    )


@cache
def _legal_values(role: Role, kind: str) -> dict[str, list[Any]]:
    """For each field the values that the spec's constructor takes by themselves."""
    (needed, *_) = (needed for needed in NEEDED if _is_legal(role, kind, needed))
    found = {}
    types = get_type_hints(part_spec(role, kind))
    for field in fields(part_spec(role, kind)):
        if types[field.name] in (str, str | None):
            tried: Sequence[Any] = WORDS
        elif types[field.name] in (bool, bool | None):
            tried = (True, False)
        else:
            tried = NUMBERS
        found[field.name] = [
            value for value in tried if _is_legal(role, kind, {**needed, field.name: value})
        ]
        assert found[field.name], f"no value is legal for {role} {kind}.{field.name}"
    return found


def _is_legal(role: Role, kind: str, values: Mapping[str, Any]) -> bool:
    if not values.keys() <= {field.name for field in fields(part_spec(role, kind))}:
        return False
    try:
        part_spec(role, kind)(**values)
    except SpecError:
        return False
    return True


def _stage(rng: random.Random, *, first: bool) -> dict[str, Any]:
    depth = rng.randint(0, 3)
    embeds = [kind for kind in KINDS["embed"].names if not (first and kind in NEEDS_A_STAGE_BEFORE)]
    embed, block = (
        _part_document("embed", embeds, rng),
        _part_document("block", KINDS["block"].names, rng),
    )
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
        stage["layers"] = {0: _part_document("block", WITHOUT_ATTENTION, rng)}
    return stage


def _part_document(role: Role, kinds: Any, rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(kinds)
    return {"kind": kind, **draw_values(role, kind, rng)}


def amplify(network: nn.Module, *, scale: float, generator: torch.Generator) -> None:
    """Weights with which each layer hands on more than it takes, so that what is rounded grows."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                deviation = scale / module.weight[0].numel() ** 0.5
                module.weight.normal_(0, deviation, generator=generator)
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                mean, variance = module.running_mean, module.running_var
                assert mean is not None
                assert variance is not None
                variance.uniform_(0.5, 1.5, generator=generator)
                module.weight.normal_(1, 0.1, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
                mean.normal_(0, 0.1, generator=generator)
            elif isinstance(module, AttentionBias):
                module.values.normal_(generator=generator)
