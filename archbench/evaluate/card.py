"""What does a card say of an exported network: beside its files, and inside those that can hold it?

A card is a JSON document. The card inside a file is that of the folder with this network alone.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archbench.data.image_preparation import Preparation
from archbench.errors import StorageError, UsageError
from archbench.evaluate.classifier import TrainedNetwork
from archbench.measure.machine import capture_environment
from archbench.measure.machine_cache import UNREADABLE
from archbench.models import count
from archbench.study.atomic_file import make_folder

SCHEMA = "archbench.card/1"
CARD = "card.json"
_OF_THE_FOLDER = ("folder", "files", "bytes")


def begun(folder: Path, model: TrainedNetwork) -> dict[str, Any]:
    """The card of the folder, which is made; with the artifacts of these weights that lie there.

    Raises:
        UsageError: The folder holds another network.
        StorageError: It cannot be made, or its card not be read.
    """
    make_folder(folder)
    kept, content = read_card(folder), model.content()
    if kept is not None and kept["weights"]["content"] != content:
        raise UsageError(
            f"the folder holds the network {kept['name']} with other weights",
            place=str(folder),
            help="name another folder with --out",
        )
    spec, work = model.spec, count(model.spec)
    return {
        "schema": SCHEMA,
        "name": model.name,
        "digest": spec.digest,
        "spec": spec.to_document(),
        "num_classes": spec.num_classes,
        "params": work.params,
        "macs": work.macs,
        "stages": [
            f"{stage.embed.kind} to {stage.grid} x {stage.dim} channels"
            + (f", {number} {stage.blocks[0].kind} block" if (number := len(stage.blocks)) else "")
            + ("s" if number > 1 else "")
            for stage in spec.resolved().stages
        ],
        "weights": {"content": content, **model.origin},
        "preparation": model.preparation.document(),
        "environment": capture_environment().document(),
        "accuracy": None,
        "artifacts": kept["artifacts"] if kept else [],
        "failed": kept["failed"] if kept else [],
    }


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card of a folder of exported networks; None where there is none.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(error, place=folder / CARD) from error
    return parsed(text, place=folder / CARD)


def parsed(text: str, *, place: Path) -> dict[str, Any]:
    """The card that stands in a text.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        found: dict[str, Any] = json.loads(text)
        if found["schema"] != SCHEMA:
            raise ValueError(f"its schema is {found['schema']!r}, not {SCHEMA!r}")
        Preparation.from_document(found["preparation"])
    except UNREADABLE as error:
        raise _unreadable(error, place=place) from error
    return found


def inscription(card: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """The card as it stands inside a file: of this network alone, wherever the file lies."""
    alone = {key: value for key, value in entry.items() if key not in _OF_THE_FOLDER}
    return json.dumps({**card, "artifacts": [alone], "failed": []}, allow_nan=False)


def _unreadable(error: Exception, *, place: Path) -> StorageError:
    return StorageError(
        f"the card cannot be read: {error}", place=str(place), help="export into another folder"
    )
