"""What every embed and block is: a frozen spec with checked fields, its arithmetic, its layers.

A spec is written as a document, a mapping with its ``kind``, which is read here.
"""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache, lru_cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, cast

from torch import nn

from archbench.bounds import is_number
from archbench.errors import ArchbenchError, SpecError, UsageError, unknown_name
from archbench.models.arithmetic import Work
from archbench.models.channels import Channels
from archbench.registry import Registry

Role = Literal["embed", "block"]
KINDS: dict[Role, Registry] = {
    "embed": Registry("archbench.models.embeds", "embed", "archbench.embeds"),
    "block": Registry("archbench.models.blocks", "block", "archbench.blocks"),
}
ACTIVATIONS = ("gelu", "hardswish", "none", "quick_gelu", "relu", "silu")
Check = Callable[[str, object], None]
"""Refuses the value of a field, by the field's name, with a SpecError."""


def _check(is_met: Callable[[Any], bool], fault: str) -> Check:
    def check(name: str, value: object) -> None:
        if not is_met(value):
            raise SpecError(f"{value!r} is {fault}", place=name)

    return check


def whole(low: int = 1, high: int = 65536) -> Check:
    """The check of a whole number between two bounds, both allowed."""
    fault = f"not a whole number from {low} to {high}"
    return _check(lambda value: is_number(value, is_whole=True) and low <= value <= high, fault)


def number(low: float, high: float) -> Check:
    """The check of a number between two bounds, both allowed."""
    fault = f"not a number from {low:g} to {high:g}"
    return _check(lambda value: is_number(value) and low <= value <= high, fault)


def choice(*allowed: object) -> Check:
    """The check of one of some values."""
    fault = f"not one of {', '.join(map(str, allowed))}"
    return _check(lambda value: not isinstance(value, bool) and value in allowed, fault)


def odd(high: int) -> Check:
    """The check of an odd whole number from 1 to a bound."""

    def check(name: str, value: Any) -> None:
        whole(high=high)(name, value)
        if value % 2 == 0:
            raise SpecError(f"the {name} {value} is not odd", place=name)

    return check


flag = _check(lambda value: isinstance(value, bool), "neither true nor false")
"""The check of true or false, which every field of type bool has."""

Heads = Annotated[int, whole(high=1024)]
Kernel = Annotated[int, odd(31)]
Stride = Annotated[int, whole(high=64)]
Ratio = Annotated[float, number(0.125, 64)]
"""Hidden width of an MLP, as a multiple of the width that leaves."""
Epsilon = Annotated[float, number(1e-12, 1.0)]
Activation = Annotated[str, choice(*ACTIVATIONS)]
"""In the MLP, where a spec does not say of what."""


class Checked:
    """A dataclass whose values are checked as the annotations of its fields say.

    Making it raises SpecError where a value is refused; ``place`` is the name of its field.
    """

    def __post_init__(self) -> None:
        for name, check, is_optional in _checks(cast(Any, type(self))):
            value = getattr(self, name)
            if value is not None or not is_optional:
                check(name, value)


@cache
def _checks(kind: Any) -> tuple[tuple[str, Check, bool], ...]:
    """The field, the check and whether None passes it, as the annotations of a dataclass say."""
    found: list[tuple[str, Check, bool]] = []
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        options = (hints[field.name], *typing.get_args(hints[field.name]))
        checks = [check for option in options for check in getattr(option, "__metadata__", ())]
        checks += [flag] * (bool in options)
        found += ((field.name, check, type(None) in options) for check in checks)
    return tuple(found)


