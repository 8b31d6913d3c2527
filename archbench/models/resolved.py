"""A network with nothing left to derive, and whether it is legal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from archbench.errors import SpecError
from archbench.models.class_attention import LayerAttentionShape
from archbench.models.part import Block, Embed, Grid, Site, document_of

if TYPE_CHECKING:
    from archbench.models.spec import ArchSpec, HeadSpec, StageSpec

IMAGE_CHANNELS = 3
MAX_TOKENS = 2**20


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


def resolve(spec: ArchSpec) -> ResolvedSpec:
    """Every derived value of a written spec.

    Raises:
        SpecError: The network is illegal; ``place`` is the path of what is wrong.
    """
    grid, dim, tokens = spec.resolution, IMAGE_CHANNELS, 0
    stages = []
    for number, stage in enumerate(spec.stages):
        resolved = _resolve_stage(stage, f"stages[{number}]", grid=grid, dim=dim, tokens=tokens)
        grid, dim = resolved.grid, resolved.dim
        tokens = resolved.carried_tokens + resolved.class_tokens
        stages.append(resolved)
    if spec.head.pool != "mean" and tokens < spec.head.num_classifiers:
        raise SpecError(
            f"{spec.head.num_classifiers} classifiers cannot read {tokens} class tokens",
            place="head.pool",
            help="use pool: mean, or as many class_tokens in the last stage",
        )
    if spec.head.pool == "layer_class_attention":
        LayerAttentionShape.of(stages[-1])
    return ResolvedSpec(spec.resolution, spec.num_classes, tuple(stages), spec.head)


def _resolve_stage(
    stage: StageSpec, place: str, *, grid: Grid, dim: int, tokens: int
) -> ResolvedStage:
    if stage.embed.kind == "none" and place == "stages[0]":
        raise SpecError("the first stage needs an embed of the image", place=f"{place}.embed.kind")
    carried = tokens if stage.embed.kind == "none" else 0
    first, last = stage.drop_path if isinstance(stage.drop_path, tuple) else (stage.drop_path,) * 2
    embed_site = Site(
        grid=grid,
        incoming_dim=dim,
        dim=stage.dim,
        class_tokens=carried,
        bias=stage.position == "bias",
        drop_path=first,
    )
    with inside(f"{place}.embed"):
        embed = stage.embed.resolved(embed_site)
        outgoing = embed.outgoing(grid)
    step = (last - first) / max(1, stage.depth - 1)
    block_sites = tuple(
        replace(
            embed_site,
            grid=outgoing,
            incoming_dim=stage.dim,
            class_tokens=carried + stage.class_tokens,
            drop_path=first + step * layer,
        )
        for layer in range(stage.depth)
    )
    resolved = ResolvedStage(
        embed=embed,
        embed_site=embed_site,
        blocks=_resolve_blocks(stage, block_sites, place),
        block_sites=block_sites,
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
    with inside(place):
        written = stage.blocks()
    own = dict(stage.layers)
    blocks = []
    for layer, (block, site) in enumerate(zip(written, sites, strict=True)):
        with inside(f"{place}.layers[{layer}]" if layer in own else f"{place}.block"):
            blocks.append(block.resolved(site))
    return tuple(blocks)


def _check_together(stage: ResolvedStage) -> None:
    if stage.grid.tokens > MAX_TOKENS:
        raise SpecError(f"a map of {stage.grid} tokens is too large", place="embed")
    has_attention = any(part.has_attention for part in (stage.embed, *stage.blocks))
    if not has_attention and stage.position != "none":
        raise SpecError(
            f"a stage without attention has no use for the position {stage.position}",
            place="position",
            help="use none",
        )
    if stage.class_tokens and not any(block.has_attention for block in stage.blocks):
        raise SpecError(
            "class tokens need a block with attention to learn from",
            place="class_tokens",
            help="use 0, or a block with attention",
        )
    if stage.carried_tokens + stage.class_tokens > 2:
        raise SpecError("there would be more than two class tokens", place="class_tokens")


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
