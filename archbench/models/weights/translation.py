"""Do the weights of a file fit a network, and what are they under our names, or under others'?"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import isqrt

import torch
from torch import Tensor

from archbench.errors import SpecError, UsageError, WeightsError
from archbench.models.catalogue import published_names
from archbench.models.network import count
from archbench.models.part import Grid
from archbench.models.spec import ArchSpec
from archbench.models.weights.layout import (
    BIASES,
    COUNTER,
    HEAD,
    OFFSETS,
    FileForm,
    TensorPlace,
    layout,
    layout_for,
    listed,
    offsets,
    shown,
    table,
)
from archbench.models.weights.skeleton import skeleton
from archbench.models.weights.weight_file import WeightFile

_FIRST_HEAD = (f"{HEAD}0.weight", f"{HEAD}0.linear.weight")


def recognise(
    file: WeightFile, *, asked: str | None, spec: ArchSpec | None
) -> tuple[str, FileForm]:
    """The layout of a file, and what is particular about this one.

    The layout is seen from the names unless one was asked for, or a dialect, which needs the
    network.

    Raises:
        WeightsError: It is of no layout that is known, or may be of several.
        UsageError: The layout that was named is unknown.
    """
    sides = {name: tensor.ndim for name, tensor in file.tensors.items()}
    found = list(dict.fromkeys(home.layout for home in file.part.homes))
    if asked is not None:
        found = [layout_for(asked, spec) if spec else asked]
    if not found:
        raise file.refused(
            f"of no layout that is known; it holds {listed(list(sides))}",
            help="only networks of archbench's own grammar are read, under their own, timm's, "
            "transformers' or the released names",
        )
    if len(found) > 1:
        raise file.refused(f"may be of several layouts: {', '.join(found)}", help="say which")
    held = layout(found[0])
    return found[0], FileForm(
        wrapper=".".join(file.part.path),
        prefix=file.part.prefix,
        pointwise="norm" in held.leaves
        and not held.pointwise
        and any(number == 4 for name, number in sides.items() if ".qkv." in name),
        offsets=any(name.endswith(OFFSETS) for name in sides),
        counters=any(name.endswith(COUNTER) for name in sides),
        is_base=any(home.is_base for home in file.part.homes if home.layout == found[0]),
    )


def our_tensors(
    file: WeightFile, *, name: str, form: FileForm, spec: ArchSpec, new_head: bool
) -> tuple[dict[str, Tensor], ArchSpec]:
    """The weights of a file under our names, and the network that they are of.

    That network is ``spec``, for which they are wanted, but for resolution and classes, which are
    those of the file. With ``new_head`` its classifiers are left out.

    Raises:
        WeightsError: A tensor is missing, left over, of another shape or not finite, or the
            layout cannot hold such a network.
    """
    base = layout(name).base_of(spec.resolved()) if form.is_base else ""
    theirs = {base + key: value for key, value in file.tensors.items()}
    try:
        places = table(name, spec.resolved(), skeleton(spec).tensors)
    except UsageError as error:
        raise file.refused(f"the weights are not of this network: {error.message}") from None
    if new_head:
        places = tuple(
            place
            for place in places
            if not place.ours.startswith(HEAD) and place.theirs[0].startswith(base)
        )
    joined = {place.ours: _joined(place, theirs, form) for place in places}
    found = {ours: value for ours, value in joined.items() if value is not None}
    source = _spec_in_file(spec, found)
    wanted = skeleton(source).tensors
    beside = _ignored(name, spec, theirs, new_head=new_head)
    _check_names_and_shapes(
        file, places, theirs, beside=beside, found=found, wanted=wanted, name=name, spec=spec
    )
    _check_values(found, wanted, file)
    _check_offsets(file, theirs, expected=offsets(name, source.resolved()))
    return found, source


def their_tensors(
    tensors: Mapping[str, Tensor], *, name: str, form: FileForm, spec: ArchSpec
) -> dict[str, Tensor]:
    """Our weights under the names of a layout: what ``our_tensors`` reads back, bit for bit.

    Raises:
        UsageError: The layout cannot hold such a network.
    """
    resolved = spec.resolved()
    found: dict[str, Tensor] = {}
    for entry in table(name, resolved, tensors):
        if entry.ours.endswith(COUNTER) and not form.counters:
            continue
        value = tensors[entry.ours]
        is_linear = value.ndim == 2 and not entry.ours.startswith(HEAD)
        if entry.pointwise or (form.pointwise and is_linear and entry.ours.endswith(".weight")):
            value = value[:, :, None, None]
        pieces = value.chunk(len(entry.theirs), dim=entry.dim) if len(entry.theirs) > 1 else [value]
        found |= dict(zip(entry.theirs, pieces, strict=True))
    if form.offsets:
        found |= offsets(name, resolved)
    base = layout(name).base_of(resolved) if form.is_base else ""
    return {
        form.prefix + key.removeprefix(base): value
        for key, value in found.items()
        if key.startswith(base)
    }


def same_size(file: WeightFile) -> list[str]:
    """The published networks with as many parameters as the file holds."""
    number = file.part.size()["parameters"]
    return [name for name in published_names() if count(name, training=True).params == number]


def _spec_in_file(spec: ArchSpec, found: Mapping[str, Tensor]) -> ArchSpec:
    """The network with the resolution and classes of the file, where one fits."""
    for key in _FIRST_HEAD:
        if key in found and found[key].ndim == 2 and 0 < found[key].shape[0] <= 10**6:
            spec = replace(spec, num_classes=found[key].shape[0])
    own = skeleton(spec)
    for key, grid in own.grids.items():
        wanted = own.tensors[key].shape[1]
        rows = found[key].shape[1] if key in found and found[key].ndim > 1 else wanted
        places = grid.tokens + rows - wanted  # without class tokens
        side = isqrt(max(0, places))
        if rows != wanted and side and side * side == places:
            return _at_side(spec, key, grid, side)
    return spec


def _at_side(spec: ArchSpec, key: str, grid: Grid, side: int) -> ArchSpec:
    """The network at the square resolution at which one table's map has this side, if any."""
    guess = round(spec.resolution.height * side / grid.height)
    # Resolutions in use are multiples of 32, or those at which strides leave nothing over.
    for pixels in sorted(
        range(max(1, guess - 96), guess + 97),
        key=lambda pixels: (pixels != guess, pixels % 32 != 0, abs(pixels - guess)),
    ):
        candidate = replace(spec, resolution=Grid(pixels, pixels))
        with suppress(SpecError):
            stage = candidate.resolved().stages[int(key.split(".")[1])]
            if (stage.embed_site.grid if ".embed." in key else stage.grid) == (side, side):
                return candidate
    return spec


