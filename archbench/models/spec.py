"""What is a network: a list of stages and a head, as written and as resolved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache, cached_property, lru_cache
from typing import Annotated, Any, Literal, cast

from archbench.errors import ArchbenchError, SpecError, UsageError, unknown_name
from archbench.models.part import (
    Block,
    Checked,
    Embed,
    Epsilon,
    Grid,
    choice,
    document_of,
    number,
    whole,
)
from archbench.models.resolved import ResolvedSpec, inside, resolve
from archbench.registry import Registry

Role = Literal["embed", "block"]
EMBEDS = Registry("archbench.models.embeds", "embed", takes_modules=True)
BLOCKS = Registry("archbench.models.blocks", "block", takes_modules=True)
POOLS = ("mean", "class_token", "layer_class_attention")
POSITIONS = ("absolute", "bias", "none")

Scalar = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class StageSpec(Checked):
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
    dim: Annotated[int, whole()]
    depth: Annotated[int, whole(0, 1024)] = 0
    block: Block | None = None
    layers: tuple[tuple[int, tuple[tuple[str, Scalar], ...]], ...] = ()
    position: Annotated[str, choice(*POSITIONS)] = "none"
    class_tokens: Annotated[int, whole(0, 2)] = 0
    drop_path: float | tuple[float, float] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        ends = self.drop_path if isinstance(self.drop_path, tuple) else (self.drop_path,)
        for probability in ends:
            number(0.0, 0.95)("drop_path", probability)
        if self.depth and self.block is None:
            raise SpecError(f"a depth of {self.depth} needs a block", place="block")
        for layer, _ in self.layers:
            whole(0, 1023)("layers", layer)

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
class HeadSpec(Checked):
    """Pooling, norm and classifiers.

    Attributes:
        pool: ``mean`` over map tokens; ``class_token``: classifier j reads token j; or
            ``layer_class_attention``: likewise, behind CeiT's attention over the class tokens of
            every layer of the last stage.
        norm: ``layer`` (before pooling), ``batch`` (of each classifier, behind it) or ``none``.
        epsilon: Of the layer norm, and of those in ``layer_class_attention``.
        num_classifiers: Two are trained with a teacher or alike; evaluation averages logits.
    """

    pool: Annotated[str, choice(*POOLS)] = "mean"
    norm: Annotated[str, choice("layer", "batch", "none")] = "layer"
    epsilon: Epsilon = 1e-5
    num_classifiers: Annotated[int, whole(high=2)] = 1


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
        return resolve(self)

    @cached_property
    def _digest(self) -> str:
        document = _canonical(self.resolved().to_document())
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def part_spec(role: Role, kind: str) -> type[Any]:
    """The spec class of an embed or block of a kind.

    Raises:
        UsageError: There is no such kind, or a module of the user's own holds no such spec.
        MissingError: There is no such module of the user's own.
    """
    module = (EMBEDS if role == "embed" else BLOCKS).load(kind)
    spec = getattr(module, "Spec", None)
    if not is_dataclass(spec) or getattr(spec, "kind", None) != kind:
        raise UsageError(
            f"{module.__name__} has no dataclass Spec with kind = {kind!r}",
            help=f"the {role}s of archbench show how one is written, "
            f"for example archbench.models.{role}s.conv",
        )
    return cast(type[Any], spec)


@cache
def part_fields(role: Role, kind: str) -> frozenset[str]:
    """The fields that may be set on an embed or block of a kind.

    Raises:
        UsageError: There is no such kind.
    """
    return frozenset(field.name for field in fields(part_spec(role, kind)))


def _arch(document: Mapping[str, Any]) -> ArchSpec:
    for key in ("resolution", "num_classes", "stages", "head"):
        if key not in document:
            raise SpecError(
                f"{key} is missing", help="a network has resolution, num_classes, stages and head"
            )
    whole(high=10**6)("num_classes", document["num_classes"])
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
        whole(high=16384)("resolution", side)
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
    with inside(place):
        return StageSpec(**values)


def _layers(document: object, place: str) -> tuple[tuple[int, tuple[tuple[str, Scalar], ...]], ...]:
    if not isinstance(document, Mapping):
        raise SpecError(f"{document!r} does not map layers to fields", place=place)
    layers: dict[int, tuple[tuple[str, Scalar], ...]] = {}
    for key, changes in document.items():
        # JSON, unlike YAML, writes the number of a layer as text.
        layer = int(key) if isinstance(key, str) and key.isdecimal() and len(key) < 5 else key
        if isinstance(layer, bool) or not isinstance(layer, int):
            raise SpecError(f"{key!r} is not the number of a layer, from 0", place=place)
        if not isinstance(changes, Mapping):
            raise SpecError(f"{changes!r} does not map fields to values", place=f"{place}[{layer}]")
        if layer in layers:
            raise SpecError(f"layer {layer} is given twice", place=place)
        layers[layer] = tuple(sorted(changes.items()))
    return tuple(sorted(layers.items()))


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
    try:
        allowed = part_fields(role, str(kind))
    except ArchbenchError as error:
        raise error.at(f"{place}.kind") from None
    _check_keys(values, allowed, place=place)
    for name, value in values.items():
        if not isinstance(value, str | int | float | bool | None):
            raise SpecError(f"{value!r} is not a single value", place=f"{place}.{name}")
    with inside(place):
        typed = tuple((name, type(value), value) for name, value in sorted(values.items()))
        return _cached_part(role, str(kind), typed)


@lru_cache(maxsize=65536)
def _cached_part(role: Role, kind: str, values: tuple[tuple[str, type, Any], ...]) -> Any:
    return part_spec(role, kind)(**{name: value for name, _, value in values})


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
    with inside("head"):
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
