"""What is a network: a list of stages and a head, as written and as resolved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from typing import Any, Literal, cast

from archbench.errors import ArchbenchError, SpecError, unknown_name
from archbench.models.part import (
    Block,
    Embed,
    Grid,
    Site,
    check_choice,
    check_number,
    check_whole,
    document_of,
)
from archbench.registry import Registry

Role = Literal["embed", "block"]
EMBEDS = Registry("archbench.models.embeds", "embed")
BLOCKS = Registry("archbench.models.blocks", "block")
POSITIONS = ("absolute", "bias", "none")
IMAGE_CHANNELS = 3
MAX_TOKENS = 2**20

Scalar = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """A stage as written.

    Attributes:
        embed: How a map enters.
        dim: Width in channels.
        depth: How many blocks; 0 is an embed alone.
        block: What repeats, or None at depth 0.
        layers: Fields that differ in single layers, counted from 0.
        position: ``absolute`` (one learnt embedding, added once), ``bias`` (in every attention of
            the stage) or ``none``.
        class_tokens: Learnt tokens that join behind the embed.
        drop_path: One probability, or the first and the last of a ramp over the layers.
    """

    embed: Embed
    dim: int
    depth: int = 0
    block: Block | None = None
    layers: tuple[tuple[int, tuple[tuple[str, Scalar], ...]], ...] = ()
    position: str = "none"
    class_tokens: int = 0
    drop_path: float | tuple[float, float] = 0.0

    def __post_init__(self) -> None:
        check_whole("dim", self.dim)
        check_whole("depth", self.depth, low=0, high=1024)
        check_choice("position", self.position, POSITIONS)
        check_whole("class_tokens", self.class_tokens, low=0, high=2)
        ends = self.drop_path if isinstance(self.drop_path, tuple) else (self.drop_path,)
        for probability in ends:
            check_number("drop_path", probability, low=0.0, high=0.95)
        if self.depth and self.block is None:
            raise SpecError(f"a depth of {self.depth} needs a block", place="block")
        for layer, _ in self.layers:
            check_whole("layers", layer, low=0, high=1023)

    def blocks(self) -> tuple[Block, ...]:
        """One block for each layer, with the fields that differ there."""
        changes = dict(self.layers)
        assert self.block is not None or not self.depth
        return tuple(
            _changed(cast(Block, self.block), changes[layer], place=f"layers[{layer}]")
            if layer in changes
            else cast(Block, self.block)
            for layer in range(self.depth)
        )


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """Pooling, norm and classifiers.

    Attributes:
        pool: ``mean`` over map tokens, or ``class_token``: classifier j reads token j.
        norm: ``layer`` (before pooling), ``batch`` (of each classifier, behind it) or ``none``.
        epsilon: Of the layer norm.
        num_classifiers: Two are trained with a teacher or alike; evaluation averages logits.
    """

    pool: str = "mean"
    norm: str = "layer"
    epsilon: float = 1e-5
    num_classifiers: int = 1

    def __post_init__(self) -> None:
        check_choice("pool", self.pool, ("mean", "class_token"))
        check_choice("norm", self.norm, ("layer", "batch", "none"))
        check_number("epsilon", self.epsilon, low=1e-12, high=1.0)
        check_whole("num_classifiers", self.num_classifiers, high=2)


@dataclass(frozen=True)
class ResolvedStage:
    """A stage with one block for each layer, every derived value filled in, and its sites."""

    embed: Embed
    embed_site: Site
    blocks: tuple[Block, ...]
    block_sites: tuple[Site, ...]
    position: str
    class_tokens: int
    carried_tokens: int
    grid: Grid
    dim: int

    @property
    def tokens(self) -> int:
        """Class tokens, carried or new, and map tokens."""
        return self.carried_tokens + self.class_tokens + self.grid.tokens


@dataclass(frozen=True)
class ResolvedSpec:
    """A network that is legal, with nothing left to derive; this is what is built and counted."""

    resolution: Grid
    num_classes: int
    stages: tuple[ResolvedStage, ...]
    head: HeadSpec

    def to_document(self) -> dict[str, Any]:
        """Plain values, for the digest and for a person who wants to see what was derived."""
        return {
            "resolution": list(self.resolution),
            "num_classes": self.num_classes,
            "stages": [
                {
                    "embed": document_of(stage.embed),
                    "blocks": [document_of(block) for block in stage.blocks],
                    "dim": stage.dim,
                    "position": stage.position,
                    "class_tokens": stage.class_tokens,
                    "drop_path": [stage.embed_site.drop_path]
                    + [site.drop_path for site in stage.block_sites],
                }
                for stage in self.stages
            ],
            "head": asdict(self.head),
        }


@dataclass(frozen=True, kw_only=True)
class ArchSpec:
    """A network as written: what a person sets, with derived values left out.

    Attributes:
        name: For people; not part of the digest.
        resolution: Height and width of the images in pixels.
        num_classes: Outputs of each classifier.
        stages: In order, at least one.
        head: What follows the last stage.
    """

    name: str = ""
    resolution: Grid
    num_classes: int
    stages: tuple[StageSpec, ...]
    head: HeadSpec

    @classmethod
    def from_document(cls, document: Mapping[str, Any], *, place: str = "") -> ArchSpec:
        """The spec of a plain document, as YAML gives it.

        Raises:
            SpecError: A key is unknown, a value of the wrong type or out of range; ``place`` is
                its path. What only shows between parts is found by ``resolved``.
        """
        try:
            _check_keys(document, ("name", "resolution", "num_classes", "stages", "head"))
            return _arch(document)
        except ArchbenchError as error:
            raise (error.at(place) if place else error) from None

    def to_document(self) -> dict[str, Any]:
        """The written form: plain values that ``from_document`` reads back."""
        height, width = self.resolution
        document: dict[str, Any] = {"name": self.name} if self.name else {}
        return document | {
            "resolution": height if height == width else [height, width],
            "num_classes": self.num_classes,
            "stages": [_stage_document(stage) for stage in self.stages],
            "head": asdict(self.head),
        }

    def resolved(self) -> ResolvedSpec:
        """One block for each layer, with every derived value.

        Raises:
            SpecError: The network is illegal; ``place`` is the path of what is wrong.
        """
        return self._resolved

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of the resolved spec without its name.

        Raises:
            SpecError: The network is illegal.
        """
        return self._digest

    @cached_property
    def _resolved(self) -> ResolvedSpec:
        return _resolve(self)

    @cached_property
    def _digest(self) -> str:
        document = _canonical(self.resolved().to_document())
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def part_fields(role: Role, kind: str) -> frozenset[str]:
    """The fields that may be set on an embed or block of a kind.

    Raises:
        UsageError: There is no such kind.
    """
    spec = (EMBEDS if role == "embed" else BLOCKS).load(kind).Spec
    return frozenset(field.name for field in fields(spec))


