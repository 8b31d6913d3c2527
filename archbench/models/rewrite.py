"""The proxy of a network: the same spec for smaller images and other classes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from math import isfinite, sqrt
from typing import Any, NamedTuple

from archbench.errors import UsageError
from archbench.models.part import Grid
from archbench.models.spec import ArchSpec, StageSpec

STEMS = ("keep_grid", "as_is")
_WIDTH_STEP = 8  # channels, where no heads say what a width must be a multiple of


class Sides(NamedTuple):
    """At which side networks are trained that are made for images of different sides.

    The base, of ``base`` pixels, is trained at ``trained`` pixels, and all others in proportion, at
    the nearest multiple of ``step`` pixels: the stride with which the base's first embed is
    trained, so that grids are whole and none gets a token more by rounding up.
    """

    base: int
    trained: int
    step: int

    def of(self, own: int) -> int:
        """The side at which a network is trained that is made for images of its own side."""
        if own == self.base:
            return self.trained
        return self.step * _least_one(own * self.trained / self.base / self.step)


def sides_like(base: ArchSpec, *, trained: int, stem: str) -> Sides:
    """The sides at which networks are trained where a base for square images is at ``trained``.

    Raises:
        UsageError: The stem is no stem.
        SpecError: The first embed is illegal at this size.
    """
    size, step = base.resolution.height, 1
    if size != trained:
        network = proxy(base, resolution=trained, num_classes=base.num_classes, stem=stem)
        grid = network.stages[0].embed.outgoing(network.resolution)
        step = _least_one(trained / sqrt(grid.tokens))
    return Sides(base=size, trained=trained, step=step)


def proxy(
    spec: ArchSpec,
    *,
    resolution: int | Sides,
    num_classes: int,
    stem: str = "keep_grid",
    scale: float = 1.0,
) -> ArchSpec:
    """The network that is trained in place of a target, on square images, its widths ``scaled``.

    The resolution is a side in pixels, or the sides that say it. The stem ``keep_grid`` reduces
    the stride of the first embed, so that the token grid stays about that of the target (LeViT at
    64 px would otherwise end in one token), alike for all of ``Sides``; ``as_is`` changes nothing.

    Raises:
        UsageError: The stem is neither, or the scale no number above 0.
    """
    if stem not in STEMS:
        raise UsageError(f"stem {stem!r} is not one of {', '.join(STEMS)}", place="proxy.stem")
    spec = spec if scale == 1.0 else scaled(spec, scale)
    first, *later = spec.stages
    target = spec.resolution
    if isinstance(resolution, Sides):
        side, ratio = resolution.of(target.height), resolution.trained / resolution.base
    else:
        side, ratio = resolution, resolution / sqrt(target.tokens)
    if stem == "keep_grid" and ratio != 1.0:
        stride = sqrt(target.tokens / first.embed.outgoing(target).tokens) * ratio
        first = replace(first, embed=first.embed.with_stride_near(stride))
    return replace(
        spec,
        name=f"{spec.name}@{side}" if spec.name else "",
        resolution=Grid(side, side),
        num_classes=num_classes,
        stages=(first, *later),
    )


def scaled(spec: ArchSpec, scale: float) -> ArchSpec:
    """The same network with narrower or wider stages; depths, kinds and positions stay.

    Where heads divide the width their number stays and each gets narrower: a width of 192 in heads
    of 64 becomes 48 in heads of 16 at 0.25. LeViT's heads keep their ``key_dim``, so there are
    fewer of them. Other widths, that of a head's hidden layer too, are rounded to multiples of 8.

    Raises:
        UsageError: The scale is no number above 0.
    """
    if not (isfinite(scale) and scale > 0):
        raise UsageError(f"{scale} is not a scale", place="scale", help="use a number above 0")
    widths, head = _scaled_widths(spec.stages, scale), spec.head
    stages = tuple(
        _scaled_stage(stage, scale, dim=dim) for stage, dim in zip(spec.stages, widths, strict=True)
    )
    if head.hidden_dim is not None:
        head = replace(head, hidden_dim=_multiple(head.hidden_dim * scale))
    return replace(spec, stages=stages, head=head)


def _scaled_stage(stage: StageSpec, scale: float, *, dim: int) -> StageSpec:
    layers = []
    for layer, fields in stage.layers:
        changes = dict(fields)
        # A layer may name only some of what its heads hang on.
        whole = changes if "kind" in changes else {**_heads(stage.block), **changes}
        found = _scaled_heads(whole, scale)
        changes |= {name: value for name, value in found.items() if name in changes}
        layers.append((layer, tuple(sorted(changes.items()))))
    parts: list[Any] = [
        part and replace(part, **_scaled_heads(_heads(part), scale))
        for part in (stage.embed, stage.block)
    ]
    return replace(stage, embed=parts[0], block=parts[1], dim=dim, layers=tuple(layers))


def _heads(part: Any) -> dict[str, Any]:
    return {name: getattr(part, name, None) for name in ("head_dim", "key_dim", "num_heads")}


def _scaled_heads(fields: Mapping[str, Any], scale: float) -> dict[str, int]:
    """What changes in the heads of a part: their width or, where queries have their own, number."""
    if fields.get("head_dim") is not None:
        return {"head_dim": _least_one(fields["head_dim"] * scale)}
    if fields.get("key_dim") is not None and fields.get("num_heads") is not None:
        return {"num_heads": _least_one(fields["num_heads"] * scale)}
    return {}


def _scaled_widths(stages: Sequence[StageSpec], scale: float) -> list[int]:
    """A stage without an embed is as wide as the one before; what has heads decides for both."""
    widths: list[int] = []
    for number, stage in enumerate(stages):
        goes_on = stage.embed.kind == "none" and bool(widths)
        behind = takewhile(lambda other: other.embed.kind == "none", stages[number + 1 :])
        run = [stage, *behind]
        headed = [one for one in run if any(_heads(one.block).values())]
        widths.append(widths[-1] if goes_on else _scaled_width((headed or run)[0], scale))
    return widths


def _scaled_width(stage: StageSpec, scale: float) -> int:
    """A multiple of what the old width was one of: the heads' width, their number, or 8."""
    head_dim, key_dim, heads = _heads(stage.block).values()
    if head_dim is not None and stage.dim % head_dim == 0:
        return stage.dim // head_dim * _least_one(head_dim * scale)
    if heads is not None and key_dim is None and stage.dim % heads == 0:
        return int(heads) * _least_one(stage.dim // heads * scale)
    return _multiple(stage.dim * scale)


def _multiple(width: float) -> int:
    return _WIDTH_STEP * _least_one(width / _WIDTH_STEP)


def _least_one(value: float) -> int:
    return max(1, round(value))
