"""Which networks are published, and what do their papers print?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from archbench.errors import unknown_name
from archbench.models.spec import ArchSpec
from archbench.registry import Registry

FAMILIES = Registry("archbench.models.published", "family")


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a paper prints of a network; None where it prints nothing.

    Attributes:
        params: Millions, as printed.
        flops: As printed, for example ``4.53 G``; the papers mean multiply-accumulates.
        top1: ImageNet-1k validation accuracy in percent.
        source: Paper and table.
        note: Where the released code says otherwise, and what it says.
    """

    params: str | None
    flops: str | None
    top1: float | None
    source: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A published network: its document and its paper's numbers."""

    document: Mapping[str, Any]
    paper: Paper


@cache
def variants() -> Mapping[str, Variant]:
    """Every published network by name, family by family."""
    found: dict[str, Variant] = {}
    for family in FAMILIES.names:
        found |= FAMILIES.load(family).VARIANTS
    return MappingProxyType(found)


def published_names() -> tuple[str, ...]:
    """The names of all published networks."""
    return tuple(variants())


def published(name: str) -> ArchSpec:
    """The spec of a published network.

    Raises:
        UsageError: There is none of this name; the nearest are listed.
    """
    return ArchSpec.from_document({"name": name, **_variant(name).document})


def paper(name: str) -> Paper:
    """What its paper prints of a published network.

    Raises:
        UsageError: There is none of this name.
    """
    return _variant(name).paper


def _variant(name: str) -> Variant:
    if name not in variants():
        raise unknown_name("network", name, variants())
    return variants()[name]
