"""Which pieces is a network made of, that others may be made of, too?

A piece is an embed with what joins behind it (class tokens, positions), a block, or the head;
what it costs depends on itself and its site alone. Shapes: B batch, C channels, H W map, T tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from archbench.digest import sha256_of
from archbench.models import ArchSpec
from archbench.models.arithmetic import Work
from archbench.models.network import Head, Stage, count
from archbench.models.part import Grid, Site, document_of
from archbench.models.spec import ResolvedSpec, ResolvedStage

Family = Literal["convolution", "levit", "cvt", "mixed"]
FAMILIES: tuple[Family, ...] = ("convolution", "levit", "cvt", "mixed")

# The work of kinds that are not named is mixed; a block named here runs alike operators.
_FAMILY_OF: Mapping[str, Family] = {
    "levit": "levit",
    "shrink_attention": "levit",
    "shvit": "levit",
    "cvt": "cvt",
    "vit": "cvt",
    "ceit": "cvt",
    "local_global": "cvt",
    "mobile_mqa": "cvt",
    "edgenext": "cvt",
    "conv": "convolution",
    "convnext": "convolution",
    "mobileone": "convolution",
    "repvit": "convolution",
    "bottleneck": "convolution",
    "efficientvit": "convolution",
    "inverted_bottleneck": "convolution",
}
_MAJORITY = 0.75


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a network that can be built and run alone, from one tensor to one."""

    place: str  # for example ``stages[0].blocks[1]``
    what: Mapping[str, Any]  # all that its cost depends on, apart from the conditions
    build: Callable[[], nn.Module]  # with fresh weights
    shape: tuple[int, ...]  # of what it takes, for one image
    work: Work

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that differ when anything in ``what`` does."""
        return sha256_of(self.what)[:16]


def pieces(spec: ArchSpec) -> tuple[Piece, ...]:
    """What a network runs, in order; equal pieces have equal keys.

    Raises:
        SpecError: The network is illegal.
    """
    resolved, counted = spec.resolved(), count(spec)
    found = []
    for number, stage in enumerate(resolved.stages):
        place, works = f"stages[{number}]", counted.stages[number]
        found.append(_embed(stage, place=f"{place}.embed", work=works.embed))
        for layer, work in enumerate(works.blocks):
            found.append(_block(stage, layer, place=f"{place}.blocks[{layer}]", work=work))
    return (*found, _head(resolved, work=counted.head))


def family(spec: ArchSpec) -> Family:
    """What kind of work a network does: that of three quarters of its MACs, or ``mixed``.

    Plain convolutions between stages count to no family, the head to none.
    """
    macs = dict.fromkeys(FAMILIES, 0)
    resolved, counted = spec.resolved(), count(spec)
    for stage, works in zip(resolved.stages, counted.stages, strict=True):
        parts = ((stage.embed, works.embed), *zip(stage.blocks, works.blocks, strict=True))
        for part, work in parts:
            if part.kind in _FAMILY_OF:
                macs[_FAMILY_OF[part.kind]] += work.macs
    total = sum(macs.values())
    if not total:
        return "convolution"
    largest = max(FAMILIES, key=macs.__getitem__)
    return largest if macs[largest] >= _MAJORITY * total else "mixed"


class _EmbedPiece(nn.Module):
    """A stage without blocks: a map (B, C, H, W), and class tokens of its own, to a map."""

    tokens: Tensor | None

    def __init__(self, stage: ResolvedStage) -> None:
        super().__init__()
        self.stage = Stage(replace(stage, blocks=(), block_sites=()))
        carried = torch.randn(1, stage.carried_tokens, stage.dim) if stage.carried_tokens else None
        self.register_buffer("tokens", carried)

    def forward(self, x: Tensor) -> Tensor:
        tokens = None if self.tokens is None else self.tokens.expand(x.shape[0], -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        y: Tensor = self.stage(x, tokens)[0]
        return y


class _BlockPiece(nn.Module):
    """A block: tokens (B, T, C) to the same."""

    def __init__(self, stage: ResolvedStage, layer: int) -> None:
        super().__init__()
        self.grid = stage.grid
        self.block = stage.blocks[layer].module(stage.block_sites[layer])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x, self.grid)
        return y


class _HeadPiece(nn.Module):
    """A head: a map (B, C, H, W), and class tokens of its own, to logits (B, K)."""

    tokens: Tensor | None

    def __init__(self, spec: ResolvedSpec) -> None:
        super().__init__()
        last = spec.stages[-1]
        self.head = Head(spec.head, stage=last, num_classes=spec.num_classes)
        number = last.carried_tokens + last.class_tokens
        of_layers = spec.head.pool == "layer_class_attention"
        layers = (len(last.blocks),) if of_layers else ()
        tokens = torch.randn(1, *layers, number, last.dim) if number else None
        self.register_buffer("tokens", tokens)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens
        if tokens is not None:
            tokens = tokens.expand(x.shape[0], *(-1,) * (tokens.ndim - 1))
        y: Tensor = self.head(x, tokens)
        return y


def _embed(stage: ResolvedStage, *, place: str, work: Work) -> Piece:
    site = stage.embed_site
    return Piece(
        place=place,
        what={
            "piece": "embed",
            "part": document_of(stage.embed),
            "site": _site(site),
            "position": stage.position,
            "class_tokens": stage.class_tokens,
            "is_alone": not stage.blocks,
        },
        build=lambda: _EmbedPiece(stage),
        shape=(site.incoming_dim, *site.grid),
        work=work,
    )


def _block(stage: ResolvedStage, layer: int, *, place: str, work: Work) -> Piece:
    site = stage.block_sites[layer]
    return Piece(
        place=place,
        what={"piece": "block", "part": document_of(stage.blocks[layer]), "site": _site(site)},
        build=lambda: _BlockPiece(stage, layer),
        shape=(site.class_tokens + site.grid.tokens, site.dim),
        work=work,
    )


def _head(spec: ResolvedSpec, *, work: Work) -> Piece:
    last = spec.stages[-1]
    of_layers = spec.head.pool == "layer_class_attention"
    return Piece(
        place="head",
        what={
            "piece": "head",
            "head": spec.head.to_document(),
            "grid": list(last.grid),
            "dim": last.dim,
            "class_tokens": last.carried_tokens + last.class_tokens,
            "num_classes": spec.num_classes,
            "last_block": document_of(last.blocks[-1]) if of_layers else None,
            "layers": len(last.blocks) if of_layers else None,
        },
        build=lambda: _HeadPiece(spec),
        shape=(last.dim, *last.grid),
        work=work,
    )


def _site(site: Site) -> dict[str, Any]:
    """All of a site that evaluation depends on."""
    written = asdict(replace(site, drop_path=0.0))
    del written["drop_path"]
    return {**written, "grid": list(Grid(*site.grid))}
