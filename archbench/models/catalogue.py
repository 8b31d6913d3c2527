"""Which networks are published, what do their papers print, and what did they ablate?

A family is one file in ``published/``. Its ``document`` is what its networks have in common, with
one ``block`` for all stages; ``variants`` and ``ablations`` say of each network what it changes
(``stages``: other ones; ``before``: stages in front; ``each``: a field of every stage; ``set``:
paths to values; ``like``: it is another network) and what its paper prints, where ``variant`` and
``ablation`` say what is printed of all of them.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from archbench.errors import unknown_name
from archbench.models.part import field_names
from archbench.models.path import override, parse_path
from archbench.models.spec import ArchSpec

_PUBLISHED = Path(__file__).with_name("published")
_SCALES = {"k": 3, "M": 6, "G": 9, "T": 12}
_FORM = re.compile(r"([0-9]+)(?:\.([0-9]+))? ([kMGT])")
Kind = Literal["rounded", "cut off", "differs"]


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a paper prints of a network; None where it prints nothing.

    ``params`` are millions, ``flops`` as printed (``4.53 G``; the papers mean
    multiply-accumulates), ``top1`` is ImageNet-1k validation accuracy in percent. ``row`` is what a
    row of an ablation table changes, ``base_top1`` what that table prints of its base. A ``reason``
    says why an exact count is another than the printed one, where rounding does not; a ``note``
    what the released code or the text says otherwise, and what of the network is our reading.
    """

    params: str | None = None
    flops: str | None = None
    top1: float | None = None
    source: str
    row: str = ""
    base_top1: float | None = None
    reason: str = ""
    note: str = ""


class Released(NamedTuple):
    """What the code that goes with a paper counts, to the unit: an expectation that is exact."""

    params: int
    macs: int


class PrintedDifference(NamedTuple):
    """By how much an exact count is larger than a printed one, as a share of the printed one.

    It is ``rounded`` where the printed digits are those of the exact count, ``cut off`` where they
    are so without the last one being rounded up, else it ``differs``.
    """

    share: float
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A published network or, with a ``base``, a row of an ablation table.

    Its ``family`` is its file in ``published/``, its ``document`` the network as written, without a
    name; ``released`` is what its released code counts, where somebody has counted, and ``hub`` the
    repository of its released weights on the model hub. A row sets paths to values in its base, in
    the order of ``set``, and may differ in settings of its ``training``.
    """

    family: str
    document: Mapping[str, Any]
    paper: Paper
    released: Released | None = None
    hub: str | None = None
    base: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, str] = field(default_factory=dict)


@cache
def families() -> Mapping[str, Mapping[str, Any]]:
    """What the files of ``published/`` hold, by their names."""
    files = sorted(_PUBLISHED.glob("*.toml"))
    return MappingProxyType({file.stem: tomllib.loads(file.read_text("utf-8")) for file in files})


@cache
def entries() -> Mapping[str, Entry]:
    """Every published network by name, family by family; then the rows of ablation tables."""
    found: dict[str, Entry] = {}
    alike: dict[str, str] = {}
    for family, held in families().items():
        for name, table in held["variants"].items():
            document = _with_changes(held["document"], table)
            found[name] = _entry(held.get("variant", {}) | table, family, document)
            alike |= {name: table["like"]} if "like" in table else {}
    for name, other in alike.items():
        network = found[other]
        found[name] = replace(found[name], document=network.document, released=network.released)
    for family, held in families().items():
        for name, own in held.get("ablations", {}).items():
            table = held["ablation"] | own
            document = _overridden(found[table["base"]].document, table.get("set", {}))
            found[name] = _entry(table, family, document)
    return MappingProxyType(found)


def _entry(table: Mapping[str, Any], family: str, document: Mapping[str, Any]) -> Entry:
    said = {key: table[key] for key in ("hub", "base", "training") if key in table}
    return Entry(
        family=family,
        document=document,
        paper=Paper(**{key: table[key] for key in field_names(Paper) if key in table}),
        released=Released(*table["released"]) if "released" in table else None,
        set=table.get("set", {}) if "base" in table else {},
        **said,
    )


def _with_changes(common: Mapping[str, Any], table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document of a network, from that of its family."""
    block = {"block": common["block"]} if "block" in common else {}
    own = table.get("stages", common["stages"])
    stages = [*table.get("before", ()), *({**block, **stage} for stage in own)]
    document = {key: value for key, value in common.items() if key != "block"}
    document["stages"] = stages
    each = table.get("each", {}).items()
    changes = {f"stages[{i}].{name}": v for name, values in each for i, v in enumerate(values)}
    return _overridden(document, changes | table.get("set", {}))


def _overridden(document: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    for path, value in changes.items():
        document = override(document, parse_path(path), value)
    return document


def published_names() -> tuple[str, ...]:
    """The names of all published networks, without ablations."""
    return tuple(name for name, found in entries().items() if not found.base)


def ablation_names() -> tuple[str, ...]:
    """The names of all ablations, such as ``levit_128s/a1``."""
    return tuple(name for name, found in entries().items() if found.base)


@cache
def published(name: str) -> ArchSpec:
    """The spec of a published network or of an ablation.

    Raises:
        UsageError: There is none of this name; the nearest are listed.
    """
    return ArchSpec.from_document({"name": name, **entry(name).document})


def entry(name: str) -> Entry:
    """All that the catalogue holds under a name.

    Raises:
        UsageError: There is none of this name; the nearest are listed.
    """
    if name not in entries():
        known = ablation_names() if "/" in name else published_names()
        raise unknown_name("network", name, known)
    return entries()[name]


def difference(exact: int, printed: str) -> PrintedDifference:
    """The exact count against what is printed.

    >>> difference(86_567_656, "86 M").kind
    'cut off'

    Raises:
        ValueError: The text is not a number with a unit such as ``4.53 G``.
    """
    form = _FORM.fullmatch(printed)
    if form is None:
        raise ValueError(f"{printed!r} is not a number with a unit such as 4.53 G")
    whole, decimals, scale = form.groups(default="")
    value = Decimal(f"{whole}.{decimals}").scaleb(_SCALES[scale])
    last_digit = Decimal(1).scaleb(_SCALES[scale] - len(decimals))
    over = Decimal(exact) - value
    kind: Kind = "differs"
    if abs(over) <= last_digit / 2:
        kind = "rounded"
    elif 0 <= over < last_digit:
        kind = "cut off"
    return PrintedDifference(float(over / value), kind)
