"""How are weights read from a file that may be hostile, and written whole or not at all?

Nothing that a file holds is ever executed: safetensors cannot ask for it, and pickles are read
by PyTorch's reader of weights alone, which refuses whatever is not a tensor or plain value.
"""

import hashlib
import io
import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor

from archbench.errors import FOREIGN_FAULTS, MissingError, StorageError, WeightsError
from archbench.study.atomic_file import replace_file

MAX_BYTES = 8 * 2**30
WRAPPERS = ("model", "state_dict", "model_state_dict")
_ZIP, _PICKLE, _POINTER = b"PK\x03\x04", b"\x80", b"version https://git-lfs"
_ASKED = re.compile(r"(?:GLOBAL|function|class|instantiate) `?([A-Za-z_][\w.]{2,80})")
_NOT_READ = (
    *(*FOREIGN_FAULTS, EOFError, OSError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error),
)


@dataclass(frozen=True)
class WeightFile:
    """What a file holds: tensors by their names in it, on the CPU.

    They are as safe to compute with as any of ours, though their values may be anything. The
    sha256 and the size, in bytes, are the file's. Metadata is text beside the tensors, empty for a
    pickle, which may keep them under a key, the ``wrapper``.
    """

    path: Path
    sha256: str
    size: int
    kind: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    wrapper: str = ""

    def refused(self, message: str, *, help: str | None = None) -> WeightsError:
        """The error that refuses these weights."""
        return WeightsError(message, place=str(self.path), help=help)


def read_weights(path: Path) -> WeightFile:
    """The tensors of a .safetensors, .pth, .pt or .bin file; its content says which, not its name.

    Raises:
        MissingError: There is no such file.
        WeightsError: It is damaged, no file of weights, or larger than any network here, or it is
            a pickle that would have to run code.
    """
    data = _content(path)
    try:
        kind, tensors, metadata, wrapper = _held(data)
        _check_plain(tensors, limit=len(data))
    except WeightsError as error:
        raise error.at(str(path)) from error
    sha256 = hashlib.sha256(data).hexdigest()
    return WeightFile(path, sha256, len(data), kind, tensors, metadata, wrapper)


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
    """Like ``write_safetensors``, as PyTorch does, under a key where one is given."""
    plain = _apart(tensors)
    buffer = io.BytesIO()
    torch.save({wrapper: plain} if wrapper else plain, buffer)
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


def _held(data: bytes) -> tuple[str, dict[str, Tensor], dict[str, str], str]:
    """Kind, tensors, metadata and wrapper of what a file holds."""
    # A header may be of a length whose first byte begins a pickle, too; so this comes first.
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8:
        return "safetensors", *from_safetensors(data), ""
    if data.startswith((_ZIP, _PICKLE)):
        tensors, wrapper = _from_pickle(data)
        return "pickle", tensors, {}, wrapper
    raise WeightsError(
        "neither a safetensors file nor one of PyTorch",
        help="it is a pointer to the file that git lfs pull fetches"
        if data.startswith(_POINTER)
        else "see what it is: a download may be cut off, or be a page of words",
    )


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


def _from_pickle(data: bytes) -> tuple[dict[str, Tensor], str]:
    try:
        if data.startswith(_ZIP):
            _check_archive(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on how it was written; read or refused, it is plain
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = _ASKED.search(str(error))
        unknown = "it is damaged, or asks for more than tensors"
        raise WeightsError(
            "not read, as reading it could run code: "
            + (f"it asks for {asked[1]}" if asked else unknown),
            help="where you trust its source, write a file of the tensors alone with the program "
            "that made it",
        ) from error
    except _NOT_READ as error:
        raise _damaged("a file of PyTorch", error) from error
    return _unwrapped(content)


def _check_archive(data: bytes) -> None:
    """Refuse an archive that is larger inside than outside."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise zipfile.BadZipFile("its records are compressed, as PyTorch never writes them")
    if sum(entry.file_size for entry in entries) > len(data):
        raise zipfile.BadZipFile("its records are larger than the file")


def _unwrapped(content: Any) -> tuple[dict[str, Tensor], str]:
    wrapper = ""
    if isinstance(content, Mapping) and not _is_state(content):
        keys = [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        wrapper = next((key for key in keys if _is_state(content[key])), "")
        content = content[wrapper] if wrapper else content
    if not isinstance(content, Mapping) or not _is_state(content):
        held = ", ".join(map(repr, list(content)[:6])) if isinstance(content, Mapping) else ""
        raise WeightsError(
            f"holds no weights by name, but {held or type(content).__name__}",
            help=f"they may stand by themselves or under {', '.join(WRAPPERS)}",
        )
    return {name: tensor.detach() for name, tensor in content.items()}, wrapper


def _is_state(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )


def _check_plain(tensors: Mapping[str, Tensor], *, limit: int) -> None:
    """Refuse tensors that are no plain arrays, or that claim to be larger than their file."""
    for name, tensor in tensors.items():
        is_plain = tensor.layout == torch.strided and not tensor.is_quantized
        if not is_plain or tensor.device.type != "cpu" or tensor.is_complex():
            raise WeightsError(f"{name[:120]} is not a plain array of numbers")
        if tensor.numel() * tensor.element_size() > limit:
            raise WeightsError(
                f"{name[:120]} claims {tensor.numel():,} values, more than the file holds"
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