class Grid(NamedTuple):
    """Height and width of a feature map in tokens."""

    height: int
    width: int

    @property
    def tokens(self) -> int:
        """Number of map tokens."""
        return self.height * self.width

    def strided(self, *, kernel: int, stride: int, padding: int) -> Grid:
        """The map of a convolution; a side is below 1 where the kernel does not fit."""
        return Grid(*((size + 2 * padding - kernel) // stride + 1 for size in self))

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a part stands in a network: the map and the width that enter, the width that leaves.

    Class tokens are those beside the map, at an embed always 0 but at ``none``; with ``bias``
    attention adds a learnt one by relative position; ``drop_path`` is the probability that a
    residual branch is dropped for a sample in training.
    """

    grid: Grid
    incoming_dim: int
    dim: int
    class_tokens: int = 0
    bias: bool = False
    drop_path: float = 0.0

    @property
    def tokens(self) -> int:
        """Number of class tokens and map tokens that enter."""
        return self.class_tokens + self.grid.tokens

    def hidden(self, ratio: float) -> int:
        """Hidden width of an MLP, as a multiple of the width that leaves."""
        return hidden_width(self.dim, ratio)


@dataclass(frozen=True, kw_only=True)
class Part(Checked, ABC):
    """The spec of an embed or a block, checked when made; ``kind`` names it and its file."""

    kind: ClassVar[str]
    has_attention: ClassVar[bool] = False
    """Whether class tokens join in its attention, which may have positions."""

    def resolved(self, site: Site) -> Self:
        """This spec with every derived value filled in and every inactive one None.

        Raises:
            SpecError: It is illegal at this site; ``place`` is the field.
        """
        return self

    @abstractmethod
    def count(self, site: Site) -> Work:
        """Parameters, MACs and activations of a resolved spec as it is built, in closed form."""

    def deployed_count(self, site: Site) -> Work:
        """The same when it ships, where several branches have become one convolution.

        Norms and biases that folding takes away count as ever.
        """
        return self.count(site)

    @abstractmethod
    def module(self, site: Site) -> nn.Module:
        """The layers of a resolved spec, initialised.

        An embed's take a map (B, C, H, W) to another, a block's take tokens (B, T, C) and the
        grid of the map among them to tokens of the same shape.
        """

    def named_channels(self, site: Site) -> Channels:
        """Which channels the layers of a resolved spec have, so that others may inherit them.

        Of a part that does not say, a layer is inherited whole or not at all.
        """
        return Channels({}, {})


class Embed(Part):
    """How a feature map enters a stage: (grid, width) to (grid, width)."""

    stride: int | None

    def outgoing(self, grid: Grid) -> Grid:
        """The map that leaves it: ceil(size / stride), unless it says otherwise.

        Raises:
            SpecError: The map that enters is too small.
        """
        assert self.stride is not None
        return grid.strided(kernel=1, stride=self.stride, padding=0)

    def carries_on(self, site: Site) -> bool:
        """Whether a channel that leaves is the one that entered, with something added."""
        return False

    def with_stride_near(self, stride: float) -> Self:
        """The same embed at the legal stride nearest to a wanted one."""
        return replace(cast(Any, self), stride=max(1, round(stride)))


class Block(Part):
    """What repeats in a stage: changes neither grid nor width."""


@dataclass(frozen=True, kw_only=True)
class HeadedBlock(Block):
    """A block with attention in heads, of which the number, the width or both must be given.

    Either follows from the other where it is left out. With both set, the inner width of the
    attention may differ from that of the stage.
    """

    has_attention = True
    num_heads: Heads | None = None
    head_dim: Heads | None = None

    def __post_init__(self) -> None:
        if self.num_heads is None and self.head_dim is None:
            raise SpecError("neither num_heads nor head_dim is given", help="give one of them")
        super().__post_init__()

    def resolved(self, site: Site) -> Self:
        """With heads and their width filled in.

        Raises:
            SpecError: The heads do not divide the width; the nearest that do are named.
        """
        if self.head_dim is None:
            assert self.num_heads is not None
            return replace(self, head_dim=_divided("num_heads", self.num_heads, site.dim))
        heads = self.num_heads or _divided("head_dim", self.head_dim, site.dim)
        return replace(self, num_heads=heads)

    @property
    def heads(self) -> tuple[int, int]:
        """Number and width of the heads of a resolved spec."""
        assert self.num_heads is not None
        assert self.head_dim is not None
        return self.num_heads, self.head_dim


@cache
def part_spec(role: Role, kind: str) -> type[Any]:
    """The spec class of an embed or block of a kind.

    Raises:
        UsageError: There is no such kind, or a module of the user's own holds no such spec.
        MissingError: There is no such module of the user's own.
    """
    found = KINDS[role].load(kind)
    spec = getattr(found, "Spec", found)  # a name in a module may be that of the class itself
    if not is_dataclass(spec) or getattr(spec, "kind", None) != kind:
        raise UsageError(
            f"{getattr(found, '__name__', kind)} has no dataclass Spec with kind = {kind!r}",
            help=f"the {role}s of archbench show how one is written, "
            f"for example archbench.models.{role}s.conv",
        )
    return cast(type[Any], spec)


@cache
def part_fields(role: Role, kind: str) -> frozenset[str]:
    """The fields that may be set on what ``part_spec`` gives."""
    return frozenset(field_names(part_spec(role, kind)))


def part_of(role: Role, document: object, *, place: str) -> Any:
    """The spec of a document with a kind.

    Raises:
        SpecError: It is none, a key is unknown, or a value is refused; ``place`` is its path.
    """
    if not isinstance(document, Mapping) or "kind" not in document:
        raise SpecError(
            f"{document!r} is not {'an embed' if role == 'embed' else 'a block'} with a kind",
            place=place,
            help=f"kinds: {', '.join(KINDS[role].names)}",
        )
    values = dict(document)
    kind = str(values.pop("kind"))
    try:
        allowed = part_fields(role, kind)
    except ArchbenchError as error:
        raise error.at(f"{place}.kind") from None
    check_keys(values, allowed, place=place)
    for name, value in values.items():
        if not isinstance(value, str | int | float | bool | None):
            raise SpecError(f"{value!r} is not a single value", place=f"{place}.{name}")
    with inside(place):
        return _part(
            role, kind, tuple((key, type(values[key]), values[key]) for key in sorted(values))
        )


@lru_cache(maxsize=65536)
def _part(role: Role, kind: str, values: tuple[tuple[str, type, Any], ...]) -> Any:
    return part_spec(role, kind)(**{name: value for name, _, value in values})


def document_of(part: Part) -> dict[str, Any]:
    """The written form of a part: its kind and every field that is not None."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {"kind": part.kind, **{k: v for k, v in values.items() if v is not None}}


def field_names(kind: type[Any]) -> tuple[str, ...]:
    """The keys that the document of a dataclass may have."""
    return tuple(field.name for field in fields(kind))


def check_keys(document: Mapping[str, Any], allowed: Any, *, place: str = "") -> None:
    """Refuse a document with a key that is not known.

    Raises:
        SpecError: There is one; the known ones are listed.
    """
    for key in document:
        if key not in allowed:
            error = unknown_name("key", str(key), allowed)
            raise SpecError(error.message, place=place or None, help=error.help)


@contextmanager
def inside(place: str) -> Iterator[None]:
    """Puts the path of a part before the field that an error names."""
    try:
        yield
    except SpecError as error:
        if (error.place or "").startswith(place):
            raise
        inner = f"{place}.{error.place}" if error.place else place
        raise SpecError(error.message, place=inner, help=error.help) from None


def hidden_width(dim: int, ratio: float) -> int:
    """Hidden width of an MLP, as a multiple of the width."""
    return max(1, int(dim * ratio))


def multiple_of_8(width: float) -> int:
    """The nearest multiple of 8 that is no more than a tenth below, as MobileNets round widths.

    >>> multiple_of_8(60), multiple_of_8(10.5)
    (64, 16)
    """
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest


def _divided(name: str, value: int, dim: int) -> int:
    if dim % value:
        legal = [n for n in range(1, dim + 1) if dim % n == 0]
        near = sorted(sorted(legal, key=lambda n: abs(n - value))[:6])
        raise SpecError(
            f"{value} does not divide the width {dim}",
            place=name,
            help=f"use one of {', '.join(map(str, near))}",
        )
    return dim // value
