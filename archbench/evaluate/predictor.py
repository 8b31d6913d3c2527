"""What would a network take, by the blocks that are stored? Nothing is built or timed.

The sum over a network's pieces, times a scale for its family that is fitted to networks that were
measured whole. A search keeps the table as it was when it began, so that it goes on with the same
predictions after an interruption.
"""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from archbench.errors import StorageError
from archbench.evaluate.piece import family, pieces
from archbench.evaluate.table_file import Table, read_table, table_path
from archbench.evaluate.target import Target
from archbench.measure.latency.calibration import Calibration
from archbench.models import ArchSpec

NEEDED_WHOLES = 6
"""Networks of a family that are measured whole before a network of it is predicted."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How the sums of a family relate to what its networks took whole.

    Attributes:
        scale: Of the sum of the pieces.
        errors: Of each network, predicted by the others: predicted / measured - 1.
    """

    scale: float
    errors: tuple[float, ...]

    @property
    def mean_error(self) -> float:
        """The mean size of the errors."""
        return statistics.fmean(map(abs, self.errors))


class Predictor:
    """Latencies of networks from stored blocks alone.

    Args:
        table: Blocks and whole networks of one machine and conditions.
        calibration: Constants of the same, of which the table's times are multiples.
    """

    def __init__(self, table: Table, *, calibration: Calibration) -> None:
        self._table, self._calibration = table, calibration
        found = fitted(table, calibration=calibration)
        self._fits = {name: fit for name, fit in found.items() if len(fit.errors) >= NEEDED_WHOLES}

    def __call__(self, spec: ArchSpec) -> float | None:
        """Milliseconds a batch; None where a block or the scale of its family is not known."""
        fit = self._fits.get(family(spec))
        keys = [piece.key for piece in pieces(spec)]
        if fit is None or not self._table.pieces.keys() >= set(keys):
            return None
        return fit.scale * sum_of_pieces(self._table, keys, calibration=self._calibration)

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
    stored = table_path(target.conditions, environment=target.environment)
    try:
        with suppress(FileNotFoundError):
            shutil.copyfile(stored, path)
    except OSError as error:
        raise StorageError(f"the block table cannot be copied: {error}", place=str(path)) from error


def stored_predictor(target: Target, *, path: Path | None = None) -> tuple[Predictor, str]:
    """What the blocks of a file tell, by the constants of a target; and what is to be said of it.

    Args:
        target: Machine, conditions and constants.
        path: The file; by default that of the machine and conditions.
    """
    path = path or table_path(target.conditions, environment=target.environment)
    table = read_table(path, conditions=target.conditions, environment=target.environment)
    return Predictor(table, calibration=Calibration(**target.constants)), table.note


def fitted(table: Table, *, calibration: Calibration) -> dict[str, Fit]:
    """A scale for each family that has two whole networks and more, with its held-out errors.

    The scale is the geometric mean of measured / sum.
    """
    logs: dict[str, list[float]] = {}
    for whole in table.wholes.values():
        if all(key in table.pieces for key in whole.pieces):
            total = sum_of_pieces(table, whole.pieces, calibration=calibration)
            ratio = whole.time.milliseconds(calibration) / total
            logs.setdefault(whole.family, []).append(math.log(ratio))
    return {name: _fit(found) for name, found in logs.items() if len(found) >= 2}


def sum_of_pieces(table: Table, keys: Sequence[str], *, calibration: Calibration) -> float:
    """Milliseconds of all pieces together; one behind an equal one finds its code at hand."""
    total = 0.0
    for before, key in zip(("", *keys), keys, strict=False):
        time = table.pieces[key]
        is_again = before == key
        total += (time.milliseconds_again if is_again else time.milliseconds)(calibration)
    return total


def _fit(logs: Sequence[float]) -> Fit:
    total = sum(logs)
    left_out = [(total - entry) / (len(logs) - 1) - entry for entry in logs]
    return Fit(
        scale=math.exp(total / len(logs)), errors=tuple(math.expm1(error) for error in left_out)
    )
