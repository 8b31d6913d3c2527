"""How is an exported network run: by which runtime or library, and what does its card say of it?"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archbench.data.image_preparation import Preparation
from archbench.errors import ArchbenchError, MissingError, UsageError
from archbench.evaluate.card import CARD, parsed, read_card
from archbench.evaluate.classifier import Classifier
from archbench.evaluate.foreign import noise
from archbench.evaluate.library import load_module, load_timm, load_transformers
from archbench.exactness import tensors_of
from archbench.measure.backend import BACKENDS, Runnable, absence, quiet, require_backend
from archbench.models.part import Grid
from archbench.registry import guest
from archbench.study.measurement import Conditions

RUNTIMES: Mapping[str, str] = {
    "aotinductor": "aotinductor",
    "executorch": "executorch",
    "exported": "exported",
    "litert": "litert",
    "ncnn": "ncnn",
    "onnx": "onnxruntime",
    "openvino": "openvino",
}
"""Formats that a runtime runs, with the backend that writes and opens them."""
LIBRARIES = ("hf", "python", "timm")
"""Formats that a library of PyTorch loads."""
_LOADERS: Mapping[str, Callable[[Path], Callable[[Tensor], Tensor]]] = {
    "timm": load_timm,
    "torch": load_module,
    "transformers": load_transformers,
}


def is_artifact(path: Path) -> bool:
    """Whether a path is where ``archbench export`` puts a network, or ends as a file of a runtime.

    The former lie beneath their card.
    """
    return path.exists() and bool(_homes(path) or path.suffix in _suffixes())


def from_artifact(path: Path) -> Classifier:
    """What classifies with an exported network: its file or folder, or the folder of its card.

    A file that says what it is may lie anywhere.

    Raises:
        MissingError: Its runtime or library is not there, or neither it nor a card says what it is.
        UsageError: It is damaged, or none of those that the card names, or these are several.
        StorageError: The card cannot be read.
    """
    if card := _inscribed(path):
        (entry,), file = card["artifacts"], path
    else:
        card, entry, file = _beside(path)
    preparation = Preparation.from_document(card["preparation"])
    if entry["library"]:
        run, batch = _LOADERS[entry["library"]](file.parent), None
    else:
        asked = Conditions(**{**entry["conditions"], "resolution": (preparation.resolution,) * 2})
        require_backend(asked)
        example = noise(Grid(*asked.resolution), batch=asked.batch)
        with quiet():
            opened = BACKENDS.load(asked.backend).open_artifact(file, example, conditions=asked)
        run, batch = pass_of(opened, file, conditions=asked), asked.batch
    return Classifier(
        name=card["name"],
        file=path,
        form=entry["format"],
        preparation=preparation,
        run=run,
        batch=batch,
    )


def _inscribed(path: Path) -> dict[str, Any] | None:
    """The card inside a file; None where there is none, or the format has no place for it."""
    name = _suffixes().get(path.suffix)
    if name is None or not path.is_file() or not hasattr(BACKENDS.load(name), "read_metadata"):
        return None
    if missing := absence(name, device="cpu"):
        raise missing.at(str(path))
    with quiet(), guest(place=str(path), passes=(ArchbenchError, OSError)):
        text = BACKENDS.load(name).read_metadata(path)
    return parsed(text, place=path) if text else None


def _beside(path: Path) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """The card above a file or folder, what it says of it, and the file to be opened."""
    home = next(iter(_homes(path)), path)
    card = read_card(home)
    if card is None:
        raise MissingError(
            f"it does not say how pictures are prepared, and there is no {CARD} beside it",
            place=str(path),
            help="name what archbench export wrote",
        )
    entries = [one for one in card["artifacts"] if _holds(home / one["folder"], path)]
    if path == home and len(card["artifacts"]) == 1:
        entries = card["artifacts"]
    if len(entries) != 1:
        known = ", ".join(str(home / one["folder"]) for one in card["artifacts"])
        raise UsageError("it is none of the card's networks", place=str(path), help=f"name {known}")
    return card, entries[0], home / entries[0]["folder"] / entries[0]["files"][0]


def _homes(path: Path) -> list[Path]:
    """Where a card lies: the path itself, or a folder above it."""
    return [one for one in (path, path.parent, path.parent.parent) if (one / CARD).is_file()]


def _suffixes() -> dict[str, str]:
    """The backend of files that end so; PyTorch's two formats have one ending, and are read alike.

    The last one is the one that needs no compiler.
    """
    return {BACKENDS.load(name).SUFFIX: name for name in sorted(RUNTIMES.values())}


def pass_of(opened: Runnable, file: Path, *, conditions: Conditions) -> Callable[[Tensor], Tensor]:
    """What classifies as many images (B, 3, R, R) as the network of a file was opened for.

    A backend that does not say where it reads images opens the file again for every pass.
    """

    def run(images: Tensor) -> Tensor:
        ready = opened
        if opened.images is not None:
            opened.images.copy_(images)
        else:
            with quiet():
                backend = BACKENDS.load(conditions.backend)
                ready = backend.open_artifact(file, images.contiguous(), conditions=conditions)
        with torch.inference_mode():
            return tensors_of(ready.run())[0].detach().float().cpu().clone()

    return run


def _holds(folder: Path, path: Path) -> bool:
    return path in (folder, *folder.glob("*"))
