"""Weights in and out: load them into a network, save them, convert them between layouts.

A file of ours is safetensors whose header holds the network as JSON (``spec``), its digest, a
``sha256`` of that JSON and all tensors, and where the weights came from (``source``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from archbench.errors import ArchbenchError, UsageError
from archbench.models.deployment import Deployed
from archbench.models.network import Network
from archbench.models.spec import ArchSpec
from archbench.models.weights.layout import FileForm
from archbench.models.weights.translation import (
    differing_fields,
    our_tensors,
    recognise,
    resized,
    skeleton,
)
from archbench.models.weights.weight_file import (
    WeightFile,
    content_sha256,
    read_weights,
    write_safetensors,
)
from archbench.registry import OUTSIDE

FORMAT = "archbench.weights/1"
OURS = "archbench"


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was read from a file of some layout, and what was done to it.

    Attributes:
        spec: The network that the weights are of, at the file's resolution and, where the
            classifiers were not left out, with its classes.
        verified: Whether the file holds a sha256 of its weights; it agrees, then.
        interpolated: Tensors that were brought to another map.
        fresh: Tensors that stayed as the network had them.
        source: Where a file of ours came from, if it was converted: layout, form, file, sha256.
    """

    layout: str
    spec: ArchSpec
    verified: bool
    interpolated: tuple[str, ...]
    fresh: tuple[str, ...]
    source: Mapping[str, Any]


def load_weights(
    network: nn.Module,
    path: str | Path,
    *,
    layout: str | None = None,
    interpolate: bool = False,
    new_head: bool = False,
) -> Loaded:
    """Loads a file of weights into a network; on an error the network is as it was.

    The released LeViT's, CvT's and DeiT's names are known, timm's, transformers', torchvision's
    and ours, in safetensors or PyTorch's files. Nothing in a file is executed.

    Args:
        network: As ``archbench.build`` gives it, not yet deployed.
        path: The file.
        layout: Whose names it has, as in ``timm``; seen from the names by default.
        interpolate: Bring position embeddings and attention biases from the file's resolution to
            the network's, see ``archbench.models.weights.translation``; without it another one is
            refused.
        new_head: Leave the classifiers as they are in the network: for other classes.

    Raises:
        MissingError: There is no such file.
        WeightsError: It is damaged or unsafe, or does not fit; the message lists what is missing,
            left over or of another shape.
        UsageError: The network is none of ours, or is deployed already.
    """
    spec, own = _own(network)
    if not skeleton(spec).has_shapes_of(own):
        raise UsageError(
            "the layers of this network are not those that it was built with",
            help="load the weights before archbench.deploy, and deploy again",
        )
    tensors, loaded, _ = read_into(
        read_weights(Path(path)),
        asked=layout,
        spec=spec,
        interpolate=interpolate,
        new_head=new_head,
    )
    network.load_state_dict({**own, **tensors})
    return loaded


