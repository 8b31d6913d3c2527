"""How do weights go from one layout to another, and what is in a file of them?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from archbench.errors import UsageError
from archbench.models.catalogue import published
from archbench.models.network import Written, as_spec, build
from archbench.models.part import Grid
from archbench.models.spec import ArchSpec
from archbench.models.weights.layout import FileForm, form_of, layout_for, layouts, table
from archbench.models.weights.load import OURS, Loaded, own_spec, read_into, save_tensors, source_of
from archbench.models.weights.translation import recognise, same_size, skeleton, their_tensors
from archbench.models.weights.weight_file import (
    WeightFile,
    read_weights,
    write_pickle,
    write_safetensors,
)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What a conversion read, and what it wrote: the network, whose names, the file, its sha256."""

    loaded: Loaded
    spec: ArchSpec
    layout: str
    path: Path
    sha256: str


def convert_weights(
    source: str | Path,
    target: str | Path,
    *,
    model: Written | None = None,
    to: str = OURS,
    layout: str | None = None,
    resolution: int | tuple[int, int] | None = None,
    classes: int | None = None,
    origin: str = "",
) -> Converted:
    """Reads a file of weights and writes them under other names; there and back changes no bit.

    Args:
        source: What to read.
        target: What to write: .safetensors, or PyTorch's .pth, .pt, .bin where it is not ours.
        model: The network; by default that of a file of ours, else the published one with as many
            parameters.
        to: Whose names: ``archbench``, ``official``, ``timm``, ``transformers``, ...
        layout: Whose names the source has; seen from the names by default.
        resolution: Height and width, or a side, to interpolate to.
        classes: Drop the classifiers for fresh ones of so many classes.
        origin: Where the source was fetched, to be kept in a file of ours.

    Raises:
        ArchbenchError: As ``load_weights`` and ``save_weights`` do.
    """
    file = read_weights(Path(source))
    spec = as_spec(model) if model is not None else _spec_of(file, asked=layout)
    sides = (resolution, resolution) if isinstance(resolution, int) else resolution
    spec = replace(
        spec,
        resolution=Grid(*sides) if sides else spec.resolution,
        num_classes=classes or spec.num_classes,
    )
    tensors, loaded, form = read_into(
        file,
        asked=layout,
        spec=spec,
        interpolate=resolution is not None,
        new_head=classes is not None,
    )
    if loaded.fresh:
        tensors = {**build(spec, seed=0).state_dict(), **tensors}
    wanted = layout_for(to, spec)
    path = Path(target)
    if wanted == OURS:
        came: dict[str, Any] = {"file": file.path.name, "url": origin, "sha256": file.sha256}
        came |= {"layout": loaded.layout, "form": asdict(form)}
        sha256 = save_tensors(path, tensors, spec=spec, source=loaded.source or came)
    else:
        held = layouts()[wanted]
        form = FileForm(wrapper=held.wrapper, offsets=held.keeps_offsets)
        if loaded.source.get("layout") == wanted:
            form = form_of(loaded.source.get("form"))
        theirs = their_tensors(tensors, name=wanted, form=form, spec=spec)
        sha256 = _write_theirs(path, theirs, wrapper=form.wrapper)
    return Converted(loaded=loaded, spec=spec, layout=wanted, path=path, sha256=sha256)


def describe_weights(path: str | Path) -> dict[str, Any]:
    """What a file holds, JSON-able: layout, spec, tensors, sums; a damaged one is refused.

    Raises:
        ArchbenchError: As ``load_weights`` does, but for what does not fit.
    """
    file = read_weights(Path(path))
    name, form = recognise(file, asked=None, spec=None)
    spec = own_spec(file) if name == OURS else None
    return {
        "file": str(file.path),
        "bytes": file.size,
        "sha256": file.sha256,
        "kind": file.kind,
        "layout": name,
        "title": layouts()[name].title,
        "form": asdict(form),
        "verified": name == OURS and "sha256" in file.metadata,
        "network": spec.name if spec else None,
        "spec": spec.to_document() if spec else None,
        "same_size": same_size(file),
        "source": source_of(file),
        "tensors": {
            key: {"shape": list(tensor.shape), "type": str(tensor.dtype).removeprefix("torch.")}
            for key, tensor in sorted(file.tensors.items())
        },
    }


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


def _write_theirs(path: Path, tensors: Mapping[str, Tensor], *, wrapper: str) -> str:
    if path.suffix == ".safetensors":
        return write_safetensors(path, tensors, metadata={"format": "pt"})
    if path.suffix in (".pth", ".pt", ".bin"):
        return write_pickle(path, tensors, wrapper=wrapper)
    raise UsageError(
        f"{path.name} ends neither in .safetensors nor in .pth, .pt or .bin", place=str(path)
    )
