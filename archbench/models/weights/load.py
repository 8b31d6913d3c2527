"""Weights in and out: load them into a network, save them, convert them between layouts.

A file of ours is safetensors whose header holds the network as JSON (``spec``), its digest, a
``sha256`` of that JSON and all tensors, and where the weights came from (``source``).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from archbench.errors import UsageError, WeightsError
from archbench.models.catalogue import published
from archbench.models.deployment import Deployed
from archbench.models.network import Network, Written, as_spec, build
from archbench.models.part import Grid
from archbench.models.spec import ArchSpec
from archbench.models.weights.header import header, own_spec, source_of, texts_for
from archbench.models.weights.layout import OURS, FileForm, form_of, layout_for, layouts, table
from archbench.models.weights.skeleton import differing_fields, resized, skeleton
from archbench.models.weights.translation import our_tensors, recognise, same_size, their_tensors
from archbench.models.weights.weight_file import (
    WeightFile,
    read_weights,
    write_pickle,
    write_safetensors,
)
from archbench.study.study_folder import path_of


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was read from a file of some layout, and what was done to it.

    The spec is of the file's resolution and, where the classifiers were not left out, its classes;
    ``verified``: the file holds a sha256 of its weights, which agrees. Tensors ``interpolated``
    were brought to another map, ``fresh`` ones stayed as the network had them. The ``source`` is
    where a file of ours came from, if it was converted: layout, form, file, sha256.

    The ``key`` names the set of weights that was taken, ``other_keys`` those of others that the
    file has; ``.`` is of one that stands by itself. What was ``ignored`` stood among its tensors
    and is no weight.
    """

    layout: str
    spec: ArchSpec
    verified: bool
    interpolated: tuple[str, ...]
    fresh: tuple[str, ...]
    source: Mapping[str, Any]
    key: str
    other_keys: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What a conversion read, and what it wrote: the network, whose names, the file, its sha256."""

    loaded: Loaded
    spec: ArchSpec
    layout: str
    path: Path
    sha256: str


def load_weights(
    network: nn.Module,
    path: str | Path,
    *,
    layout: str | None = None,
    key: str | None = None,
    interpolate: bool = False,
    new_head: bool | None = False,
) -> Loaded:
    """Loads a file of weights into a network; on an error the network is as it was.

    The released LeViT's, CvT's and DeiT's names are known, timm's, transformers', torchvision's
    and ours, in safetensors or PyTorch's files; ``layout`` says whose they are, as in ``timm``, if
    the names themselves shall not. Nothing in a file is executed.

    A file may have several sets of weights. The ``key`` says which is taken, as in ``model_ema``;
    by default it is the average over the training steps (EMA), if there is one, else the weights
    as they were trained. What is returned says which it was, and which others there are.

    ``interpolate`` brings position embeddings and attention biases from the file's resolution to
    the network's; without it another one is refused. ``new_head`` leaves the classifiers as they
    are in the network: for other classes; None does so where the file is for another number.

    Raises:
        MissingError: There is no such file.
        WeightsError: It is damaged, or does not fit; the message lists what is missing, left over
            or of another shape.
        UsageError: The network is none of ours, or is deployed already, or the file has no such
            set of weights.
    """
    spec, own = _own(network)
    if not skeleton(spec).has_shapes_of(own):
        raise UsageError(
            "the layers of this network are not those that it was built with",
            help="load the weights before archbench.deploy, and deploy again",
        )
    tensors, loaded, _ = _read_into(
        read_weights(path_of(path, place="path"), key=key),
        asked=layout,
        spec=spec,
        interpolate=interpolate,
        new_head=new_head,
    )
    network.load_state_dict({**own, **tensors})
    return loaded


class ReadNetwork(NamedTuple):
    """A network of a file of weights, its tensors under our names, and the file's sha256."""

    spec: ArchSpec
    tensors: Mapping[str, Tensor]
    sha256: str


def read_network(path: str | Path, *, key: str | None = None) -> ReadNetwork:
    """The network that a file of weights holds: that of ours, or the published one of its size.

    Raises:
        ArchbenchError: As ``load_weights`` does, or no network is seen from the file.
    """
    file = read_weights(path_of(path, place="path"), key=key)
    spec = _spec_of(file, asked=None)
    tensors, _, _ = _read_into(file, asked=None, spec=spec, interpolate=True, new_head=False)
    return ReadNetwork(spec, tensors, file.sha256)


def save_weights(
    network: nn.Module, path: str | Path, *, source: Mapping[str, Any] | None = None
) -> str:
    """Saves a network's weights with its spec and their sha256, and gives the file's sha256.

    The file ends in .safetensors and is replaced whole when all of the new one is on the disk. The
    source says where the weights came from, JSON-able.

    Raises:
        UsageError: The network is none of ours, or is deployed, or the name ends otherwise.
        StorageError: The file cannot be written; what was there before still is.
    """
    spec, tensors = _own(network)
    if not skeleton(spec).has_shapes_of(tensors):
        raise UsageError(
            "the tensors of this network are not those of its spec",
            help="save the network itself, not its deployed form",
        )
    return _save(path_of(path, place="path"), tensors, spec=spec, source=source or {})