def _arch(document: Mapping[str, Any]) -> ArchSpec:
    for key in ("resolution", "num_classes", "stages", "head"):
        if key not in document:
            raise SpecError(
                f"{key} is missing", help="a network has resolution, num_classes, stages and head"
            )
    check_whole("num_classes", document["num_classes"], high=10**6)
    stages = document["stages"]
    if not isinstance(stages, Sequence) or isinstance(stages, str) or not stages:
        raise SpecError("stages is not a list with at least one stage", place="stages")
    return ArchSpec(
        name=str(document.get("name", "")),
        resolution=_resolution(document["resolution"]),
        num_classes=document["num_classes"],
        stages=tuple(_stage(stage, f"stages[{i}]") for i, stage in enumerate(stages)),
        head=_head(document["head"]),
    )


def _resolution(value: object) -> Grid:
    sides = value if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2:
        raise SpecError(f"{value!r} is not a side or [height, width]", place="resolution")
    for side in sides:
        check_whole("resolution", side, high=16384)
    return Grid(*sides)


def _stage(document: object, place: str) -> StageSpec:
    if not isinstance(document, Mapping):
        raise SpecError(f"{document!r} is not a stage", place=place, help="write embed, dim, ...")
    _check_keys(document, [field.name for field in fields(StageSpec)], place=place)
    for key in ("embed", "dim"):
        if key not in document:
            raise SpecError(f"{key} is missing", place=place)
    values = dict(document)
    values["embed"] = _part("embed", document["embed"], f"{place}.embed")
    if document.get("block") is not None:
        values["block"] = _part("block", document["block"], f"{place}.block")
    values["layers"] = _layers(document.get("layers") or {}, f"{place}.layers")
    if isinstance(document.get("drop_path"), list):
        if len(document["drop_path"]) != 2:
            raise SpecError(
                f"{document['drop_path']!r} is not a probability or [first, last]",
                place=f"{place}.drop_path",
            )
        values["drop_path"] = tuple(document["drop_path"])
    with _inside(place):
        return StageSpec(**values)


