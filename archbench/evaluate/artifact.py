"""How is an exported network run: by which runtime or library, and what does its card say of it?"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archbench.data.picture import Preparation
from archbench.errors import MissingError, StorageError, UsageError
from archbench.evaluate.classifier import Classifier
from archbench.evaluate.foreign import noise
from archbench.evaluate.library import load_module, load_timm, load_transformers
from archbench.exactness import tensors_of
from archbench.measure.backend import BACKENDS, Runnable, quiet, require_backend
from archbench.measure.machine_cache import UNREADABLE
from archbench.models.part import Grid
from archbench.study.measurement import Conditions

SCHEMA = "archbench.card/1"
CARD = "card.json"
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


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card of a folder of exported networks; None where there is none.

    Raises:
        StorageError: It cannot be read.
    """
    path = folder / CARD
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise ValueError(f"its schema is {found['schema']!r}, not {SCHEMA!r}")
        Preparation.from_document(found["preparation"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UNREADABLE as error:
        raise StorageError(
            f"the card cannot be read: {error}", place=str(path), help="export into another folder"
        ) from error
    return found


def is_artifact(path: Path) -> bool:
    """Whether a file or folder lies where ``archbench export`` puts one, beneath its card."""
    homes = (path, path.parent, path.parent.parent)
    return path.exists() and any((home / CARD).is_file() for home in homes)


def from_artifact(path: Path) -> Classifier:
    """What classifies with an exported network: its file or folder, or the folder of its card.

    Raises:
        MissingError: Its runtime or library is not there.
        UsageError: It is none of those that the card names, or the card names several.
        StorageError: The card cannot be read.
    """
    homes = [home for home in (path, path.parent, path.parent.parent) if (home / CARD).is_file()]
    if not homes:
        raise MissingError(f"there is no {CARD} beside it", place=str(path))
    card = read_card(homes[0])
    assert card is not None
    entries = [one for one in card["artifacts"] if _holds(homes[0] / one["folder"], path)]
    if path == homes[0] and len(card["artifacts"]) == 1:
        entries = card["artifacts"]
    if len(entries) != 1:
        known = ", ".join(str(homes[0] / one["folder"]) for one in card["artifacts"])
        raise UsageError("it is none of the card's networks", place=str(path), help=f"name {known}")
    entry, preparation = entries[0], Preparation.from_document(card["preparation"])
    folder, batch = homes[0] / entry["folder"], entry["batch"]
    if entry["library"]:
        run, batch = _LOADERS[entry["library"]](folder), None
    else:
        asked = Conditions(**{**entry["conditions"], "resolution": (preparation.resolution,) * 2})
        require_backend(asked)
        example = noise(Grid(*asked.resolution), batch=asked.batch)
        file = folder / entry["files"][0]
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
