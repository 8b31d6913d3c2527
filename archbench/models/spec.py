"""What is a network: a list of stages and a head, as written and as resolved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Annotated, Any

from archbench.errors import ArchbenchError, SpecError
from archbench.models.blocks.ceit import LayerAttentionShape
from archbench.models.part import (
    Activation,
    Block,
    Checked,
    Embed,
    Epsilon,
    Grid,
    Site,
    check_keys,
    choice,
    document_of,
    field_names,
    inside,
    number,
    part_of,
    whole,
)

IMAGE_CHANNELS = 3
MAX_TOKENS = 2**20
Scalar = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class StageSpec(Checked):
    """A stage as written: an embed and ``depth`` blocks.

    ``layers`` are fields that differ in single layers, counted from 0. A position is ``absolute``
    (one learnt embedding, added once), ``bias`` (in every attention of the stage) or ``none``.
    Class tokens join behind the embed; a pair of ``drop_path`` is the ramp over the layers.
    """

    embed: Embed
    dim: Annotated[int, whole()]
    depth: Annotated[int, whole(0, 1024)] = 0
    block: Block | None = None
    layers: tuple[tuple[int, tuple[tuple[str, Scalar], ...]], ...] = ()
    position: Annotated[str, choice("absolute", "bias", "none")] = "none"
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


@dataclass(frozen=True, kw_only=True)
class HeadSpec(Checked):
    """Pooling, norm, a hidden layer where there is one, and classifiers.

    ``pool`` is ``mean`` over map tokens; ``class_token``: classifier j reads token j; or
    ``layer_class_attention``: likewise, behind CeiT's attention over the class tokens of every
    layer of the last stage. The norm is ``layer`` (before pooling), ``pooled_layer`` (behind the
    mean), ``batch`` (of each classifier, before it) or ``none``; ``epsilon`` is of every layer
    norm. Two classifiers are trained with a teacher or alike; evaluation averages logits.

    With a ``hidden_dim`` a linear layer of that width stands between pooling and the classifiers,
    which share it, and an ``activation`` (``hardswish``) behind it, as in MobileNetV3. Its
    ``hidden_norm`` is ``none``, with which the layer has a bias, ``batch`` or ``layer``.
    """

    pool: Annotated[str, choice("mean", "class_token", "layer_class_attention")] = "mean"
    norm: Annotated[str, choice("layer", "pooled_layer", "batch", "none")] = "layer"
    epsilon: Epsilon = 1e-5
    num_classifiers: Annotated[int, whole(high=2)] = 1
    hidden_dim: Annotated[int, whole()] | None = None
    hidden_norm: Annotated[str, choice("batch", "layer", "none")] | None = None
    activation: Activation | None = None

    def resolved(self) -> HeadSpec:
        """With what the hidden layer has by default; without one, with nothing of it."""
        if self.hidden_dim is None:
            return replace(self, hidden_norm=None, activation=None)
        norm, activation = self.hidden_norm or "none", self.activation or "hardswish"
        return replace(self, hidden_norm=norm, activation=activation)

    def to_document(self) -> dict[str, Any]:
        """The written form: every field that is not None."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm == "pooled_layer" and self.pool != "mean":
            raise SpecError(
                "class tokens are not averaged before their norm", place="norm", help="use layer"
            )


@dataclass(frozen=True)
class ResolvedStage:
    """A stage with one block for each layer, every derived value filled in, and their sites."""

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
            "head": self.head.to_document(),
        }


@dataclass(frozen=True, kw_only=True)
class ArchSpec:
    """A network as written: what a person sets, with derived values left out.

    ``resolution`` is that of the images in pixels; the ``name`` is for people.
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
            "head": self.head.to_document(),
        }

    def resolved(self) -> ResolvedSpec:
        """One block for each layer, with every derived value.

        Raises:
            SpecError: The network is illegal; ``place`` is the path of what is wrong.
        """
        return self._resolved

    @cached_property
    def _resolved(self) -> ResolvedSpec:
        grid, dim, tokens = self.resolution, IMAGE_CHANNELS, 0
        stages = []
        for i, stage in enumerate(self.stages):
            resolved = _resolve_stage(stage, f"stages[{i}]", grid=grid, dim=dim, tokens=tokens)
            grid, dim = resolved.grid, resolved.dim
            tokens = resolved.carried_tokens + resolved.class_tokens
            stages.append(resolved)
        if self.head.pool != "mean" and tokens < self.head.num_classifiers:
            raise SpecError(
                f"{self.head.num_classifiers} classifiers cannot read {tokens} class tokens",
                place="head.pool",
                help="use pool: mean, or as many class_tokens in the last stage",
            )
        if self.head.pool == "layer_class_attention":
            LayerAttentionShape.of(stages[-1].blocks, dim=dim)
        head = self.head.resolved()
        return ResolvedSpec(self.resolution, self.num_classes, tuple(stages), head)

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of the resolved spec without its name.

        Raises:
            SpecError: The network is illegal.
        """
        document = _canonical(self.resolved().to_document())
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _arch(document: Mapping[str, Any]) -> ArchSpec:
    check_keys(document, field_names(ArchSpec))
    for key in ("resolution", "num_classes", "stages", "head"):
        if key not in document:
            raise SpecError(
                f"{key} is missing", help="a network has resolution, num_classes, stages and head"
            )
    size, stages, head = document["resolution"], document["stages"], document["head"]
    whole(high=10**6)("num_classes", document["num_classes"])
    if not isinstance(stages, Sequence) or isinstance(stages, str) or not stages:
        raise SpecError("stages is not a list with at least one stage", place="stages")
    sides = size if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2:
        raise SpecError(f"{size!r} is not a side or [height, width]", place="resolution")
    for side in sides:
        whole(high=16384)("resolution", side)
    read = tuple(_stage(stage, f"stages[{i}]") for i, stage in enumerate(stages))
    if not isinstance(head, Mapping):
        raise SpecError(f"{head!r} is not a head", place="head", help="write pool, norm, ...")
    check_keys(head, field_names(HeadSpec), place="head")
    with inside("head"):
        return ArchSpec(
            name=str(document.get("name", "")),
            resolution=Grid(*sides),
            num_classes=document["num_classes"],
            stages=read,
            head=HeadSpec(**head),
        )


