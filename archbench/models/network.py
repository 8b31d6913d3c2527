"""A spec made into a PyTorch network.

Shapes: B batch, C channels, H W map, N = H*W map tokens, c class tokens, T = c + N.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from archbench.errors import UsageError, wrong_type
from archbench.models.arithmetic import Count, StageWork, Work, linear, norm, total
from archbench.models.blocks.ceit import LayerAttention, LayerAttentionShape
from archbench.models.catalogue import published
from archbench.models.folding import linear_of
from archbench.models.layer import (
    LinearNorm,
    NormLinear,
    activation,
    branch_norm,
    init_truncated,
    map_grid,
    map_tokens,
    per_image,
    sizes,
    token_map,
)
from archbench.models.part import Part, Site
from archbench.models.spec import ArchSpec, HeadSpec, ResolvedStage

Written = str | ArchSpec | Mapping[str, Any] | nn.Module
"""How a network is given: a published name, a spec, a plain document, or one that was built."""


class Network(nn.Module):
    """Stages and a head.

    Takes images (B, 3, H, W); gives logits (B, K), and in training with two classifiers a tuple
    of two. Initialised as the papers' code does: see each embed and block. What is done to the
    layers later does not show in ``spec``.
    """

    def __init__(self, spec: ArchSpec) -> None:
        super().__init__()
        self.spec = spec
        self.resolution = tuple(spec.resolution)
        resolved = spec.resolved()
        *before, last = resolved.stages
        of_layers = spec.head.pool == "layer_class_attention"
        stages = [*map(Stage, before), Stage(last, hands_layers=of_layers)]
        self.stages = nn.ModuleList(stages)
        self.head = Head(resolved.head, stage=last, num_classes=spec.num_classes)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = images.contiguous(memory_format=torch.channels_last)
        tokens = None
        for stage in self.stages:
            x, tokens = stage(x, tokens)
        return self.head(x, tokens)


class Stage(nn.Module):
    """An embed, class tokens, positions, blocks.

    Takes a map (B, C, H, W) and the class tokens (B, c, C) before it or None; gives the same.

    With ``hands_layers`` the class tokens are those of every layer, (B, layers, c, C).
    """

    def __init__(self, stage: ResolvedStage, *, hands_layers: bool = False) -> None:
        super().__init__()
        self.hands_layers = hands_layers
        self.grid = stage.grid
        self.carries = stage.carried_tokens > 0
        self.embed = stage.embed.module(stage.embed_site)
        self.class_token = _table(stage.class_tokens, stage.dim)
        self.position = _table(stage.tokens if stage.position == "absolute" else 0, stage.dim)
        blocks = zip(stage.blocks, stage.block_sites, strict=True)
        self.blocks = nn.ModuleList(block.module(site) for block, site in blocks)

    def forward(self, x: Tensor, tokens: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = self.embed(x)
        if not self.blocks and self.position is None:
            return x, tokens if self.carries else None
        grid = map_grid(x)
        sequence = map_tokens(x)  # (B, N, C)
        first = [tokens] if self.carries and tokens is not None else []
        if self.class_token is not None:
            first.append(per_image(self.class_token, sequence))
        if first:
            sequence = torch.cat((*first, sequence), dim=1)  # (B, T, C)
        if self.position is not None:
            sequence = sequence + self.position
        number = sizes(sequence)[1] - grid.tokens
        of_layers = []
        for block in self.blocks:
            sequence = block(sequence, grid)
            if self.hands_layers:
                of_layers.append(sequence[:, :number])
        x = token_map(sequence[:, number:], grid)
        if self.hands_layers:
            return x, torch.stack(of_layers, dim=1)
        return x, sequence[:, :number] if number else None


class Head(nn.Module):
    """What a resolved spec says behind a stage; a map (B, C, H, W) and class tokens to (B, K)."""

    def __init__(self, spec: HeadSpec, *, stage: ResolvedStage, num_classes: int) -> None:
        super().__init__()
        dim = stage.dim
        self.pool = spec.pool
        self.layer_attention = None
        if spec.pool == "layer_class_attention":
            shape = LayerAttentionShape.of(stage.blocks, dim=dim)
            self.layer_attention = LayerAttention(shape, epsilon=spec.epsilon)
        self.is_norm_behind = spec.norm == "pooled_layer"
        norm = "layer" if self.is_norm_behind else spec.norm
        self.norm = branch_norm(dim, norm=norm, epsilon=spec.epsilon)
        self.hidden = _hidden_layer(spec, dim)
        classifier = NormLinear if spec.norm == "batch" else nn.Linear
        self.classifiers = nn.ModuleList(
            classifier(spec.hidden_dim or dim, num_classes) for _ in range(spec.num_classifiers)
        )
        init_truncated(self.hidden, nn.Linear)
        init_truncated(self.classifiers, nn.Linear)

    def forward(self, x: Tensor, tokens: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        if self.pool == "mean":
            sequence = map_tokens(x)  # (B, N, C)
            if self.is_norm_behind:
                mean = self.norm(sequence.mean(dim=1))
            else:
                mean = self.norm(sequence).mean(dim=1)
            pooled = [self.hidden(mean)] * len(self.classifiers)
        else:
            assert tokens is not None
            if self.layer_attention is not None:
                tokens = self.layer_attention(tokens[:, :, : len(self.classifiers)])
            pooled = self.hidden(self.norm(tokens[:, : len(self.classifiers)])).unbind(dim=1)
        pairs = zip(self.classifiers, pooled, strict=False)
        logits = tuple(classifier(x) for classifier, x in pairs)
        if len(logits) == 1:
            return logits[0]
        # A sum, as converters take a mean over what is stacked before the images for one over them.
        return logits if self.training else sum(logits[1:], logits[0]) / len(logits)

    def deployed(self) -> Head:
        """Itself, with several classifiers of the same pooled features made one."""
        if self.pool != "mean" or len(self.classifiers) == 1:
            return self
        several = [layer for layer in self.classifiers if isinstance(layer, nn.Linear)]
        weight = torch.stack([layer.weight.double() for layer in several]).mean(0)
        bias = torch.stack([layer.bias.double() for layer in several]).mean(0)
        self.classifiers = nn.ModuleList([linear_of(weight, bias, like=several[0])])
        return self


def build(
    written: Written,
    *,
    num_classes: int | None = None,
    resolution: int | tuple[int, int] | None = None,
    seed: int | None = None,
) -> Network:
    """The network of a published name, a spec or a plain document, with fresh weights.

    The number of classes and the resolution, a side or height and width in pixels, are its own by
    default. Without a seed of the initial weights, PyTorch's global generator goes on.

    Raises:
        UsageError: No published network has this name, or it is no network.
        SpecError: The network is illegal.

    Examples:
        >>> build("levit_128s", num_classes=10).spec.num_classes
        10
    """
    spec = as_spec(written, num_classes=num_classes, resolution=resolution)
    if seed is None:
        return Network(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(spec)


def count(
    written: Written,
    *,
    num_classes: int | None = None,
    resolution: int | tuple[int, int] | None = None,
    training: bool = False,
) -> Count:
    """Parameters, MACs and activations of one image in closed form; nothing is built.

    The number of classes and the resolution are the network's own by default, as in ``build``. A
    reparameterised convolution is one, as it ships, or in ``training`` all of its branches, as it
    is built; other networks count the same.

    Raises:
        UsageError: No published network has this name, or it is no network of the grammar.
        SpecError: The network is illegal.
    """
    spec = as_spec(written, num_classes=num_classes, resolution=resolution).resolved()
    stages = tuple(_stage_work(stage, training=training) for stage in spec.stages)
    head, last = spec.head, spec.stages[-1]
    return Count(stages, _head_work(head, last, num_classes=spec.num_classes))


def as_spec(
    written: Written,
    *,
    num_classes: int | None = None,
    resolution: int | tuple[int, int] | None = None,
) -> ArchSpec:
    """The spec of a network in whatever way it is given, also of other classes or another size.

    Raises:
        UsageError: No published network has this name, or it is none of the grammar.
        SpecError: The document, the number of classes or the resolution cannot be taken.
    """
    spec = _spec(written)
    said = {"num_classes": num_classes, "resolution": resolution}
    changes = {key: value for key, value in said.items() if value is not None}
    return ArchSpec.from_document({**spec.to_document(), **changes}) if changes else spec


def _spec(written: Written) -> ArchSpec:
    if isinstance(written, str):
        return published(written)
    if isinstance(written, ArchSpec):
        return written
    if isinstance(written, Mapping):
        return ArchSpec.from_document(written)
    found = spec_of(written) if isinstance(written, nn.Module) else None
    if found is not None:
        return found
    if isinstance(written, Network):
        raise UsageError(
            "the layers of this network are not those that it was built with, so its spec is not "
            "its own",
            help="archbench.profile and archbench.compare measure it as it is",
        )
    raise wrong_type(
        written,
        place="network",
        allowed="a published name, an ArchSpec, a document (a dict) or what archbench.build made; "
        "archbench.profile and archbench.compare take any torch.nn.Module",
    )


def spec_of(network: nn.Module) -> ArchSpec | None:
    """The spec that a network was built from; None where it is none, or its layers are others."""
    if not isinstance(network, Network):
        return None
    with torch.device("meta"):
        built = Network(network.spec)
    one, other = ({k: v.shape for k, v in n.state_dict().items()} for n in (network, built))
    return network.spec if one == other else None


def _stage_work(stage: ResolvedStage, *, training: bool) -> StageWork:
    def work(part: Part, site: Site) -> Work:
        return part.count(site) if training else part.deployed_count(site)

    tables = stage.class_tokens + (stage.tokens if stage.position == "absolute" else 0)
    embed = total(work(stage.embed, stage.embed_site), Work(params=tables * stage.dim))
    return StageWork(embed, tuple(map(work, stage.blocks, stage.block_sites)))


def _head_work(head: HeadSpec, stage: ResolvedStage, *, num_classes: int) -> Work:
    number, inputs = head.num_classifiers, head.hidden_dim or stage.dim
    works = [linear(inputs=inputs, outputs=num_classes, tokens=1, bias=True)] * number
    if head.norm != "none":
        works.append(norm(inputs, number=number) if head.norm == "batch" else norm(stage.dim))
    if head.hidden_dim is not None:
        tokens, bias = 1 if head.pool == "mean" else number, head.hidden_norm == "none"
        works += [
            linear(inputs=stage.dim, outputs=head.hidden_dim, tokens=tokens, bias=bias),
            norm(head.hidden_dim, number=not bias),
        ]
    if head.pool == "layer_class_attention":
        shape = LayerAttentionShape.of(stage.blocks, dim=stage.dim)
        works.append(shape.work(tokens=number))
    return total(*works)


def _hidden_layer(spec: HeadSpec, dim: int) -> nn.Module:
    """Between pooling and classifiers; (..., C) to (..., C'), or the identity."""
    if spec.hidden_dim is None:
        return nn.Identity()
    assert spec.activation is not None
    if spec.hidden_norm == "batch":
        layers: list[nn.Module] = [LinearNorm(dim, spec.hidden_dim)]
    else:
        layers = [nn.Linear(dim, spec.hidden_dim, bias=spec.hidden_norm == "none")]
    if spec.hidden_norm == "layer":
        layers.append(nn.LayerNorm(spec.hidden_dim, eps=spec.epsilon))
    return nn.Sequential(*layers, activation(spec.activation))


def _table(rows: int, dim: int) -> nn.Parameter | None:
    if not rows:
        return None
    table = nn.Parameter(torch.zeros(1, rows, dim))
    nn.init.trunc_normal_(table, std=0.02)
    return table