def convert_weights(
    source: str | Path,
    target: str | Path,
    *,
    model: Written | None = None,
    to: str = OURS,
    layout: str | None = None,
    key: str | None = None,
    resolution: int | tuple[int, int] | None = None,
    classes: int | None = None,
    origin: str = "",
) -> Converted:
    """Reads a file of weights and writes them under other names; there and back changes no bit.

    The target is .safetensors, or PyTorch's .pth, .pt, .bin where it is not ours. The network is by
    default that of a file of ours, else the published one with as many parameters. ``to`` and
    ``layout`` say whose names are written and read: ``archbench``, ``official``, ``timm``,
    ``transformers``, ...; those that are read are seen from the names by default. The ``key`` is
    that of ``load_weights``. A resolution, height and width or a side, is interpolated to;
    ``classes`` drops the classifiers for fresh ones of so many classes. A file of ours keeps the
    origin, where the source was fetched, and what a source of ours says of its training and images.

    Raises:
        ArchbenchError: As ``load_weights`` and ``save_weights`` do.
    """
    file = read_weights(path_of(source, place="source"), key=key)
    spec = as_spec(model) if model is not None else _spec_of(file, asked=layout)
    sides = (resolution, resolution) if isinstance(resolution, int) else resolution
    spec = replace(
        spec,
        resolution=Grid(*sides) if sides else spec.resolution,
        num_classes=classes or spec.num_classes,
    )
    tensors, loaded, form = _read_into(
        file,
        asked=layout,
        spec=spec,
        interpolate=resolution is not None,
        new_head=classes is not None,
    )
    if loaded.fresh:
        tensors = {**build(spec, seed=0).state_dict(), **tensors}
    wanted = layout_for(to, spec)
    path = path_of(target, place="target")
    if wanted == OURS:
        came: dict[str, Any] = {"file": file.path.name, "url": origin, "sha256": file.sha256}
        came |= {"layout": loaded.layout, "form": asdict(form)}
        texts = texts_for(file, spec, new_head=classes is not None)
        sha256 = _save(path, tensors, spec=spec, source=loaded.source or came, texts=texts)
    else:
        form = _form_to_write(wanted, source=loaded.source)
        theirs = their_tensors(tensors, name=wanted, form=form, spec=spec)
        sha256 = _write_theirs(path, theirs, wrapper=form.wrapper)
    return Converted(loaded=loaded, spec=spec, layout=wanted, path=path, sha256=sha256)


def describe_weights(path: str | Path, *, key: str | None = None) -> dict[str, Any]:
    """What a file holds, JSON-able: layout, spec, tensors, sums; a damaged one is refused.

    Of several sets of weights all have their sizes; the rest is of the one that the key names, or
    that ``load_weights`` takes by default.

    Raises:
        ArchbenchError: As ``load_weights`` does, but for what does not fit.
    """
    file = read_weights(path_of(path, place="path"), key=key)
    name, form = recognise(file, asked=None, spec=None)
    spec = own_spec(file) if name == OURS else None
    return {
        "file": str(file.path),
        "bytes": file.size,
        "sha256": file.sha256,
        "kind": file.kind,
        "key": file.part.key,
        "sets": {one: dict(size) for one, size in file.sets.items()},
        "ignored": list(file.part.ignored),
        "layout": name,
        "title": layouts()[name].title,
        "form": asdict(form),
        "verified": spec is not None and "sha256" in file.metadata,
        "network": spec.name if spec else None,
        "spec": spec.to_document() if spec else None,
        "same_size": same_size(file),
        "source": source_of(file),
        "tensors": {
            key: {"shape": list(tensor.shape), "type": str(tensor.dtype).removeprefix("torch.")}
            for key, tensor in sorted(file.tensors.items())
        },
    }


def _own(network: nn.Module) -> tuple[ArchSpec, dict[str, Tensor]]:
    """What a network was built from, and its tensors."""
    if isinstance(network, Deployed):
        raise UsageError(
            "a deployed form neither takes nor gives weights",
            help="use the network itself, and archbench.deploy behind it",
        )
    if not isinstance(network, Network):
        raise UsageError(f"weights go into a network of archbench.build, not {type(network)!r}")
    return network.spec, network.state_dict()


