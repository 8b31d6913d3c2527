"""How does a training survive a kill at any moment, and how is a damaged file noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archbench.errors import MissingError, StorageError
from archbench.study.atomic_file import replace_file

_FORMAT = "archbench.checkpoint/1"


@dataclass(frozen=True)
class Checkpoint:
    """What a training needs to go on: tensors on the CPU, and JSON-able state beside them.

    Attributes:
        path: The file it was read from.
        sha256: Of that file.
        note: What a person should know about how it was found; empty if all was well.
    """

    tensors: Mapping[str, Tensor]
    document: Mapping[str, Any]
    path: Path
    sha256: str
    note: str = ""


def previous_path(path: Path) -> Path:
    """Where the checkpoint before the current one is kept."""
    return path.with_name(f"{path.name}.previous")


def write_checkpoint(
    path: Path, *, tensors: Mapping[str, Tensor], document: Mapping[str, Any]
) -> str:
    """The sha256 of a checkpoint that is now durable; the one before is kept beside it.

    A kill at any moment leaves the old one, the new one or both, never a torn file under either
    name.

    Raises:
        StorageError: The file cannot be written, for example as the disk is full.
    """
    text = json.dumps(document, sort_keys=True)
    content = {"format": _FORMAT, "document": text, "content_sha256": content_sha256(tensors, text)}
    return write_tensors(path, tensors, metadata=content, previous=previous_path(path))


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


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str],
    previous: Path | None = None,
) -> str:
    """Writes a safetensors file that is there whole or not at all, and gives its sha256.

    The metadata is text beside them. Where there is a ``spec``, the ``sha256`` of it and of the
    tensors joins it, as whoever loads the weights into a network checks it. A file that stands at
    the path is moved to ``previous``, if that is given.

    Raises:
        StorageError: The file cannot be written.
    """
    from safetensors.torch import save

    texts = dict(metadata)
    if "spec" in texts:
        texts["sha256"] = content_sha256(tensors, texts["spec"])
    data = save({name: _plain(tensor) for name, tensor in tensors.items()}, texts)
    try:
        replace_file(path, data, partial=f".{path.name}.partial", previous=previous)
    except OSError as error:
        raise StorageError(
            f"cannot write: {error.strerror}", place=str(path), help="free space or rights there"
        ) from error
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str], str]:
    """Tensors, metadata and sha256 of a safetensors file; nothing in it is executed.

    Raises:
        StorageError: The file cannot be read or is not a whole safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = path.read_bytes()
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except OSError as error:
        raise StorageError(f"cannot read: {error.strerror}", place=str(path)) from error
    except (SafetensorError, ValueError) as error:
        raise StorageError("not a whole safetensors file", place=str(path)) from error
    return tensors, header.get("__metadata__", {}), hashlib.sha256(data).hexdigest()


def content_sha256(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """The sha256 of names, types, shapes and values, in whatever order they come, and of a text."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(_plain(tensor).reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> Checkpoint:
    tensors, metadata, sha256 = read_tensors(path)
    if metadata.get("format") != _FORMAT:
        raise StorageError(f"not a checkpoint of the format {_FORMAT}", place=str(path))
    text = metadata.get("document", "")
    if content_sha256(tensors, text) != metadata.get("content_sha256"):
        raise StorageError("damaged: the content differs from its sha256", place=str(path))
    return Checkpoint(tensors=tensors, document=json.loads(text), path=path, sha256=sha256)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
