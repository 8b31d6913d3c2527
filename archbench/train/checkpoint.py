"""How does a training survive a kill at any moment, and how is a damaged file noticed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from archbench.errors import MissingError, StorageError, WeightsError
from archbench.models.weights.weight_file import content_sha256, from_safetensors, write_safetensors

_FORMAT = "archbench.checkpoint/1"


@dataclass(frozen=True)
class Checkpoint:
    """What a training needs to go on: tensors on the CPU, and JSON-able state beside them.

    Path and sha256 are of the file it was read from; the note is what a person should know about
    how it was found, empty if all was well.
    """

    tensors: Mapping[str, Tensor]
    document: Mapping[str, Any]
    path: Path
    sha256: str
    note: str = ""


def previous_path(path: Path) -> Path:
    """Where the checkpoint before the current one is kept."""
    return path.with_name(f"{path.name}.previous")


def within_path(path: Path) -> Path:
    """Where a checkpoint within an epoch is kept, beside that of the last rung."""
    return path.with_name(f"{path.name}.within")


def remove_checkpoints(path: Path) -> None:
    """Removes all that is kept of a training whose checkpoint is at a path."""
    for file in (path, previous_path(path), within_path(path)):
        file.unlink(missing_ok=True)


def write_checkpoint(
    path: Path,
    *,
    tensors: Mapping[str, Tensor],
    document: Mapping[str, Any],
    keeps_previous: bool = True,
) -> str:
    """The sha256 of a checkpoint that is now durable; the one before is kept beside it, if wanted.

    A kill at any moment leaves the old one, the new one or both, never a torn file under either
    name.

    Raises:
        StorageError: The file cannot be written, for example as the disk is full.
    """
    text = json.dumps(document, sort_keys=True)
    content = {"format": _FORMAT, "document": text, "content_sha256": content_sha256(tensors, text)}
    previous = previous_path(path) if keeps_previous else None
    return write_safetensors(path, tensors, metadata=content, is_alone=True, previous=previous)


def read_checkpoint(path: Path, *, sha256: str | None = None) -> Checkpoint | None:
    """The newest sound checkpoint at a path, or None where there has been none.

    The sha256 is of the checkpoint to go on from, if that is on record. One that was written after
    it and not recorded is passed over for it.

    Raises:
        MissingError: A checkpoint is on record and there is no file.
        StorageError: No sound checkpoint is left, or none is the recorded one.
    """
    files = [file for file in (path, previous_path(path)) if file.exists()]
    if not files:
        if sha256 is None:
            return None
        raise MissingError(
            "the recorded checkpoint is not there", place=str(path), help="train from the start"
        )
    found = other = None
    damage: list[str] = []
    for file in files:
        try:
            found = _read(file)
        except StorageError as error:
            damage.append(str(error))
            continue
        if sha256 in (None, found.sha256):
            break
        other = other or found
    else:
        found = other if damage else None
    if found and damage:
        return replace(found, note=f"{'; '.join(damage)}; going on from {found.path}")
    if found:
        return found
    raise StorageError(
        "; ".join(damage) or "this is not the checkpoint on record: its sha256 differs",
        place=str(path),
        help="put the file back from a copy, or delete it and train from the start",
    )


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str], str]:
    """Tensors, metadata and sha256 of a safetensors file; nothing in it is executed.

    Raises:
        StorageError: The file cannot be read or is not a whole safetensors file.
    """
    try:
        data = path.read_bytes()
        return *from_safetensors(data), hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise StorageError(f"cannot read: {error.strerror}", place=str(path)) from error
    except WeightsError as error:
        raise StorageError("not a whole safetensors file", place=str(path)) from error


def _read(path: Path) -> Checkpoint:
    tensors, metadata, sha256 = read_tensors(path)
    if metadata.get("format") != _FORMAT:
        raise StorageError(f"not a checkpoint of the format {_FORMAT}", place=str(path))
    text = metadata.get("document", "")
    if content_sha256(tensors, text) != metadata.get("content_sha256"):
        raise StorageError("damaged: the content differs from its sha256", place=str(path))
    return Checkpoint(tensors=tensors, document=json.loads(text), path=path, sha256=sha256)