def _joined(entry: TensorPlace, theirs: Mapping[str, Tensor], form: FileForm) -> Tensor | None:
    if not form.counters and entry.ours.endswith(COUNTER):
        return torch.zeros((), dtype=torch.int64)
    pieces = [theirs[one] for one in entry.theirs if one in theirs]
    if len(pieces) != len(entry.theirs):
        return None
    if entry.pointwise or (form.pointwise and ".conv." not in entry.ours):
        pieces = [p[:, :, 0, 0] if p.ndim == 4 and p.shape[2:] == (1, 1) else p for p in pieces]
    if len(pieces) == 1:
        return pieces[0]
    sides = {(p.ndim, p.shape[: entry.dim], p.shape[entry.dim + 1 :], p.dtype) for p in pieces}
    is_alike = len(sides) == 1 and pieces[0].ndim > entry.dim
    # Pieces that cannot be joined are shown as they are: their shape is not the wanted one.
    return torch.cat(pieces, dim=entry.dim) if is_alike else pieces[0]


def _ignored(
    name: str, spec: ArchSpec, theirs: Mapping[str, Tensor], *, new_head: bool
) -> set[str]:
    """What a file may hold beyond what is read: offsets beside a bias, classifiers left out."""
    beside = {one for one in theirs if one.removesuffix(OFFSETS) + BIASES in theirs}
    if not new_head:
        return beside
    resolved = spec.resolved()
    roots = [
        f"{root}."
        for number in (1, 2)
        for ours, theirs in layout(name)
        .places(replace(resolved, head=replace(spec.head, num_classifiers=number)))
        .items()
        if ours.startswith(HEAD)
        for root in theirs
    ]
    roots = roots or [HEAD]
    return beside | {one for one in theirs if one.startswith(tuple(roots))}


