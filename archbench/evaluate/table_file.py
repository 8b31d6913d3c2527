"""Where is a block table kept: one file for each machine and conditions, in the cache folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from archbench.errors import StorageError
from archbench.measure.cold import ColdTime, Multiple
from archbench.measure.machine_cache import cache_folder, settings_of
from archbench.study.environment import Environment
from archbench.study.file import write_atomically, writing_alone
from archbench.study.measurement import Conditions

SCHEMA = "archbench.block_table/2"


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A network that was measured whole, to be compared with the sum of its pieces.

    Attributes:
        name: What it is called.
        family: Its kind of work.
        pieces: Keys of its pieces in the order they run.
        time: What it took.
    """

    name: str
    family: str
    pieces: tuple[str, ...]
    time: Multiple


@dataclass(frozen=True, kw_only=True)
class Table:
    """What is known of one machine under one set of conditions.

    All times are multiples of a calibration network's, so they outlive a renewal of its constant.

    Attributes:
        pieces: Key to time.
        wholes: Digest to network.
        note: What is to be said of the file; mostly empty.
    """

    pieces: Mapping[str, ColdTime] = field(default_factory=dict)
    wholes: Mapping[str, Whole] = field(default_factory=dict)
    note: str = ""

    def joined(self, other: Table) -> Table:
        """Both; where both know something, the other."""
        return Table(
            pieces={**self.pieces, **other.pieces},
            wholes={**self.wholes, **other.wholes},
            note=self.note or other.note,
        )


def table_path(
    conditions: Conditions, *, environment: Environment, folder: Path | None = None
) -> Path:
    """The file of a machine and conditions; the resolution does not matter.

    Args:
        conditions: Device, backend, precision, threads and batch.
        environment: The machine and software.
        folder: Where tables lie, the user's cache folder by default.
    """
    text = json.dumps(_identity(conditions, environment), sort_keys=True)
    name = f"{environment.id}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    return (folder or cache_folder("blocks")) / name


def read_table(path: Path, *, conditions: Conditions, environment: Environment) -> Table:
    """What the file holds; nothing, with a note, where it is damaged or cannot be read."""
    try:
        if not path.exists():
            return Table()
        document = json.loads(path.read_text())
        content = document["content"]
        if document["sha256"] != _checksum(content):
            raise ValueError("its checksum does not hold")
        if content["identity"] != _identity(conditions, environment):
            raise ValueError("it belongs to other conditions")
        return Table(
            pieces={key: _cold(entry) for key, entry in content["pieces"].items()},
            wholes={key: _whole(entry) for key, entry in content["wholes"].items()},
        )
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        return Table(note=f"the block table {path} could not be read ({error}): it is built anew")


def add_to_table(
    path: Path, news: Table, *, conditions: Conditions, environment: Environment
) -> Table:
    """The table with what was learnt, kept for all; what others added meanwhile stays.

    A file that cannot be written is told of in the note.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_alone(path):
            table = read_table(path, conditions=conditions, environment=environment).joined(news)
            content = {
                "identity": _identity(conditions, environment),
                "pieces": {key: asdict(entry) for key, entry in table.pieces.items()},
                "wholes": {key: asdict(entry) for key, entry in table.wholes.items()},
            }
            content = json.loads(json.dumps(content))  # tuples as lists, as they will be read
            document = {"content": content, "sha256": _checksum(content)}
            write_atomically(path, json.dumps(document, indent=1).encode())
            return table
    except (OSError, StorageError) as error:
        note = f"the block table could not be kept ({error}): the next run times its blocks again"
        return Table(pieces=news.pieces, wholes=news.wholes, note=note)


def _identity(conditions: Conditions, environment: Environment) -> dict[str, Any]:
    own = {key: str(getattr(conditions, key)) for key in ("backend", "precision", "batch")}
    settings = {**settings_of(conditions), **own}  # the calibration's may be those of eager
    return {"schema": SCHEMA, "environment": environment.id, "settings": settings}


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _time(entry: Mapping[str, Any]) -> Multiple:
    return Multiple(calibrator=str(entry["calibrator"]), ratio=float(entry["ratio"]))


def _cold(entry: Mapping[str, Any]) -> ColdTime:
    return ColdTime(**asdict(_time(entry)), again=float(entry["again"]))


def _whole(entry: Mapping[str, Any]) -> Whole:
    return Whole(
        name=str(entry["name"]),
        family=str(entry["family"]),
        pieces=tuple(entry["pieces"]),
        time=_time(entry["time"]),
    )
