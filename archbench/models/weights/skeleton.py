"""Which tensors has a network before any is made, of which may a file be, and for which map?

What was learnt for each place of a map comes to another by the shape of the map, not by pixels: a
position is a share of the map, and a distance a share of the farthest one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from archbench.errors import SpecError
from archbench.models.layer import AttentionBias
from archbench.models.network import Network, Stage
from archbench.models.part import Grid
from archbench.models.spec import ArchSpec
from archbench.models.weights.layout import HEAD


class MapTable(NamedTuple):
    """A parameter with one row for each place of a map: rows before those of the map, the map."""

    first: int
    grid: Grid


class Skeleton(NamedTuple):
    """The tensors of a network without their values.

    Attributes:
        tensors: By name, on the meta device.
        tables: Those of them with one row for each place of a map; rows are their side 1.
    """

    tensors: Mapping[str, Tensor]
    tables: Mapping[str, MapTable]

    def has_shapes_of(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether tensors have these names and shapes."""
        shapes = {name: tensor.shape for name, tensor in self.tensors.items()}
        return shapes == {name: tensor.shape for name, tensor in tensors.items()}


@lru_cache(maxsize=16)
def skeleton(spec: ArchSpec) -> Skeleton:
    """The names and shapes of a network's tensors; nothing of its size is made.

    Raises:
        SpecError: The network is illegal.
    """
    with torch.device("meta"):
        network = Network(spec)
    tables: dict[str, MapTable] = {}
    for name, module in network.named_modules():
        if isinstance(module, AttentionBias):
            tables[f"{name}.values"] = MapTable(0, module.grid)
        if isinstance(module, Stage) and module.position is not None:
            first = module.position.shape[1] - module.grid.tokens
            tables[f"{name}.position"] = MapTable(first, module.grid)
    return Skeleton(network.state_dict(), tables)


def tables_that_differ(spec: ArchSpec, source: ArchSpec) -> dict[str, tuple[MapTable, MapTable]]:
    """The tables whose map is another in two networks that differ in resolution: old and new."""
    if spec.resolution == source.resolution:
        return {}
    old, new = skeleton(source).tables, skeleton(spec).tables
    return {key: (old[key], new[key]) for key in new if old[key].grid != new[key].grid}


def resized_position(values: Tensor, *, first: int, old: Grid, new: Grid) -> Tensor:
    """Embeddings (1, c+N, C) of another map: bicubic over it, antialiased, class tokens kept.

    As DeiT's authors do for 384 px (Touvron et al. 2021, arXiv:2012.12877, sec. 6), whose code
    lacks the antialiasing, which matters where the map shrinks; timm has it.

    Args:
        values: One row for each token, class tokens in front.
        first: How many class tokens, c.
        old: The map they were learnt for.
        new: The map they are wanted for; the same gives the same values.
    """
    if old == new:
        return values
    kept, rows = values[:, :first], values[:, first:]
    image = rows.float().unflatten(1, tuple(old)).permute(0, 3, 1, 2)  # (1, C, H, W)
    image = F.interpolate(image, size=tuple(new), mode="bicubic", antialias=True)
    tokens = image.permute(0, 2, 3, 1).flatten(1, 2).to(values.dtype)  # (1, H*W, C)
    return torch.cat((kept, tokens), dim=1)


def resized_bias(values: Tensor, *, old: Grid, new: Grid) -> Tensor:
    """Biases (h, H*W) by |dy|, |dx| on another grid: linear between the nearest distances.

    No distance stays none and the farthest stays the farthest, so the distance d of the new grid
    is d * (old side - 1) / (new side - 1) of the old one. Linear, as the learnt values have an
    edge at no distance, which a cubic would overshoot.

    Args:
        values: One row for each head.
        old: The finer grid of queries and keys that they were learnt for.
        new: The one they are wanted for; the same gives the same values.
    """
    if old == new:
        return values
    tables = values.float().unflatten(1, tuple(old))[None]  # (1, h, H, W)
    tables = F.interpolate(tables, size=tuple(new), mode="bilinear", align_corners=True)
    return tables[0].flatten(1).to(values.dtype)


def spec_in_file(spec: ArchSpec, found: Mapping[str, Tensor]) -> ArchSpec:
    """The network with the resolution and classes of the file, where one fits."""
    for key in (f"{HEAD}0.weight", f"{HEAD}0.linear.weight"):
        if key in found and found[key].ndim == 2 and 0 < found[key].shape[0] <= 10**6:
            spec = replace(spec, num_classes=found[key].shape[0])
    own = skeleton(spec)
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
    found = _differences(_computed(one), _computed(other), "")
    return [f"{path}: {was!r}, here {now!r}" for path, was, now in found]


def _computed(spec: ArchSpec) -> dict[str, object]:
    document = json.loads(json.dumps(spec.resolved().to_document()))
    del document["resolution"], document["num_classes"]
    for stage in document["stages"]:
        del stage["drop_path"]
    return dict(document)


def _differences(one: object, other: object, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            inner = f"{path}.{key}" if path else key
            yield from _differences(one.get(key), other.get(key), inner)
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield f"number of {path}", len(one), len(other)
            return
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _differences(*pair, f"{path}[{number}]")
    elif one != other:
        yield path, one, other