def _stage(document: object, place: str) -> StageSpec:
    if not isinstance(document, Mapping):
        raise SpecError(f"{document!r} is not a stage", place=place, help="write embed, dim, ...")
    check_keys(document, field_names(StageSpec), place=place)
    for key in ("embed", "dim"):
        if key not in document:
            raise SpecError(f"{key} is missing", place=place)
    values = dict(document)
    values["embed"] = part_of("embed", document["embed"], place=f"{place}.embed")
    if document.get("block") is not None:
        values["block"] = part_of("block", document["block"], place=f"{place}.block")
    values["layers"] = _layers(document.get("layers") or {}, f"{place}.layers")
    with inside(place):
        ends = document.get("drop_path")
        if isinstance(ends, list):
            if len(ends) != 2:
                raise SpecError(
                    f"{ends!r} is not a probability or [first, last]", place="drop_path"
                )
            values["drop_path"] = tuple(ends)
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


def _stage_document(stage: StageSpec) -> dict[str, Any]:
    block, ends = stage.block, stage.drop_path
    layers = {layer: dict(changes) for layer, changes in stage.layers}
    return {
        "embed": document_of(stage.embed),
        **({"block": document_of(block)} if block is not None else {}),
        "dim": stage.dim,
        "depth": stage.depth,
        **({"layers": layers} if layers else {}),
        "position": stage.position,
        "class_tokens": stage.class_tokens,
        "drop_path": list(ends) if isinstance(ends, tuple) else ends,
    }


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _resolve_stage(
    stage: StageSpec, place: str, *, grid: Grid, dim: int, tokens: int
) -> ResolvedStage:
    if stage.embed.kind == "none" and place == "stages[0]":
        raise SpecError("the first stage needs an embed of the image", place=f"{place}.embed.kind")
    carried = tokens if stage.embed.kind == "none" else 0
    first, last = stage.drop_path if isinstance(stage.drop_path, tuple) else (stage.drop_path,) * 2
    site = Site(
        grid=grid,
        incoming_dim=dim,
        dim=stage.dim,
        class_tokens=carried,
        bias=stage.position == "bias",
        drop_path=first,
    )
    with inside(f"{place}.embed"):
        embed = stage.embed.resolved(site)
        outgoing = embed.outgoing(grid)
    within = replace(
        site, grid=outgoing, incoming_dim=stage.dim, class_tokens=carried + stage.class_tokens
    )
    step = (last - first) / max(1, stage.depth - 1)
    sites = tuple(replace(within, drop_path=first + step * i) for i in range(stage.depth))
    resolved = ResolvedStage(
        embed=embed,
        embed_site=site,
        blocks=_resolve_blocks(stage, sites, place),
        block_sites=sites,
        position=stage.position,
        class_tokens=stage.class_tokens,
        carried_tokens=carried,
        grid=outgoing,
        dim=stage.dim,
    )
    with inside(place):
        _check_together(resolved)
    return resolved


def _resolve_blocks(stage: StageSpec, sites: tuple[Site, ...], place: str) -> tuple[Block, ...]:
    """One block for each site, with the fields that differ there."""
    differing, blocks = dict(stage.layers), []
    for layer, site in enumerate(sites):
        assert stage.block is not None
        block, inner = stage.block, f"{place}.block"
        if layer in differing:
            changes, inner = dict(differing[layer]), f"{place}.layers[{layer}]"
            document = changes if "kind" in changes else document_of(block) | changes
            block = part_of("block", document, place=inner)
        with inside(inner):
            blocks.append(block.resolved(site))
    return tuple(blocks)


def _check_together(stage: ResolvedStage) -> None:
    if stage.grid.tokens > MAX_TOKENS:
        raise SpecError(f"a map of {stage.grid} tokens is too large", place="embed")
    attends = any(block.has_attention for block in stage.blocks)
    if stage.position != "none" and not (attends or stage.embed.has_attention):
        raise SpecError(
            f"no attention of this stage takes the position {stage.position}",
            place="position",
            help="use none",
        )
    if stage.class_tokens and not attends:
        raise SpecError(
            "class tokens need a block in whose attention they join",
            place="class_tokens",
            help="use 0, or a block such as vit, cvt or levit",
        )
    if stage.carried_tokens + stage.class_tokens > 2:
        raise SpecError("there would be more than two class tokens", place="class_tokens")