def _layers(document: object, place: str) -> tuple[tuple[int, tuple[tuple[str, Scalar], ...]], ...]:
    if not isinstance(document, Mapping):
        raise SpecError(f"{document!r} does not map layers to fields", place=place)
    for layer, changes in document.items():
        if isinstance(layer, bool) or not isinstance(layer, int):
            raise SpecError(f"{layer!r} is not the number of a layer, from 0", place=place)
        if not isinstance(changes, Mapping):
            raise SpecError(f"{changes!r} does not map fields to values", place=f"{place}[{layer}]")
    return tuple((layer, tuple(sorted(document[layer].items()))) for layer in sorted(document))


def _part(role: Role, document: object, place: str) -> Any:
    if not isinstance(document, Mapping) or "kind" not in document:
        registry = EMBEDS if role == "embed" else BLOCKS
        raise SpecError(
            f"{document!r} is not {'an embed' if role == 'embed' else 'a block'} with a kind",
            place=place,
            help=f"kinds: {', '.join(registry.names)}",
        )
    values = {key: value for key, value in document.items() if key != "kind"}
    return _constructed(role, document["kind"], values, place)


def _constructed(role: Role, kind: object, values: Mapping[str, Any], place: str) -> Any:
    registry = EMBEDS if role == "embed" else BLOCKS
    allowed = part_fields(role, _kind(registry, kind, place))
    _check_keys(values, allowed, place=place)
    for name, value in values.items():
        if not isinstance(value, str | int | float | bool | None):
            raise SpecError(f"{value!r} is not a single value", place=f"{place}.{name}")
    with _inside(place):
        typed = tuple((name, type(value), value) for name, value in sorted(values.items()))
        return _cached_part(role, str(kind), typed)


@lru_cache(maxsize=65536)
def _cached_part(role: Role, kind: str, values: tuple[tuple[str, type, Any], ...]) -> Any:
    registry = EMBEDS if role == "embed" else BLOCKS
    return registry.load(kind).Spec(**{name: value for name, _, value in values})


def _kind(registry: Registry, kind: object, place: str) -> str:
    if kind not in registry.names:
        raise unknown_name(registry.noun, str(kind), registry.names, place=f"{place}.kind")
    return str(kind)


def _changed(block: Block, changes: tuple[tuple[str, Scalar], ...], *, place: str) -> Block:
    values = document_of(block) | dict(changes)
    if "kind" in dict(changes):
        values = dict(changes)
    kind = values.pop("kind")
    return cast(Block, _constructed("block", kind, values, place))


def _head(document: object) -> HeadSpec:
    if not isinstance(document, Mapping):
        raise SpecError(f"{document!r} is not a head", place="head", help="write pool, norm, ...")
    _check_keys(document, [field.name for field in fields(HeadSpec)], place="head")
    with _inside("head"):
        return HeadSpec(**document)


def _stage_document(stage: StageSpec) -> dict[str, Any]:
    document: dict[str, Any] = {"embed": document_of(stage.embed)}
    if stage.block is not None:
        document["block"] = document_of(stage.block)
    document |= {"dim": stage.dim, "depth": stage.depth}
    if stage.layers:
        document["layers"] = {layer: dict(changes) for layer, changes in stage.layers}
    drop_path = stage.drop_path
    return document | {
        "position": stage.position,
        "class_tokens": stage.class_tokens,
        "drop_path": list(drop_path) if isinstance(drop_path, tuple) else drop_path,
    }