def _check_names_and_shapes(
    file: WeightFile,
    places: Sequence[TensorPlace],
    theirs: Mapping[str, Tensor],
    *,
    beside: set[str],
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    name: str,
    spec: ArchSpec,
) -> None:
    """Refuse a file that lacks a tensor, has another, or has one of another shape."""
    missing = [
        one
        for place in places
        for one in place.theirs
        if place.ours not in found and one not in theirs
    ]
    known = {one for place in places for one in place.theirs} | beside
    left = [one for one in theirs if one not in known]
    shapes = [
        f"{'+'.join(place.theirs)[:120]}: {_sides(found[place.ours])} in the file, "
        f"{_sides(wanted[place.ours])} in the network"
        for place in places
        if place.ours in found and found[place.ours].shape != wanted[place.ours].shape
    ]
    if missing or left or shapes:
        heads = {one for place in places if place.ours in _FIRST_HEAD for one in place.theirs}
        is_headless = bool(heads) and heads <= {*missing} and not left
        raise _misfit(
            file, layout(name).title, spec, missing, left, shapes, is_headless=is_headless
        )


def _misfit(
    file: WeightFile,
    title: str,
    spec: ArchSpec,
    missing: list[str],
    left: list[str],
    wrong: list[str],
    *,
    is_headless: bool,
) -> WeightsError:
    parts = [f"missing: {listed(missing)}"] if missing else []
    parts += [f"left over: {listed(left)}"] if left else []
    values = [one for one in missing if f"{file.part.prefix}{one}" in file.part.ignored]
    parts += [f"in the file, but no tensors: {', '.join(map(shown, values[:5]))}"] if values else []
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        parts.append(f"of another shape: {len(wrong)} ({'; '.join(wrong[:3])}{more})")
    name = spec.name
    alike = [other for other in same_size(file) if other != name]
    # The usual reason where only classifiers differ.
    words = re.compile(r"head_dist|classifier|head\.|.*distill")
    others = [one for one in (*missing, *left) if not words.match(one)]
    if is_headless:
        help_ = (
            "the file has no classifier: ask for a new head "
            f"(new_head=True, --classes {spec.num_classes})"
        )
    elif alike:
        help_ = f"they have as many parameters as {' and '.join(alike[:3])}"
    elif others or not (missing or left):
        help_ = "build the network that the weights were trained in"
    else:
        help_ = "the number of classifiers differs: change head.num_classifiers, or take a new head"
    message = f"{title} weights that do not fit {name or 'the network'}: {'; '.join(parts)}"
    return file.refused(message, help=help_)


def _check_values(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], file: WeightFile
) -> None:
    is_float = {key: value.dtype.is_floating_point for key, value in found.items()}
    kinds = [key for key in found if is_float[key] != wanted[key].dtype.is_floating_point]
    wild = [key for key in found if is_float[key] and not found[key].float().isfinite().all()]
    negative = [key for key in found if key.endswith("running_var") and (found[key] < 0).any()]
    if kinds:
        raise file.refused(f"another type of number in {listed(kinds)}")
    if wild:
        raise file.refused(
            f"values that are not finite in {listed(wild)}",
            help="the training diverged or the file is damaged; take an earlier one",
        )
    if negative:
        raise file.refused(f"negative variances in {listed(negative)}")


def _check_offsets(
    file: WeightFile, theirs: Mapping[str, Tensor], *, expected: Mapping[str, Tensor]
) -> None:
    other = [
        key for key, value in expected.items() if key in theirs and not theirs[key].equal(value)
    ]
    if other:
        raise file.refused(
            f"other offsets between queries and keys than the network's in {listed(other)}",
            help="the weights were made for another form of the map; they cannot be used here",
        )


def _sides(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
