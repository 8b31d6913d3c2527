"""What every embed and block is asked for, and the checks they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol, Self

from torch import nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work

ACTIVATIONS = ("gelu", "hardswish", "none", "quick_gelu", "relu", "silu")


class Grid(NamedTuple):
    """Height and width of a feature map in tokens."""

    height: int
    width: int

    @property
    def tokens(self) -> int:
        """Number of map tokens."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a part stands in a network.

    Attributes:
        grid: The map that enters the part.
        incoming_dim: Its width in channels; for a block the same as ``dim``.
        dim: The width that leaves the part.
        class_tokens: Class tokens beside the map; always 0 at an embed but ``none``.
        bias: Whether attention adds a learnt bias by relative position.
        drop_path: Probability that a residual branch is dropped for a sample in training.
    """

    grid: Grid
    incoming_dim: int
    dim: int
    class_tokens: int = 0
    bias: bool = False
    drop_path: float = 0.0


class Part(Protocol):
    """The spec of an embed or a block: frozen, checked when constructed."""

    kind: ClassVar[str]
    has_attention: ClassVar[bool]

    def resolved(self, site: Site) -> Self:
        """This spec with every derived value filled in and every inactive one None.

        Raises:
            SpecError: It is illegal at this site; ``place`` is the field.
        """

    def count(self, site: Site) -> Work:
        """Parameters, MACs and activations of a resolved spec, in closed form."""

    def module(self, site: Site) -> nn.Module:
        """The layers of a resolved spec, initialised."""


class Embed(Part, Protocol):
    """How a feature map enters a stage: (grid, width) to (grid, width)."""

    def outgoing(self, grid: Grid) -> Grid:
        """The map that leaves it.

        Raises:
            SpecError: The map that enters is too small.
        """

    def with_stride_near(self, stride: float) -> Self:
        """The same embed at the legal stride nearest to a wanted one."""


class Block(Part, Protocol):
    """What repeats in a stage: changes neither grid nor width."""


def document_of(part: Part) -> dict[str, Any]:
    """The written form of a part: its kind and every field that is not None."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}  # type: ignore[arg-type]
    return {"kind": part.kind, **{k: v for k, v in values.items() if v is not None}}


def check_whole(name: str, value: object, *, low: int = 1, high: int = 65536) -> None:
    """Refuse what is not a whole number between two bounds, both allowed.

    Raises:
        SpecError: ``place`` is the field's name.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SpecError(f"{value!r} is not a whole number from {low} to {high}", place=name)


def check_number(name: str, value: object, *, low: float, high: float) -> None:
    """Refuse what is not a number between two bounds, both allowed.

    Raises:
        SpecError: ``place`` is the field's name.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:  # type: ignore[operator]
        raise SpecError(f"{value!r} is not a number from {low:g} to {high:g}", place=name)


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false.

    Raises:
        SpecError: ``place`` is the field's name.
    """
    if not isinstance(value, bool):
        raise SpecError(f"{value!r} is neither true nor false", place=name)


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse what is not one of some words.

    Raises:
        SpecError: ``place`` is the field's name.
    """
    if value not in allowed:
        raise SpecError(f"{value!r} is not one of {', '.join(allowed)}", place=name)


def check_heads(num_heads: int | None, head_dim: int | None) -> None:
    """Refuse an attention of which neither the number of heads nor their width is given.

    Raises:
        SpecError: Neither is given, or one is not a whole number from 1 to 1024.
    """
    if num_heads is None and head_dim is None:
        raise SpecError("neither num_heads nor head_dim is given", help="give one of them")
    if num_heads is not None:
        check_whole("num_heads", num_heads, high=1024)
    if head_dim is not None:
        check_whole("head_dim", head_dim, high=1024)


def heads_of(num_heads: int | None, head_dim: int | None, *, dim: int) -> tuple[int, int]:
    """The number of heads and the width of each; what is left out follows from the width.

    Raises:
        SpecError: The one that is given does not divide the width; the nearest that do are named.
    """
    if head_dim is None:
        assert num_heads is not None
        return num_heads, _divided("num_heads", num_heads, dim)
    return num_heads or _divided("head_dim", head_dim, dim), head_dim


def strided(size: int, *, kernel: int, stride: int, padding: int) -> int:
    """Outputs of a convolution along one side; below 1 where the kernel does not fit."""
    return (size + 2 * padding - kernel) // stride + 1


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
