"""Which tensors has a network, before any is made, and of which network may a file be?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import isqrt

import torch
from torch import Tensor

from archbench.errors import SpecError
from archbench.models.layer import AttentionBias
from archbench.models.network import Network, Stage
from archbench.models.part import Grid
from archbench.models.spec import ArchSpec
from archbench.models.weights.layout import HEAD


@dataclass(frozen=True)
class Table:
    """A parameter with one row for each place of a map.

    Attributes:
        first: How many rows stand before those of the map.
        grid: The map.
    """

    first: int
    grid: Grid


@dataclass(frozen=True)
class Shell:
    """The tensors of a network without their values.

    Attributes:
        tensors: By name, on the meta device.
        tables: Those of them with one row for each place of a map; rows are their side 1.
    """

    tensors: Mapping[str, Tensor]
    tables: Mapping[str, Table]


@lru_cache(maxsize=16)
def shell(spec: ArchSpec) -> Shell:
    """The names and shapes of a network's tensors; nothing of its size is made.

    Raises:
        SpecError: The network is illegal.
    """
    with torch.device("meta"):
        network = Network(spec)
    tables: dict[str, Table] = {}
    for name, module in network.named_modules():
        if isinstance(module, AttentionBias):
            tables[f"{name}.values"] = Table(0, module.grid)
        if isinstance(module, Stage) and module.position is not None:
            first = module.position.shape[1] - module.grid.tokens
            tables[f"{name}.position"] = Table(first, module.grid)
    return Shell(network.state_dict(), tables)


def tables_that_differ(spec: ArchSpec, source: ArchSpec) -> dict[str, tuple[Table, Table]]:
    """The tables whose map is another in two networks that differ in resolution: old and new."""
    if spec.resolution == source.resolution:
        return {}
    old, new = shell(source).tables, shell(spec).tables
    return {key: (old[key], new[key]) for key in new if old[key].grid != new[key].grid}


def spec_in_file(spec: ArchSpec, found: Mapping[str, Tensor]) -> ArchSpec:
    """The network with the resolution and classes of the file, where one fits."""
    for key in (f"{HEAD}0.weight", f"{HEAD}0.linear.weight"):
        if key in found and found[key].ndim == 2 and 0 < found[key].shape[0] <= 10**6:
            spec = replace(spec, num_classes=found[key].shape[0])
    own = shell(spec)
    for key, entry in own.tables.items():
        shape = found[key].shape if key in found else own.tensors[key].shape
        if len(shape) < 2 or shape[1] == own.tensors[key].shape[1]:
            continue
        side = isqrt(max(0, shape[1] - entry.first))
        if side and side * side == shape[1] - entry.first:
            return _at_side(spec, key, entry.grid, side) or spec
    return spec


def _at_side(spec: ArchSpec, key: str, grid: Grid, side: int) -> ArchSpec | None:
    """The network at the square resolution at which one table's map has this side, if any."""
    guess = round(spec.resolution.height * side / grid.height)
    near = [*range(max(1, guess - 96), guess + 97)]
    # Resolutions in use are multiples of 32, or those at which strides leave nothing over.
    near.sort(key=lambda pixels: (pixels != guess, pixels % 32 != 0, abs(pixels - guess)))
    for pixels in near:
        try:
            candidate = replace(spec, resolution=Grid(pixels, pixels))
            stage = candidate.resolved().stages[int(key.split(".")[1])]
        except SpecError:
            continue
        if (stage.embed_site.grid if ".embed." in key else stage.grid) == (side, side):
            return candidate
    return None


def differing_fields(one: ArchSpec, other: ArchSpec) -> list[str]:
    """What makes two networks compute something else with the same weights, in words.

    Names, resolution, classes and drop path do not.
    """
    return [
        f"{path}: {was!r}, here {now!r}"
        for path, was, now in _differences(_computed(one), _computed(other), "")
    ]


def _computed(spec: ArchSpec) -> dict[str, object]:
    document = json.loads(json.dumps(spec.resolved().to_document()))
    for field in ("resolution", "num_classes"):
        del document[field]
    for stage in document["stages"]:
        del stage["drop_path"]
    return dict(document)


def _differences(one: object, other: object, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            inner = f"{path}.{key}" if path else key
            yield from _differences(one.get(key), other.get(key), inner)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _differences(*pair, f"{path}[{number}]")
    elif isinstance(one, list) and isinstance(other, list):
        yield f"number of {path}", len(one), len(other)
    elif one != other:
        yield path, one, other
