"""Which tensors of two networks correspond, and which channels does each side of them stand for?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from archbench.models.blocks.ceit import LayerAttentionShape
from archbench.models.channels import Channels, within
from archbench.models.spec import IMAGE_CHANNELS, ArchSpec, ResolvedSpec
from archbench.models.weights.skeleton import skeleton

Parts = tuple[tuple[str, int], ...]
"""Names and sizes of the parts of a stream, in order; one name may stand several times."""


class PartPlace(NamedTuple):
    """A part of a network, or what stands beside its parts.

    Names of its tensors begin with the prefix; streams of the network are its ``before`` and
    ``width``.
    """

    prefix: str
    channels: Channels
    streams: Mapping[str, str]

    def key(self, name: str) -> str:
        """What tells channels of a name from those of the same name elsewhere in the network."""
        return self.streams.get(name, self.prefix + name)


class Pair(NamedTuple):
    """A tensor and the one of the ancestor that it may take over, both with these sides."""

    name: str
    old_name: str
    sides: tuple[str, ...]
    place: PartPlace
    old_place: PartPlace


def pairs(spec: ArchSpec, ancestor: ArchSpec) -> Iterator[Pair]:
    """The tensors of a network that have one of their kind in its ancestor.

    Stages, and what stands in them, correspond by their numbers, their layers as ``origins`` says.
    """
    here, there = places(spec.resolved()), places(ancestor.resolved())
    split, old_split = _split(here), _split(there)
    both = [key for key, parts in split.items() if _names(old_split.get(key, ())) == _names(parts)]
    here = [_in_parts(place, {key: split[key] for key in both}) for place in here]
    there = [_in_parts(place, {key: old_split[key] for key in both}) for place in there]
    found = {place.prefix: place for place in there}
    origin = origins(spec.resolved(), ancestor.resolved())
    theirs, left = skeleton(ancestor).tensors, dict(skeleton(spec).tensors)
    for place in here:
        mine = {name: left.pop(name).ndim for name in [*left] if name.startswith(place.prefix)}
        old = found.get(origin.get(place.prefix, place.prefix) or "")
        if old is None:
            continue
        for name, ndim in mine.items():
            rest = name.removeprefix(place.prefix)
            other = theirs.get(old.prefix + rest)
            sides, *others = (at.channels.sides(rest, ndim=ndim) for at in (place, old))
            if other is not None and other.ndim == ndim and others == [sides]:
                yield Pair(name, old.prefix + rest, sides, place, old)


def places(spec: ResolvedSpec) -> list[PartPlace]:
    """Every place of a network's tensors; those of parts before those of the stage around them."""
    found, inside = [], ("image", IMAGE_CHANNELS)
    for i, stage in enumerate(spec.stages):
        part, site = stage.embed, stage.embed_site
        outside = (inside[0] if part.carries_on(site) else f"stages.{i}.width", stage.dim)
        found.append(_place(f"stages.{i}.embed.", part.named_channels(site), inside, outside))
        for b, (block, site) in enumerate(zip(stage.blocks, stage.block_sites, strict=True)):
            channels = block.named_channels(site)
            found.append(_place(f"stages.{i}.blocks.{b}.", channels, outside, outside))
        tables = {"class_token": ("", "tokens", "width"), "position": ("", "rows", "width")}
        sizes = {"tokens": stage.class_tokens, "rows": stage.tokens}
        found.append(_place(f"stages.{i}.", Channels(sizes, tables), outside, outside))
        inside = outside
    return [*found, _place("head.", _of_head(spec), inside, inside)]


def origins(new: ResolvedSpec, old: ResolvedSpec) -> dict[str, str | None]:
    """For each layer of a network that of its ancestor, by the beginnings of names; None for new.

    Those of a stage that the ancestor lacks are not among them.
    """
    found: dict[str, str | None] = {}
    for i, (here, there) in enumerate(zip(new.stages, old.stages, strict=False)):
        for b, layer in enumerate(kept_layers(len(here.blocks), len(there.blocks))):
            origin = None if layer is None else f"stages.{i}.blocks.{layer}."
            found[f"stages.{i}.blocks.{b}."] = origin
    return found


