"""Random legal embeds and blocks of any kind, drawn from the fields that their specs have."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_type_hints

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.part import ACTIVATIONS, KINDS, Grid, Role, Site, part_spec

NUMBERS = (1, 2, 3, 4, 5, 7, 8, 0.5, 1.5, 2.5, 1e-5)
WORDS = ("average", "batch", "depthwise", "head", "layer", "linear", "none", "width", *ACTIVATIONS)
NEEDED: Sequence[Mapping[str, Any]] = ({}, {"num_heads": 2})
ODD_GRIDS = (Grid(7, 7), Grid(5, 9), Grid(6, 3), Grid(13, 4), Grid(2, 3))
ROLES_AND_KINDS = [(role, kind) for role, registry in KINDS.items() for kind in registry.names]


@dataclass(frozen=True)
class Drawn:
    """A resolved part and where it stands."""

    role: Role
    part: Any
    site: Site

    def alone(self) -> Alone:
        """The part as a network of its own, with fresh weights."""
        return Alone(self)

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
        if types[field.name] is str:
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
