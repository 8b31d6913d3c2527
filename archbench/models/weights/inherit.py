"""What does a network take over from the weights of another one, its ancestor?

What fits is copied. For all else there are rules, which keep near to what the ancestor computes:

- Layers: of too many those evenly spaced are taken, the first and the last among them. Where there
  are too few, new ones stand between and begin as nothing: their branches end in zeros.
- Channels, hidden units, heads and the widths within each head: of too many those of the greatest
  norm are taken, wherever they are written or read the same ones. New ones begin as ever, and what
  is taken over reads them with zeros.
- Kernels: a larger one has the old one in its middle and zeros around, which changes nothing. Of a
  smaller one the places that are gone are added to the nearest ones, so that a flat map gives what
  it gave. Kernels that cut patches are resized as the patches would be.
- Tables of positions and attention biases are interpolated, as ``skeleton.resized`` does it.
- Strides have no weights; statistics of a batch norm go with their channels. Classifiers are taken
  over where there are as many classes, else they are fresh.

Xu et al. 2024 (arXiv:2311.18823) initialise small networks from larger ones in this way; they too
compare layers evenly spaced with the first ones, and find that it matters most to select the same
channels everywhere. Ranking channels by their norm is of Li et al. 2017 (arXiv:1608.08710) and
serves Cai et al. 2020 (arXiv:1908.09791) to shrink widths, whose smaller kernels are also the
middle of larger ones; theirs is the l1 norm of one layer, ours the l2 norm over all that write or
read a channel. To begin a larger network as the function of a smaller one is of Chen et al. 2016
(arXiv:1511.05641), to resize patches so that resized ones give what they gave of Beyer et al. 2023
(arXiv:2212.08013).

What of a network are the same channels, its parts say: see ``named_channels``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from archbench.models.channels import runs
from archbench.models.network import Network
from archbench.models.spec import ArchSpec, ResolvedSpec
from archbench.models.weights.layout import HEAD
from archbench.models.weights.pairing import Pair, kept_layers, origins, pairs, places
from archbench.models.weights.skeleton import resized, skeleton

_EPSILON = 1e-5  # of every batch norm


@dataclass(frozen=True, kw_only=True)
class Inherited:
    """How many of a network's parameters its ancestor had, ``of`` all of its own.

    ``tensors`` counts what was done to make them, statistics of norms among them: ``copied``,
    ``chosen`` (channels), ``resized`` (kernels), ``interpolated`` (tables); ``fresh`` are the rest.
    """

    params: int
    of: int
    tensors: Mapping[str, int]

    @property
    def share(self) -> float:
        """The share of the parameters that the ancestor had, 0 to 1."""
        return self.params / self.of


class Chosen(NamedTuple):
    """Which of ``of`` old channels each new one is, -1 where it is none of them.

    The places have a row for each old head where they are of channels within heads, else one row,
    as what heads share.
    """

    places: Tensor
    of: int


def inherit(
    network: Network, *, ancestor: Mapping[str, Tensor], ancestor_spec: ArchSpec
) -> Inherited:
    """Gives a network that was built the weights of an ancestor wherever they fit, in place.

    The ancestor is the ``state_dict`` of a network of its spec, which may differ in anything; where
    it is the network's own, all weights are the ancestor's, to the bit.

    Raises:
        KeyError: The ancestor lacks a tensor of its spec.
    """
    spec, own = network.spec, network.state_dict()
    found = {**own, **_silent(spec.resolved(), ancestor_spec.resolved(), own)}
    matched = list(pairs(spec, ancestor_spec))
    chosen = _given(spec.resolved(), ancestor_spec.resolved())
    chosen |= greatest_norm(matched, ancestor, known=chosen)
    learnt = dict(network.named_parameters())
    done, params = Counter[str](), 0
    for pair in matched:
        old, how = _brought(pair, ancestor[pair.old_name], spec=spec, ancestor_spec=ancestor_spec)
        indices = indices_of(pair, old, chosen)
        if not _fits(own[pair.name], old, indices):
            continue
        is_layer = len(pair.sides) > 1 and all(pair.sides[:2])
        found[pair.name], number = taken(own[pair.name], old, indices, is_layer=is_layer)
        is_whole = all(index is None for index in indices)
        done[how if is_whole else "chosen"] += number > 0
        params += number if pair.name in learnt else 0
    network.load_state_dict(found)
    done["fresh"] = len(own) - done.total()
    of = sum(parameter.numel() for parameter in learnt.values())
    return Inherited(params=params, of=of, tensors=dict(done))


def _given(new: ResolvedSpec, old: ResolvedSpec) -> dict[str, Chosen]:
    """What is not chosen by norm: tokens, classes and layers of tables."""
    found = {}
    for i, (here, there) in enumerate(zip(new.stages, old.stages, strict=False)):
        beside = [stage.tokens - stage.grid.tokens for stage in (here, there)]
        # The rows of a map, which come to the new map before, stand behind the class tokens.
        rows = torch.cat((_first(*beside), beside[1] + torch.arange(here.grid.tokens)))
        found[f"stages.{i}.rows"] = Chosen(rows[None], beside[1] + here.grid.tokens)
        tokens = _first(here.class_tokens, there.class_tokens)
        found[f"stages.{i}.tokens"] = Chosen(tokens[None], there.class_tokens)
    is_same = new.num_classes == old.num_classes
    classes = _first(new.num_classes, old.num_classes if is_same else 0)
    found["head.classes"] = Chosen(classes[None], old.num_classes)
    depths = [len(spec.stages[-1].blocks) for spec in (new, old)]
    layers = [-1 if layer is None else layer for layer in kept_layers(*depths)]
    found["head.layers"] = Chosen(torch.tensor([layers], dtype=torch.int64), depths[1])
    return found


def _first(number: int, of: int) -> Tensor:
    """The first so many of ``of``; -1 for those beyond."""
    order = torch.arange(number)
    return order.where(order < of, -1)


def greatest_norm(
    matched: Sequence[Pair], ancestor: Mapping[str, Tensor], *, known: Mapping[str, Chosen]
) -> dict[str, Chosen]:
    """The channels that are taken, by the squares of all weights that write or read them."""
    sums: dict[str, Tensor] = {}
    sizes: dict[str, int] = {}
    for pair in matched:
        weight = None
        if pair.name.endswith("weight") and len(pair.sides) > 1:
            weight = _folded(pair, ancestor)
        for side, words in enumerate(pair.sides):
            for name, squares in _squares(pair, words, weight, side=side):
                key = pair.place.key(name)
                if key in known:
                    continue
                if key not in sums:
                    sums[key], sizes[key] = squares, pair.place.channels.sizes[name]
                elif sums[key].shape[1] == squares.shape[1]:
                    sums[key] = _sum(sums[key], squares)
    return {
        key: Chosen(_greatest(squares, sizes[key]), squares.shape[1])
        for key, squares in sums.items()
    }


def _folded(pair: Pair, ancestor: Mapping[str, Tensor]) -> Tensor:
    """A weight of mean square 1 once it is folded into the batch norm beside it, if there is one.

    The norm of a classifier is of its inputs, that of any other layer of its outputs.
    """
    weight = ancestor[pair.old_name].float()
    beside = f"{pair.old_name.rsplit('.', 2)[0]}.norm"
    if (variance := ancestor.get(f"{beside}.running_var")) is not None:
        scale = ancestor[f"{beside}.weight"].float() / torch.sqrt(variance.float() + _EPSILON)
        side = 1 if pair.name.startswith(HEAD) else 0
        weight = weight * _along(side, scale, like=weight)
    size = weight.square().mean().sqrt()
    return weight / size if size > 0 else weight


def _squares(
    pair: Pair, words: str, weight: Tensor | None, *, side: int
) -> Iterator[tuple[str, Tensor]]:
    """The channels of one side of a weight, by name, each with its mean square: (heads, channels).

    There is one row where they are not within heads. Without a weight they are zeros.
    """
    channels, start = pair.old_place.channels, 0
    sizes, total = channels.sizes, torch.zeros(channels.length(words))
    if weight is not None:
        total = weight.square().mean(dim=[one for one in range(weight.ndim) if one != side])
    for run in runs(words):
        heads = sizes[run.heads] if run.heads else 1
        widths = [sizes[name] for name in run.members]
        here = total[start : start + heads * sum(widths)].view(heads, -1)
        start += here.numel()
        yield from zip(run.members, here.split(widths, dim=1), strict=True)
        if run.heads:
            yield run.heads, here.mean(dim=1)[None]


def _sum(one: Tensor, other: Tensor) -> Tensor:
    """Of (heads, channels); what all heads share in one of them they share in the sum."""
    if len(one) == len(other):
        return one + other
    return one.mean(dim=0, keepdim=True) + other.mean(dim=0, keepdim=True)


def _greatest(squares: Tensor, number: int) -> Tensor:
    """In each row the places of the greatest so many, in order; -1 where there are no more."""
    rows, of = squares.shape
    if number >= of:
        return _first(number, of).expand(rows, -1)
    order = squares.argsort(dim=1, descending=True, stable=True)
    return order[:, :number].sort(dim=1).values


def indices_of(pair: Pair, old: Tensor, chosen: Mapping[str, Chosen]) -> list[Tensor | None]:
    """For each side of an old tensor which place is taken, -1 for new ones; None for all of it."""
    found: list[Tensor | None] = []
    for words, size in zip(pair.sides, old.shape, strict=True):
        index = _index(pair, words, chosen) if words else None
        is_all = index is None or index.equal(torch.arange(size))
        found.append(None if is_all else index)
    return found


def _index(pair: Pair, words: str, chosen: Mapping[str, Chosen]) -> Tensor:
    found, start = [], 0
    for run in runs(words):
        heads = chosen[pair.place.key(run.heads)] if run.heads else Chosen(torch.tensor([[0]]), 1)
        offset, parts = 0, []
        for name in run.members:
            places, of = chosen[pair.place.key(name)]
            places = places.expand(heads.of, -1)
            parts.append(torch.where(places < 0, -1, places + offset))
            offset += of
        head = heads.places[0]
        within = torch.cat(parts, dim=1)[head.clamp(min=0)]  # (new heads, new channels)
        is_new = (head < 0)[:, None] | (within < 0)
        found.append(torch.where(is_new, -1, start + head[:, None] * offset + within).flatten())
        start += heads.of * offset
    return torch.cat(found)


def _fits(own: Tensor, old: Tensor, indices: Sequence[Tensor | None]) -> bool:
    """Whether what is taken of an old tensor has the form of our own."""
    sizes = [old.shape[side] if index is None else len(index) for side, index in enumerate(indices)]
    ends = [int(index.max()) if index is not None else -1 for index in indices]
    return list(own.shape) == sizes and all(end < old.shape[side] for side, end in enumerate(ends))


def taken(
    own: Tensor, old: Tensor, indices: Sequence[Tensor | None], *, is_layer: bool
) -> tuple[Tensor, int]:
    """A tensor of the form of our own with what is taken of an old one, and how much that is.

    What is new stays our own, but where an old output of a layer reads a new input it is zero.
    """
    value = old
    is_old, is_input_old = torch.tensor(True), torch.tensor(True)
    for side, index in enumerate(indices):
        if index is None:
            continue
        value = value.index_select(side, index.clamp(min=0))
        here = _along(side, index >= 0, like=own)
        if is_layer and side == 1:
            is_input_old = here
        else:
            is_old = is_old & here
    rest = torch.where(is_old, torch.zeros_like(own), own)
    is_taken = is_old & is_input_old
    number = int(is_taken.expand(own.shape).sum())
    return torch.where(is_taken, value.to(own.dtype), rest), number


def _along(side: int, values: Tensor, *, like: Tensor) -> Tensor:
    """A vector as a tensor of as many sides as another, along one of them."""
    return values.view([-1 if one == side else 1 for one in range(like.ndim)])


def _brought(
    pair: Pair, old: Tensor, *, spec: ArchSpec, ancestor_spec: ArchSpec
) -> tuple[Tensor, str]:
    """A tensor of the ancestor on the map or of the kernel of the network, and how it got there."""
    mine, theirs = skeleton(spec), skeleton(ancestor_spec)
    if pair.name in mine.grids:
        grids = theirs.grids[pair.old_name], mine.grids[pair.name]
        return resized(old, old=grids[0], new=grids[1]), _how("interpolated", *grids)
    if old.ndim < 4:
        return old, "copied"
    sizes = old.shape[2], mine.tensors[pair.name].shape[2]
    is_patch = pair.name in mine.patches and pair.old_name in theirs.patches
    resize = patch_kernel if is_patch else kernel
    return resize(old, sizes[1]), _how("resized", *sizes)


def _how(word: str, old: object, new: object) -> str:
    return "copied" if old == new else word


def kernel(weight: Tensor, size: int) -> Tensor:
    """A weight (C', C, k, k) with another kernel of the same middle.

    Places beyond a larger one are zeros; what stands beyond a smaller one joins its border.
    """
    old = weight.shape[-1]
    if old == size:
        return weight
    places = (torch.arange(old) + (size - old) // 2).clamp(0, size - 1)
    move = F.one_hot(places, size).to(weight.dtype)  # (k, k')
    return move.T @ weight @ move


def patch_kernel(weight: Tensor, size: int) -> Tensor:
    """A weight (C', C, k, k) of patches for patches of another size.

    With the matrix B that resizes a patch, x to Bx, it is the pseudo-inverse of the transpose of B
    times the weight: the best in least squares that gives of Bx what the weight gives of x.
    """
    old = weight.shape[-1]
    if old == size:
        return weight
    # Bilinear resizing takes rows and columns one after the other, so one side is enough.
    basis = torch.eye(old, dtype=torch.float64)[None, None]
    side = F.interpolate(basis, size=(size, old), mode="bilinear", antialias=True)[0, 0]
    inverse = torch.linalg.pinv(side.T)  # (k', k)
    return (inverse @ weight.double() @ inverse.T).to(weight.dtype)


def _silent(new: ResolvedSpec, old: ResolvedSpec, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Zeros for the ends of the branches of new layers, in stages of which the ancestor has some.

    The end is the weight of a batch norm where there is one, as Goyal et al. 2017
    (arXiv:1706.02677) begin theirs. A layer from stream to stream is none: an activation
    may be behind it, which would let nothing through.
    """
    found: dict[str, Tensor] = {}
    origin = origins(new, old)
    inherited = {name.partition(".blocks.")[0] for name, layer in origin.items() if layer}
    for place in places(new):
        is_new = place.prefix in origin and origin[place.prefix] is None
        if not (is_new and place.prefix.partition(".blocks.")[0] in inherited):
            continue
        for layer, (outputs, *inputs) in place.channels.layers.items():
            if outputs != "width" or not any(inputs) or inputs[0] == "width":
                continue
            name = place.prefix + layer
            ends = [f"{name}.norm.weight"]
            if ends[0] not in own:
                ends = [f"{name}.weight", f"{name}.bias"]
            found |= {end: torch.zeros_like(own[end]) for end in ends if end in own}
    return found