def _read_into(
    file: WeightFile, *, asked: str | None, spec: ArchSpec, interpolate: bool, new_head: bool | None
) -> tuple[dict[str, Tensor], Loaded, FileForm]:
    """The tensors of a file that a network takes from it, under our names and of its sizes.

    See ``load_weights`` for what may be asked, and what is raised.
    """
    name, form = recognise(file, asked=asked, spec=spec)
    own = own_spec(file) if name == OURS else None
    if own is not None:
        _check_same(file, own, spec, new_head=new_head)
    base = replace(spec, resolution=own.resolution) if own else spec
    tensors, found = our_tensors(file, name=name, form=form, spec=base, new_head=bool(new_head))
    if found.num_classes != spec.num_classes:
        if new_head is None:
            return _read_into(file, asked=asked, spec=spec, interpolate=interpolate, new_head=True)
        raise file.refused(
            f"for {found.num_classes} classes, and the network has {spec.num_classes}",
            help=f"build it with num_classes {found.num_classes}, or ask for a new head "
            f"(new_head=True, --classes {spec.num_classes})",
        )
    before, wanted = skeleton(found).grids, skeleton(spec).grids
    moved = [key for key in wanted if before[key] != wanted[key]]
    if moved and not interpolate:
        raise _other_map(file, moved[0], found=found, spec=spec)
    for key in moved:
        tensors[key] = resized(tensors[key], old=before[key], new=wanted[key])
    loaded = Loaded(
        layout=name,
        spec=found,
        verified=own is not None and "sha256" in file.metadata,
        interpolated=tuple(moved),
        fresh=tuple(key for key in skeleton(spec).tensors if key not in tensors),
        source=source_of(file),
        key=file.part.key,
        other_keys=tuple(one for one in file.sets if one != file.part.key),
        ignored=file.part.ignored,
    )
    return tensors, loaded, form


def _other_map(file: WeightFile, key: str, *, found: ArchSpec, spec: ArchSpec) -> WeightsError:
    """The error for weights of another resolution that shall not be interpolated."""
    old, new = skeleton(found).grids[key], skeleton(spec).grids[key]
    height, width = found.resolution
    fits = str(found.resolution)
    return file.refused(
        f"for images of {fits}, and the network takes {spec.resolution}: {key} has a map "
        f"of {old}, not {new}",
        help=f"build it at {height if height == width else fits}, or ask for "
        f"interpolation (interpolate=True, --resolution {spec.resolution})",
    )


def _check_same(file: WeightFile, own: ArchSpec, spec: ArchSpec, *, new_head: bool | None) -> None:
    """Refuse weights of a network that computes something else, whatever their shapes."""
    fields = differing_fields(own, spec)
    if new_head:
        fields = [field for field in fields if not field.startswith("head.num_classifiers")]
    if fields:
        more = f", and {len(fields) - 5} more" if len(fields) > 5 else ""
        raise file.refused(
            f"the weights are of another network{f' ({own.name})' if own.name else ''}: "
            f"{', '.join(fields[:5])}{more}",
            help="archbench weights show prints the network that they are of",
        )


def _save(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    spec: ArchSpec,
    source: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> str:
    """Writes a file of ours, with more texts in its header, and gives its sha256."""
    if path.suffix != ".safetensors":
        raise UsageError(
            f"{path.name} does not end in .safetensors, as our files do", place=str(path)
        )
    origin = {"source": json.dumps(source, sort_keys=True)}
    metadata = {**(texts or {}), **header(spec), **origin}
    return write_safetensors(path, tensors, metadata=metadata)


def _spec_of(file: WeightFile, *, asked: str | None) -> ArchSpec:
    """The network of a file that no one named."""
    name, _ = recognise(file, asked=asked, spec=None)
    if name == OURS and (own := own_spec(file)) is not None:
        return own
    alike = [other for other in same_size(file) if _may_hold(name, other)]
    if len(alike) == 1:
        return published(alike[0])
    known = f"these have as many parameters: {', '.join(alike)}"
    raise file.refused(
        f"of which network? {known if alike else 'no published one has as many parameters'}",
        help="name it: --model NAME, or a file as archbench models show prints it",
    )


def _may_hold(name: str, network: str) -> bool:
    spec = published(network)
    try:
        return bool(table(name, spec.resolved(), skeleton(spec).tensors))
    except UsageError:
        return False


def _form_to_write(name: str, *, source: Mapping[str, Any]) -> FileForm:
    """The form that weights once came in, where it was of the same layout; else its own code's."""
    if source.get("layout") == name:
        return form_of(source.get("form"))
    held = layouts()[name]
    return FileForm(wrapper=held.wrapper, offsets=held.keeps_offsets)


def _write_theirs(path: Path, tensors: Mapping[str, Tensor], *, wrapper: str) -> str:
    if path.suffix == ".safetensors":
        return write_safetensors(path, tensors, metadata={"format": "pt"})
    if path.suffix in (".pth", ".pt", ".bin"):
        return write_pickle(path, tensors, wrapper=wrapper)
    raise UsageError(
        f"{path.name} ends neither in .safetensors nor in .pth, .pt or .bin", place=str(path)
    )
