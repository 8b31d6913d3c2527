"""Under which names do others keep a network's weights, and how do those become ours and back?

A layout is one file in ``layouts/``. It says which module of ours is which of theirs; the names
of the tensors follow from that, so any spec that the layout can hold has a bijection, published
or not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, cast

from torch import Tensor

from archbench.errors import UsageError, WeightsError
from archbench.models.part import Grid
from archbench.models.spec import ArchSpec, ResolvedSpec
from archbench.registry import Registry

LAYOUTS = Registry("archbench.models.weights.layouts", "layout")

HEAD = "head.classifiers."
COUNTER = "num_batches_tracked"
BIASES = "attention_biases"
OFFSETS = "attention_bias_idxs"


@dataclass(frozen=True)
class Place:
    """A module or tensor of ours and what it is called elsewhere.

    Attributes:
        ours: Dotted name; what begins with it moves along.
        theirs: Dotted name, or several whose tensors are joined to make ours.
        dim: The side along which they are joined.
    """

    ours: str
    theirs: str | tuple[str, ...]
    dim: int = 0


class Layout(Protocol):
    """What each file of ``layouts/`` gives.

    Attributes:
        TITLE: For messages, as in "timm's LeViT".
        DIALECTS: What a person may call it for a network that it can hold.
        MARKS: Regular expressions; a file in which each matches some name is of this layout.
        EMBEDS: Kinds that the first stage may have, and those of later stages; None for any.
        BLOCKS: Kinds of blocks; None for any.
        FIELDS: What some fields of a block may be, where others would have other layers.
        LEAVES: What our ``conv``, ``linear`` and ``norm`` within a module are called.
        WRAPPER: Under which key its own code looks for the weights in a .pth file, or empty.
        KEEPS_OFFSETS: Whether its own code stores the number of each offset beside the bias.
    """

    TITLE: str
    DIALECTS: tuple[str, ...]
    MARKS: tuple[str, ...]
    EMBEDS: tuple[tuple[str, ...], tuple[str, ...]] | None
    BLOCKS: tuple[str, ...] | None
    FIELDS: Mapping[str, tuple[object, ...]]
    LEAVES: Mapping[str, str]
    WRAPPER: str
    KEEPS_OFFSETS: bool

    def places(self, spec: ResolvedSpec) -> Iterator[Place]:
        """Which module or tensor of ours is which of theirs."""


@dataclass(frozen=True)
class Form:
    """What may differ between two files of one layout with the same weights.

    Attributes:
        wrapper: The key under which a .pth file keeps them; empty for none.
        prefix: In front of every name, as ``module.`` of a network trained in parallel.
        pointwise: Whether linear layers are written as 1x1 convolutions.
        offsets: Whether the numbers of the offsets stand beside each bias.
        counters: Whether batch norms count their batches.
    """

    wrapper: str = ""
    prefix: str = ""
    pointwise: bool = False
    offsets: bool = False
    counters: bool = True


def form_of(document: object) -> Form:
    """The form that a file of ours says it came in.

    Raises:
        WeightsError: It says something else.
    """
    known = {field.name: type(field.default) for field in fields(Form)}
    if not isinstance(document, Mapping) or not all(
        type(document.get(name)) is kind for name, kind in known.items()
    ):
        raise WeightsError("the form of the file that these weights came from cannot be read")
    return Form(**{name: document[name] for name in known})


@dataclass(frozen=True)
class Name:
    """One tensor of ours, and the tensors of theirs that are joined along a side to make it."""

    ours: str
    theirs: tuple[str, ...]
    dim: int


def layout(name: str) -> Layout:
    """The layout of a name, which is that of its file.

    Raises:
        UsageError: There is none.
    """
    return cast(Layout, LAYOUTS.load(name))


def layout_for(dialect: str, spec: ArchSpec) -> str:
    """The name of the layout that a dialect has for a network.

    Args:
        dialect: As in ``timm``, or the name of a layout.
        spec: The network.

    Raises:
        UsageError: The dialect is unknown or cannot hold the network.
    """
    if dialect in LAYOUTS.names:
        return dialect
    names = [name for name in LAYOUTS.names if dialect in layout(name).DIALECTS]
    if not names:
        known = sorted({word for name in LAYOUTS.names for word in layout(name).DIALECTS})
        raise UsageError(f"unknown layout {dialect!r}", help=f"known: {', '.join(known)}")
    resolved = spec.resolved()
    fitting = [name for name in names if _misfit(layout(name), resolved) is None]
    if not fitting:
        raise UsageError(
            f"{dialect} has no layout for {spec.name or 'this network'}; "
            + "; ".join(
                f"{layout(name).TITLE}: {_misfit(layout(name), resolved)}" for name in names
            ),
            help="keep it as archbench",
        )
    return fitting[0]


def recognised(names: Collection[str]) -> list[str]:
    """The layouts that a file with these names of tensors may be of."""
    return [
        name
        for name in LAYOUTS.names
        if all(any(re.search(mark, key) for key in names) for mark in layout(name).MARKS)
    ]


def table(name: str, spec: ResolvedSpec, keys: Iterable[str]) -> tuple[Name, ...]:
    """Where each tensor of a network stands in a layout, in our order.

    Args:
        name: Of the layout.
        spec: The network.
        keys: The names of its tensors.

    Raises:
        UsageError: The layout cannot hold such a network.
    """
    held = layout(name)
    if misfit := _misfit(held, spec):
        raise UsageError(f"as {held.TITLE} they would need another: {misfit}")
    places = {place.ours: place for place in held.places(spec)}
    found, homeless = [], []
    for key in keys:
        place = _place(key, places)
        if place is None:
            homeless.append(key)
            continue
        rest = key.removeprefix(place.ours).split(".")
        leaf = ".".join(held.LEAVES.get(part, part) for part in rest)
        several = (place.theirs,) if isinstance(place.theirs, str) else place.theirs
        found.append(Name(key, tuple(one + leaf for one in several), place.dim))
    if homeless:
        raise UsageError(f"{held.TITLE} has no place for {listed(homeless)}")
    return tuple(found)


def offsets(name: str, spec: ResolvedSpec) -> dict[str, Tensor]:
    """The numbers of the offsets that stand beside each bias, by their names in a layout.

    Their integers (queries, keys) are ours, since LeViT's code numbers offsets in the order of
    first use and the first query meets all of them row by row.
    """
    found = {}
    for place in layout(name).places(spec):
        theirs = place.theirs
        if isinstance(theirs, str) and theirs.endswith(BIASES):
            found[theirs.removesuffix(BIASES) + OFFSETS] = _numbers(*_bias_site(place.ours, spec))
    return found


def listed(names: Sequence[str], *, most: int = 5) -> str:
    """Some names with their number, the first few written out."""
    count = f"{len(names)} tensor{'s' if len(names) != 1 else ''}"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{count} ({', '.join(_shown(name) for name in names[:most])}{more})"


def _shown(name: str) -> str:
    """A name from a file, which may be anything, on one line."""
    plain = name if name.isprintable() else ascii(name)
    return plain if len(plain) <= 120 else f"{plain[:117]}..."


def _misfit(held: Layout, spec: ResolvedSpec) -> str | None:
    for number, stage in enumerate(spec.stages):
        if held.EMBEDS is not None:
            kinds = held.EMBEDS[min(number, 1)]
            if not kinds:
                return f"it has {len(spec.stages)} stages, not 1"
            if stage.embed.kind not in kinds:
                return f"stages[{number}].embed is {stage.embed.kind}, not {' or '.join(kinds)}"
        for block in stage.blocks:
            if held.BLOCKS is not None and block.kind not in held.BLOCKS:
                return f"stages[{number}].block is {block.kind}, not {' or '.join(held.BLOCKS)}"
            for field, allowed in held.FIELDS.items():
                if (value := getattr(block, field)) not in allowed:
                    return f"stages[{number}].block.{field} is {value}, not {allowed[0]}"
    return None


def _place(key: str, places: Mapping[str, Place]) -> Place | None:
    """The place of the longest name that the key begins with."""
    prefix = key
    while prefix not in places:
        if not prefix:
            return None
        prefix = prefix.rpartition(".")[0]
    return places[prefix]


def _bias_site(ours: str, spec: ResolvedSpec) -> tuple[Grid, int]:
    stage = spec.stages[int(ours.split(".")[1])]
    if ".embed." in ours:
        return stage.embed_site.grid, int(getattr(stage.embed, "stride", 1))
    return stage.grid, 1


def _numbers(keys: Grid, stride: int) -> Tensor:
    from archbench.models.layer import AttentionBias

    queries = Grid(-(-keys.height // stride), -(-keys.width // stride))
    return AttentionBias(1, queries=queries, keys=keys, query_stride=stride).index