def kept_layers(number: int, of: int) -> tuple[int | None, ...]:
    """For each of so many layers that of an ancestor ``of`` so many; None where it is new.

    >>> kept_layers(3, 5), kept_layers(5, 3)
    ((0, 2, 4), (0, None, 1, None, 2))
    """
    if number <= of:
        return tuple(_spread(place, of - 1, number - 1) for place in range(number))
    found: list[int | None] = [None] * number
    for layer in range(of):
        found[_spread(layer, number - 1, of - 1)] = layer
    return tuple(found)


def _spread(place: int, last: int, steps: int) -> int:
    """Where a place stands among 0 to ``last`` when so many steps lead there, half rounded up."""
    return (2 * place * last + steps) // (2 * steps) if steps else 0


def _place(
    prefix: str, channels: Channels, before: tuple[str, int], width: tuple[str, int]
) -> PartPlace:
    """A place between two streams, each its key and its number of channels."""
    sizes = {**channels.sizes, "before": before[1], "width": width[1]}
    streams = {"before": before[0], "width": width[0]}
    return PartPlace(prefix, channels._replace(sizes=sizes), streams)


def _split(found: Sequence[PartPlace]) -> dict[str, Parts]:
    """The parts of each stream that is read in parts; of none that several say otherwise."""
    split: dict[str, set[Parts]] = {}
    for _, channels, streams in found:
        if channels.width:
            names = channels.width.split(", ")
            parts = tuple((name.partition(".")[2], channels.sizes[name]) for name in names)
            split.setdefault(streams["width"], set()).add(parts)
    return {key: parts.pop() for key, parts in split.items() if len(parts) == 1}


def _names(parts: Parts) -> list[str]:
    return [name for name, _ in parts]


def _in_parts(place: PartPlace, split: Mapping[str, Parts]) -> PartPlace:
    """A place whose words say the parts of streams that are split, and of no others."""
    sizes, streams, whole = dict(place.channels.sizes), dict(place.streams), {}
    for stream, key in place.streams.items():
        if key in split:
            whole[stream] = ", ".join(f"{stream}.{name}" for name in _names(split[key]))
            sizes |= {f"{stream}.{name}": size for name, size in split[key]}
            streams |= {f"{stream}.{name}": f"{key}.{name}" for name in _names(split[key])}

    def in_parts(side: str) -> str:
        words = side.split(", ")
        is_told = all("." not in word or word in streams for word in words)
        return ", ".join(whole.get(word, word) for word in words) if is_told else ""

    layers = {layer: tuple(map(in_parts, sides)) for layer, sides in place.channels.layers.items()}
    return PartPlace(place.prefix, Channels(sizes, layers), streams)


def _of_head(spec: ResolvedSpec) -> Channels:
    last, sizes = spec.stages[-1], {"classes": spec.num_classes}
    layers: dict[str, tuple[str, ...]] = {"norm": ("width", "")}
    features = "width"
    if spec.head.hidden_dim is not None:
        features, sizes["features"] = "features", spec.head.hidden_dim
        layers |= {"hidden.0": ("features", "width"), "hidden.1": ("features", "")}
    for number in range(spec.head.num_classifiers):
        name = f"classifiers.{number}"
        layers |= {name: ("classes", features), f"{name}.norm": (features, "")}
    if spec.head.pool == "layer_class_attention":
        attention = LayerAttentionShape.of(last.blocks, dim=last.dim).named_channels
        layers |= within("layer_attention", attention.layers)
        layers["layer_attention.layer_position"] = ("", "layers", "width")
        sizes |= {**attention.sizes, "layers": len(last.blocks)}
    return Channels(sizes, layers)
