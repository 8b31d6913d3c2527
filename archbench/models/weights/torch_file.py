"""What is in a file of PyTorch: an archive as it is written now, or pickles in a row as before?"""

import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import torch
from torch import Tensor

from archbench.errors import WeightsError
from archbench.models.weights.pickled import TensorClaim, read_pickle

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""The first pickle of a file as PyTorch wrote them before 1.6; four more follow."""
_PROGRAMS = {
    "constants.pkl": "a TorchScript program, not weights",
    "archive_format": "a program of torch.export, not weights",
    "serialized_exported_program.json": "a program of torch.export, not weights",
}


@dataclass(frozen=True)
class TorchFile:
    """What a file holds, and the bytes of its storages, which are read when they are asked for."""

    content: Any
    storage_bytes: Callable[[str], memoryview]
    is_big_endian: bool = False
    _raw: dict[tuple[str, torch.dtype], Tensor] = field(default_factory=dict)

    def tensor(self, claim: TensorClaim) -> Tensor:
        """The tensor that was claimed; those of one storage share its memory.

        Raises:
            ValueError, LookupError, RuntimeError, BadZipFile: Its storage is not there or damaged.
        """
        key = (claim.storage.key, claim.dtype if self.is_big_endian else torch.uint8)
        if key not in self._raw:
            data = bytearray(self.storage_bytes(claim.storage.key))
            raw = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0).byte()
            if self.is_big_endian and claim.dtype.itemsize > 1:
                raw.untyped_storage().byteswap(claim.dtype)
            self._raw[key] = raw
        return claim.made(self._raw[key])


def read_torch_file(data: bytes) -> TorchFile:
    """The content of a file of PyTorch; nothing in it is executed.

    Raises:
        WeightsError: It is an archive of something else.
        ValueError, LookupError, TypeError, OSError, BadZipFile, struct.error: It is damaged.
    """
    return _archive(data) if data.startswith(b"PK") else _pickles(data)


def _archive(data: bytes) -> TorchFile:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    _check_records(entries, size=len(data))
    roots = [name.removesuffix("data.pkl") for name in entries if _last(name) == "data.pkl"]
    root = min(roots, key=len)
    order = entries.get(f"{root}byteorder")
    return TorchFile(
        read_pickle(BytesIO(_record(data, entries[f"{root}data.pkl"]))).content,
        lambda key: _record(data, entries[f"{root}data/{key}"]),
        is_big_endian=order is not None and bytes(_record(data, order)) == b"big",
    )


def _check_records(entries: Mapping[str, zipfile.ZipInfo], *, size: int) -> None:
    """Refuse an archive of something else, and one that is larger inside than outside."""
    names = {_last(name): name for name in entries}
    for record, what in _PROGRAMS.items():
        if record in names:
            raise WeightsError(
                what, help="save the state_dict() of the network that it was made of"
            )
    if "data.pkl" not in names:
        first = ", ".join(repr(name[:60]) for name in list(entries)[:3])
        raise WeightsError(
            f"a zip archive, but none of PyTorch: it holds {first or 'nothing'}",
            help="unpack it, if the weights are one of its files",
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise zipfile.BadZipFile("its records are compressed, as PyTorch never writes them")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise zipfile.BadZipFile("its records are larger than the file")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _record(data: bytes, entry: zipfile.ZipInfo) -> memoryview:
    """The bytes of a record, compared with its checksum, which is zero where none was taken."""
    at = entry.header_offset
    name, extra = struct.unpack_from("<HH", data, at + 26)
    start = at + 30 + name + extra
    found = memoryview(data)[start : start + entry.file_size]
    if data[at : at + 4] != b"PK\x03\x04" or len(found) != entry.file_size:
        raise zipfile.BadZipFile("a record is not where it should be")
    if entry.CRC and zlib.crc32(found) != entry.CRC:
        raise zipfile.BadZipFile(f"{entry.filename[:80]} is not what its checksum says")
    return found


def _pickles(data: bytes) -> TorchFile:
    file = BytesIO(data)
    if read_pickle(file).content != MAGIC_NUMBER:
        raise WeightsError(
            "a pickle of Python, but no file of PyTorch",
            help="load it with the program that made it and write it with torch.save",
        )
    read_pickle(file)  # the version
    read_pickle(file)  # the sizes of numbers on that machine
    pickled = read_pickle(file)
    places: dict[str, memoryview] = {}
    for key in read_pickle(file).content:
        (number,) = struct.unpack("<q", file.read(8))
        size = number * pickled.storages[key].dtype.itemsize
        start = file.tell()
        if not 0 <= size <= len(data) - start:
            raise ValueError("it ends within a storage")
        places[key] = memoryview(data)[start : start + size]
        file.seek(size, 1)
    return TorchFile(pickled.content, places.__getitem__)