def _resolve(spec: ArchSpec) -> ResolvedSpec:
    grid, dim, tokens = spec.resolution, IMAGE_CHANNELS, 0
    stages = []
    for number, stage in enumerate(spec.stages):
        resolved = _resolve_stage(stage, f"stages[{number}]", grid=grid, dim=dim, tokens=tokens)
        grid, dim = resolved.grid, resolved.dim
        tokens = resolved.carried_tokens + resolved.class_tokens
        stages.append(resolved)
    if spec.head.pool == "class_token" and tokens < spec.head.num_classifiers:
        raise SpecError(
            f"{spec.head.num_classifiers} classifiers cannot read {tokens} class tokens",
            place="head.pool",
            help="use pool: mean, or as many class_tokens in the last stage",
        )
    return ResolvedSpec(spec.resolution, spec.num_classes, tuple(stages), spec.head)


def _resolve_stage(
    stage: StageSpec, place: str, *, grid: Grid, dim: int, tokens: int
) -> ResolvedStage:
    carries = stage.embed.kind == "none"
    if carries and dim == IMAGE_CHANNELS and place == "stages[0]":
        raise SpecError("the first stage needs an embed of the image", place=f"{place}.embed.kind")
    first, last = stage.drop_path if isinstance(stage.drop_path, tuple) else (stage.drop_path,) * 2
    bias = stage.position == "bias"
    embed_site = Site(
        grid=grid,
        incoming_dim=dim,
        dim=stage.dim,
        class_tokens=tokens if carries else 0,
        bias=bias,
        drop_path=first,
    )
    with _inside(f"{place}.embed"):
        embed = stage.embed.resolved(embed_site)
        outgoing = embed.outgoing(grid)
    if outgoing.tokens > MAX_TOKENS:
        raise SpecError(f"a map of {outgoing} tokens is too large", place=f"{place}.embed")
    carried = tokens if carries else 0
    step = (last - first) / max(1, stage.depth - 1)
    block_sites = tuple(
        Site(
            grid=outgoing,
            incoming_dim=stage.dim,
            dim=stage.dim,
            class_tokens=carried + stage.class_tokens,
            bias=bias,
            drop_path=first + step * layer,
        )
        for layer in range(stage.depth)
    )
    with _inside(place):
        written = stage.blocks()
    blocks = []
    for layer, (block, site) in enumerate(zip(written, block_sites, strict=True)):
        where = "block" if layer not in dict(stage.layers) else f"layers[{layer}]"
        with _inside(f"{place}.{where}"):
            blocks.append(block.resolved(site))
    has_attention = embed.has_attention or any(block.has_attention for block in blocks)
    if not has_attention and (stage.position != "none" or stage.class_tokens):
        field = "position" if stage.position != "none" else "class_tokens"
        raise SpecError(
            f"a stage without attention has no use for {field} {getattr(stage, field)!r}",
            place=f"{place}.{field}",
            help=f"use {'none' if field == 'position' else '0'}",
        )
    if stage.class_tokens and not stage.depth:
        raise SpecError("class tokens need a block to join", place=f"{place}.class_tokens")
    if carried + stage.class_tokens > 2:
        raise SpecError("more than two class tokens", place=f"{place}.class_tokens")
    return ResolvedStage(
        embed=embed,
        embed_site=embed_site,
        blocks=tuple(blocks),
        block_sites=block_sites,
        position=stage.position,
        class_tokens=stage.class_tokens,
        carried_tokens=carried,
        grid=outgoing,
        dim=stage.dim,
    )


class _inside:  # noqa: N801 - reads as a statement
    """Puts the path of a part before the field that an error names."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, SpecError) and not (error.place or "").startswith("stages["):
            inner = f"{self.place}.{error.place}" if error.place else self.place
            raise SpecError(error.message, place=inner, help=error.help) from None


def _check_keys(document: Mapping[str, Any], allowed: Any, *, place: str = "") -> None:
    for key in document:
        if key not in allowed:
            error = unknown_name("key", str(key), allowed)
            raise SpecError(error.message, place=place or None, help=error.help)


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
