"""Which tensors has a network, and which of them may another one take as they are?

What was learnt for each place of a map comes to another by the shape of the map, not by pixels: a
position is a share of the map, and a distance a share of the farthest one.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models.attention import AttentionBias
from archbench.models.network import Network, Stage
from archbench.models.part import Grid
from archbench.models.spec import ArchSpec


class Skeleton(NamedTuple):
    """The tensors of a network by name, on the meta device, which keeps no values.

    Those of ``grids`` have, as their side 1, one row for each place of a map, which is given;
    ``patches`` are weights of convolutions of which no two kernels overlap or leave a gap.
    """

    tensors: Mapping[str, Tensor]
    grids: Mapping[str, Grid]
    patches: frozenset[str]

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
    grids: dict[str, Grid] = {}
    patches = set()
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == module.stride:
            patches.add(f"{name}.weight")
        if isinstance(module, AttentionBias):
            grids[f"{name}.values"] = module.grid
        if isinstance(module, Stage) and module.position is not None:
            grids[f"{name}.position"] = module.grid
    return Skeleton(network.state_dict(), grids, frozenset(patches))


def resized(values: Tensor, *, old: Grid, new: Grid) -> Tensor:
    """What was learnt for each place of a map, for another map; the same map changes no bit.

    Embeddings (1, c+N, C) are taken bicubic over the map, antialiased; class tokens stay. So do
    DeiT's authors for 384 px (Touvron et al. 2021, arXiv:2012.12877, sec. 6), whose code lacks the
    antialiasing, which matters where the map shrinks; timm has it.

    Biases (h, H*W) by |dy|, |dx| are linear between the nearest distances, as the learnt values
    have an edge at no distance, which a cubic would overshoot. No distance stays none and the
    farthest stays the farthest, so the distance d of the new grid is d * (old side - 1) / (new
    side - 1) of the old one.
    """
    if old == new:
        return values
    if values.ndim == 2:
        biases = values.float().unflatten(1, tuple(old))[None]  # (1, h, H, W)
        biases = F.interpolate(biases, size=tuple(new), mode="bilinear", align_corners=True)
        return biases[0].flatten(1).to(values.dtype)
    kept, rows = values[:, : -old.tokens], values[:, -old.tokens :]
    image = rows.float().unflatten(1, tuple(old)).permute(0, 3, 1, 2)  # (1, C, H, W)
    image = F.interpolate(image, size=tuple(new), mode="bicubic", antialias=True)
    tokens = image.permute(0, 2, 3, 1).flatten(1, 2).to(values.dtype)  # (1, H*W, C)
    return torch.cat((kept, tokens), dim=1)


def differing_fields(one: ArchSpec, other: ArchSpec) -> list[str]:
    """What makes two networks compute something else with the same weights, in words.

    Names, resolution, classes and drop path do not.
    """
    computed = []
    for spec in (one, other):
        document = spec.resolved().to_document()
        stages = [{**stage, "drop_path": None} for stage in document["stages"]]
        computed.append({"stages": stages, "head": document["head"]})
    return list(_differences(computed[0], computed[1]))


def _differences(one: object, other: object, path: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            inner = f"{path}.{key}" if path else key
            yield from _differences(one.get(key), other.get(key), inner)
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield f"number of {path}: {len(one)}, here {len(other)}"
            return
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _differences(*pair, f"{path}[{number}]")
    elif one != other:
        yield f"{path}: {one!r}, here {other!r}"