def save_weights(
    network: nn.Module, path: str | Path, *, source: Mapping[str, Any] | None = None
) -> str:
    """Saves a network's weights with its spec and their sha256, and gives the file's sha256.

    Args:
        network: As ``archbench.build`` gives it.
        path: A .safetensors file; replaced whole when all of the new one is on the disk.
        source: Where the weights came from, JSON-able.

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
    return save_tensors(Path(path), tensors, spec=spec, source=source or {})


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


def read_into(
    file: WeightFile, *, asked: str | None, spec: ArchSpec, interpolate: bool, new_head: bool
) -> tuple[dict[str, Tensor], Loaded, FileForm]:
    """The tensors of a file that a network takes from it, under our names and of its sizes.

    See ``load_weights`` for what may be asked.

    Raises:
        WeightsError: It does not fit.
        UsageError: The layout that was named is unknown.
    """
    name, form = recognise(file, asked=asked, spec=spec)
    own = own_spec(file) if name == OURS else None
    if own is not None:
        _check_same(file, own, spec, new_head=new_head)
    base = replace(spec, resolution=own.resolution) if own else spec
    tensors, found = our_tensors(file, name=name, form=form, spec=base, new_head=new_head)
    if found.num_classes != spec.num_classes:
        raise file.refused(
            f"for {found.num_classes} classes, and the network has {spec.num_classes}",
            help=f"build it with num_classes {found.num_classes}, or ask for a new head "
            f"(new_head=True, --classes {spec.num_classes})",
        )
    before, wanted = skeleton(found).grids, skeleton(spec).grids
    moved = [key for key in wanted if before[key] != wanted[key]]
    for key in moved:
        old, new = before[key], wanted[key]
        if not interpolate:
            fits = str(found.resolution)
            height, width = found.resolution
            raise file.refused(
                f"for images of {fits}, and the network takes {spec.resolution}: {key} has a map "
                f"of {old}, not {new}",
                help=f"build it at {height if height == width else fits}, or ask for "
                f"interpolation (interpolate=True, --resolution {spec.resolution})",
            )
        tensors[key] = resized(tensors[key], old=old, new=new)
    loaded = Loaded(
        layout=name,
        spec=found,
        verified=own is not None and "sha256" in file.metadata,
        interpolated=tuple(moved),
        fresh=tuple(key for key in skeleton(spec).tensors if key not in tensors),
        source=source_of(file),
    )
    return tensors, loaded, form


def _check_same(file: WeightFile, own: ArchSpec, spec: ArchSpec, *, new_head: bool) -> None:
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


def own_spec(file: WeightFile) -> ArchSpec | None:
    """The spec in the header, with the sha256 beside it checked; None where there is none."""
    text = file.metadata.get("spec")
    if file.metadata.get("format") != FORMAT or text is None:
        return None
    sha256 = file.metadata.get("sha256")
    if sha256 is not None and sha256 != content_sha256(file.tensors, text):
        raise file.refused(
            "damaged or changed: the weights and spec are not those of its sha256",
            help="fetch, copy or convert it again",
        )
    try:
        document = json.loads(text)
        _refuse_code(document)
        return ArchSpec.from_document(document, place="spec")
    except (ArchbenchError, AttributeError, RecursionError, TypeError, ValueError) as error:
        raise file.refused(f"the spec in its header cannot be read: {error}") from error


def _refuse_code(document: object) -> None:
    """Refuse parts of modules that nobody imported yet: reading a file runs no code."""
    if isinstance(document, str) and document.startswith(OUTSIDE):
        path = document.removeprefix(OUTSIDE)
        if path not in sys.modules:
            raise UsageError(
                f"it has parts of the module {path}, which is not imported",
                help=f"if you trust that module, import it first: import {path}",
            )
    elif isinstance(document, Mapping | list):
        for value in document.values() if isinstance(document, Mapping) else document:
            _refuse_code(value)


def source_of(file: WeightFile) -> dict[str, Any]:
    """Where a file of ours says that it came from; empty if it says nothing."""
    try:
        source = json.loads(file.metadata.get("source", "{}"))
    except (ValueError, RecursionError):
        return {}
    return source if isinstance(source, dict) else {}


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, spec: ArchSpec, source: Mapping[str, Any]
) -> str:
    """Writes a file of ours and gives its sha256.

    Raises:
        UsageError: Its name does not end in .safetensors.
        StorageError: It cannot be written.
    """
    if path.suffix != ".safetensors":
        raise UsageError(
            f"{path.name} does not end in .safetensors, as our files do", place=str(path)
        )
    metadata = {**header(spec), "source": json.dumps(source, sort_keys=True)}
    return write_safetensors(path, tensors, metadata=metadata)


def header(spec: ArchSpec) -> dict[str, str]:
    """What stands in a file of ours beside the tensors, before their sha256 joins it."""
    text = json.dumps(spec.to_document(), sort_keys=True)
    return {"format": FORMAT, "spec": text, "digest": spec.digest}
