"""How are weights read from a file that may be hostile, and written whole or not at all?

Nothing that a file holds is ever executed: safetensors cannot ask for it, and of pickles a reader
of our own keeps the tensors and looks nothing up that they name (``pickled``).
"""

import hashlib
import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor

from archbench.errors import (
    FOREIGN_FAULTS,
    ArchbenchError,
    MissingError,
    StorageError,
    WeightsError,
)
from archbench.models.weights.layout import shown
from archbench.models.weights.torch_file import read_torch_file
from archbench.models.weights.weight_set import WeightSet, chosen, weight_sets
from archbench.study.atomic_file import replace_file

MAX_BYTES = 8 * 2**30
_ZIP, _PICKLE, _POINTER = b"PK\x03\x04", b"\x80", b"version https://git-lfs"
_NOT_READ = (*FOREIGN_FAULTS, EOFError, OSError, zipfile.BadZipFile, struct.error)


@dataclass(frozen=True)
class WeightFile:
    """What a file holds: one set of weights, on the CPU, and the sizes of all.

    They are as safe to compute with as any of ours, though their values may be anything. Their
    names are without the prefix of the ``part``, which says where in the file they stand. The
    sha256 and the size, in bytes, are the file's. Metadata is text beside the tensors, empty for a
    pickle. ``sets`` has the ``size`` of every set by its key.
    """

    path: Path
    sha256: str
    size: int
    kind: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    part: WeightSet
    sets: Mapping[str, Mapping[str, int]]

    @cached_property
    def content_sha256(self) -> str:
        """The sha256 of the spec in its header and of the tensors."""
        return content_sha256(self.tensors, self.metadata.get("spec", ""))

    def refused(self, message: str, *, help: str | None = None) -> WeightsError:
        """The error that refuses these weights."""
        return WeightsError(message, place=str(self.path), help=help)


def read_weights(path: Path, *, key: str | None = None) -> WeightFile:
    """The tensors of a .safetensors, .pth, .pt or .bin file; its content says which, not its name.

    A file may have several sets of weights, of which the key names one; ``weight_set.chosen`` says
    which it is by default.

    Raises:
        MissingError: There is no such file.
        WeightsError: It is damaged, no file of weights, or larger than any network here, or
            holds several sets of which none is plainly meant.
        UsageError: It has no such set.
    """
    data = _content(path)
    try:
        with _reading():
            kind, content, metadata, made = _held(data)
            sets = weight_sets(content)
            part = chosen(sets, key)
            _check_plain(part, limit=len(data))
            tensors = {name: made(claim) for name, claim in part.tensors.items()}
    except ArchbenchError as error:
        raise error.at(str(path)) from error
    return WeightFile(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        kind=kind,
        tensors=tensors,
        metadata=metadata,
        part=part,
        sets={one.key: one.size() for one in sets},
    )


def write_safetensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str],
    is_alone: bool = False,
    previous: Path | None = None,
) -> str:
    """Writes tensors that are there whole or not at all, and gives the sha256 of the file.

    The metadata is text beside them. Where there is a ``spec``, the ``sha256`` of it and of the
    tensors joins it, as whoever loads the weights into a network checks it. A file that stands at
    the path is moved to ``previous``, if that is given. What a killed process left half written
    is written over where ``is_alone`` says that no other process writes there.

    Raises:
        StorageError: The file cannot be written; what was there before still is.
    """
    from safetensors.torch import save

    texts = dict(metadata)
    if "spec" in texts:
        texts["sha256"] = content_sha256(tensors, texts["spec"])
    return _write(path, save(_apart(tensors), texts), is_alone=is_alone, previous=previous)


def write_pickle(path: Path, tensors: Mapping[str, Tensor], *, wrapper: str = "") -> str:
    """Like ``write_safetensors``, as PyTorch does, under keys where some are given: ``a.b``."""
    content: dict[str, Any] = _apart(tensors)
    for key in reversed(wrapper.split(".") if wrapper else []):
        content = {key: content}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return _write(path, buffer.getvalue())


def content_sha256(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """The sha256 of a text, then of each tensor's name, type, shape and bytes, sorted by name."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(_plain(tensor).reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise MissingError(
            "there is no such file" if not path.exists() else "this is not a file", place=str(path)
        )
    try:
        size = path.stat().st_size
        if size <= MAX_BYTES:
            return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read: {error.strerror}", place=str(path)) from error
    raise WeightsError(
        f"{size:,} bytes are more than any network here has ({MAX_BYTES:,})", place=str(path)
    )


def _held(data: bytes) -> tuple[str, Any, dict[str, str], Callable[[Any], Tensor]]:
    """Kind, content and metadata of a file, and what makes tensors of those in the content."""
    # A header may be of a length whose first byte begins a pickle, too; so this comes first.
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8:
        return "safetensors", *from_safetensors(data), Tensor.detach
    if data.startswith((_ZIP, _PICKLE)):
        file = read_torch_file(data)
        return "pickle", file.content, {}, file.tensor
    raise WeightsError(
        "neither a safetensors file nor one of PyTorch",
        help="it is a pointer to the file that git lfs pull fetches"
        if data.startswith(_POINTER)
        else "see what it is: a download may be cut off, or be a page of words",
    )


@contextmanager
def _reading() -> Iterator[None]:
    """Says in words that a file of PyTorch is not whole."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on how it was written; read or refused, it is plain
            yield
    except _NOT_READ as error:
        raise _damaged("a file of PyTorch", error) from error


def from_safetensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file of safetensors.

    Raises:
        WeightsError: It is not whole.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, *_NOT_READ) as error:
        raise _damaged("a safetensors file", error) from error
    return tensors, header.get("__metadata__") or {}


def _check_plain(part: WeightSet, *, limit: int) -> None:
    """Refuse tensors that are no plain arrays, or that claim to be larger than their file."""
    odd = [*part.odd, *(name for name, t in part.tensors.items() if t.dtype.is_complex)]
    if odd:
        raise WeightsError(f"{shown(odd[0])} is not a plain array of numbers")
    for name, tensor in part.tensors.items():
        if tensor.numel() * tensor.dtype.itemsize > limit:
            raise WeightsError(
                f"{shown(name)} claims {tensor.numel():,} values, more than the file holds"
            )


def _damaged(what: str, error: Exception) -> WeightsError:
    words = str(error).strip().splitlines()
    reason = f": {words[0][:160]}" if words else ""
    return WeightsError(
        f"not {what} that is whole ({type(error).__name__}{reason})", help="fetch or copy it again"
    )


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that share no memory, as neither format keeps slices of one another apart."""
    return {name: _plain(tensor).clone() for name, tensor in tensors.items()}


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def _write(path: Path, data: bytes, *, is_alone: bool = False, previous: Path | None = None) -> str:
    mark = "" if is_alone else f".{uuid4().hex[:8]}"
    try:
        replace_file(path, data, partial=f".{path.name}{mark}.partial", previous=previous)
    except OSError as error:
        raise StorageError(
            f"cannot write: {error.strerror}", place=str(path), help="free space or rights there"
        ) from error
    return hashlib.sha256(data).hexdigest()
