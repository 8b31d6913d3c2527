"""What would a network take, by the blocks that are stored? Nothing is built or timed.

The sum over a network's pieces, times a scale for its family that is fitted to networks that were
measured whole. A search keeps the table as it was when it began, so that it goes on with the same
predictions after an interruption.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from archbench.cache_folder import cache_folder
from archbench.digest import sha256_of
from archbench.errors import StorageError
from archbench.evaluate.piece import family, pieces
from archbench.evaluate.target import Target
from archbench.measure.latency.calibration import Calibration
from archbench.measure.machine_cache import UNREADABLE, digest_of, settings_of
from archbench.measure.parts import ColdTime, Multiple
from archbench.models import ArchSpec
from archbench.study.atomic_file import write_atomically, writing_alone

SCHEMA = "archbench.block_table/2"
NEEDED_WHOLES = 6
"""Networks of a family that are measured whole before a network of it is predicted."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A network that was measured whole: the keys of its pieces as they run, and what it took."""

    name: str
    family: str
    pieces: tuple[str, ...]
    time: Multiple


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The scale between the sums of a family's pieces and what its networks took whole.

    The errors are those of each network, predicted by the others: predicted / measured - 1.
    """

    scale: float
    errors: tuple[float, ...]

    @property
    def mean_error(self) -> float:
        """The mean size of the errors."""
        return statistics.fmean(map(abs, self.errors))


@dataclass(frozen=True, kw_only=True)
class BlockTable:
    """What is known of one machine under one set of conditions.

    All times are multiples of a calibration network's, so they outlive a renewal of its constant.
    Pieces are known by their keys, whole networks by their digests. The note is what is to be said
    of the file, mostly nothing.
    """

    pieces: Mapping[str, ColdTime] = field(default_factory=dict)
    wholes: Mapping[str, Whole] = field(default_factory=dict)
    note: str = ""

    def joined(self, other: BlockTable) -> BlockTable:
        """Both; where both know something, the other."""
        return BlockTable(
            pieces={**self.pieces, **other.pieces},
            wholes={**self.wholes, **other.wholes},
            note=self.note or other.note,
        )

    def milliseconds(self, keys: Sequence[str], *, calibration: Calibration) -> float:
        """All pieces together; one behind an equal one finds its code at hand."""
        total = 0.0
        for before, key in zip(("", *keys), keys, strict=False):
            time = self.pieces[key]
            ratio = time.again if before == key else time.ratio
            total += ratio * calibration.constants_ms[time.calibrator]
        return total

    def fits(self, calibration: Calibration) -> dict[str, Fit]:
        """A scale for each family that has two whole networks and more, with held-out errors.

        The scale is the geometric mean of measured / sum.
        """
        logs: dict[str, list[float]] = {}
        for whole in self.wholes.values():
            if self.pieces.keys() >= set(whole.pieces):
                total = self.milliseconds(whole.pieces, calibration=calibration)
                whole_ms = whole.time.ratio * calibration.constants_ms[whole.time.calibrator]
                logs.setdefault(whole.family, []).append(math.log(whole_ms / total))
        fits = {}
        for name, found in logs.items():
            if len(found) >= 2:
                left_out = [(sum(found) - entry) / (len(found) - 1) - entry for entry in found]
                errors = tuple(math.expm1(error) for error in left_out)
                fits[name] = Fit(scale=math.exp(statistics.fmean(found)), errors=errors)
        return fits


def table_path(target: Target, *, folder: Path | None = None) -> Path:
    """The file of a machine and conditions, by default in the user's cache folder.

    The resolution does not matter.
    """
    name = f"{target.environment.id}-{digest_of(_identity(target))}.json"
    return (folder or cache_folder() / "blocks") / name


def read_table(path: Path, *, target: Target) -> BlockTable:
    """What the file holds; nothing, with a note, where it is damaged or cannot be read."""
    try:
        if not path.exists():
            return BlockTable()
        document = json.loads(path.read_text())
        content = document["content"]
        if document["sha256"] != sha256_of(content):
            raise ValueError("its checksum does not hold")
        if content["identity"] != _identity(target):
            raise ValueError("it belongs to other conditions")
        return BlockTable(
            pieces={key: ColdTime(**entry) for key, entry in content["pieces"].items()},
            wholes={
                key: Whole(
                    **{**entry, "pieces": tuple(entry["pieces"]), "time": Multiple(**entry["time"])}
                )
                for key, entry in content["wholes"].items()
            },
        )
    except UNREADABLE as error:
        return BlockTable(
            note=f"the block table {path} could not be read ({error}): it is built anew"
        )


def add_to_table(path: Path, news: BlockTable, *, target: Target) -> BlockTable:
    """The table with what was learnt, kept for all; what others added meanwhile stays.

    A file that cannot be written is told of in the note.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing_alone(path):
            table = read_table(path, target=target).joined(news)
            content = {"identity": _identity(target), **asdict(table)}
            del content["note"]
            content = json.loads(json.dumps(content))  # tuples as lists, as they will be read
            document = {"content": content, "sha256": sha256_of(content)}
            write_atomically(path, json.dumps(document, indent=1).encode())
            return table
    except (OSError, StorageError) as error:
        note = f"the block table could not be kept ({error}): the next run times its blocks again"
        return BlockTable(pieces=news.pieces, wholes=news.wholes, note=note)


def _identity(target: Target) -> dict[str, Any]:
    own = {key: str(getattr(target.conditions, key)) for key in ("backend", "precision", "batch")}
    settings = {**settings_of(target.conditions), **own}  # the calibration's may be those of eager
    return {"schema": SCHEMA, "environment": target.environment.id, "settings": settings}


class Predictor:
    """Latencies of networks from the blocks of a table alone, by constants of the same machine."""

    def __init__(self, table: BlockTable, *, calibration: Calibration) -> None:
        self._table, self._calibration = table, calibration
        fits = table.fits(calibration)
        self._fits = {name: fit for name, fit in fits.items() if len(fit.errors) >= NEEDED_WHOLES}

    def __call__(self, spec: ArchSpec) -> float | None:
        """Milliseconds a batch; None where a block or the scale of its family is not known."""
        fit = self._fits.get(family(spec))
        keys = [piece.key for piece in pieces(spec)]
        if fit is None or not self._table.pieces.keys() >= set(keys):
            return None
        return fit.scale * self._table.milliseconds(keys, calibration=self._calibration)

    def covered(self, specs: Sequence[ArchSpec]) -> float:
        """The share of networks that it can tell, 0 to 1."""
        return statistics.fmean(self(spec) is not None for spec in specs)

    def mean_error(self, specs: Sequence[ArchSpec]) -> float:
        """Of networks as these, each whole one predicted by the others; a share."""
        known = [self._fits[name] for spec in specs if (name := family(spec)) in self._fits]
        return statistics.fmean(fit.mean_error for fit in known)


def keep_stored(path: Path, *, target: Target) -> None:
    """Copies the machine's table for the conditions of a target, where there is one.

    Raises:
        StorageError: The copy cannot be written.
    """
    try:
        with suppress(FileNotFoundError):
            shutil.copyfile(table_path(target), path)
    except OSError as error:
        raise StorageError(f"the block table cannot be copied: {error}", place=str(path)) from error


def stored_predictor(target: Target, *, path: Path | None = None) -> tuple[Predictor, str]:
    """What the blocks of a file tell, by the constants of a target; and what is to be said of it.

    The file is by default that of the machine and conditions.
    """
    table = read_table(path or table_path(target), target=target)
    return Predictor(table, calibration=target.calibration), table.note
