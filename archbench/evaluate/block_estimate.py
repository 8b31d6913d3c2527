"""How long would a network take, told from its spec by the pieces that others were made of?

A piece is timed once for a machine and conditions, alone, deployed and with cold caches, and kept:
as it runs behind other work, and as it runs behind an equal piece. The sum over a network, times a
scale for its family that is fitted to networks that were measured whole, is an estimate. It
serves for shortlisting only; what is reported is measured.
"""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.evaluate.block_table import (
    NEEDED_WHOLES,
    BlockTable,
    Fit,
    Whole,
    add_to_table,
    read_table,
    table_path,
)
from archbench.evaluate.piece import Family, Piece, family, pieces
from archbench.evaluate.target import Target, calibrated
from archbench.measure.agreement import prepared
from archbench.measure.backend import dtype_of
from archbench.measure.device.link import asked_again
from archbench.measure.latency.clock import Forward
from archbench.measure.machine import torch_threads
from archbench.measure.parts import ColdTime, Multiple, cold_times, evictor
from archbench.models import ArchSpec, count, deploy, fold
from archbench.models.network import Written, as_spec
from archbench.models.part import Grid
from archbench.progress import Progress, no_progress
from archbench.study.measurement import Conditions

SCHEMA = "archbench.estimate/1"
_TOGETHER = 64
_PIECE_BUDGET_S = 0.03
_WHOLE_BUDGET_S = 1.0
_REFERENCE_SIDES = (128, 144, 160, 176, 192, 224)
_REFERENCES: Mapping[Family, tuple[str, ...]] = {
    "convolution": ("resnet_50",),
    "levit": ("levit_128s", "levit_128", "levit_192", "levit_256"),
    "cvt": ("cvt_13", "deit_tiny"),
    "mixed": ("graft_2_6", "graft_3_3"),
}


def estimate_all(
    networks: Sequence[Written],
    conditions: Conditions | None = None,
    *,
    alike: Sequence[Written] = (),
    folder: Path | None = None,
    on_progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """The latency of networks from the block table; what the table lacks is timed and kept.

    A family of which fewer than six networks were measured whole gets them measured first, small
    and large ones in turn with one another: networks that are alike where there are as many, else
    some of those asked for where they are many more, else published ones.

    Networks that are ``alike`` are those that resemble them, as random candidates of the same space
    do: better to be fitted to than published ones. Each gives an entry of a JSON document of the
    schema ``archbench.estimate/1``: between ``low`` and ``high`` lay two of three networks of the
    family that were left out of the fit, ``error_percent`` is the mean error on them,
    ``num_blocks_new`` how many pieces had to be timed for this network, and ``note`` what is to be
    said of the table, mostly nothing.

    Raises:
        SpecError: One is illegal.
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    specs, others = ([as_spec(written) for written in some] for some in (networks, alike))
    target = calibrated(conditions or Conditions(), on_progress=on_progress)
    stock = _Stock(target, path=table_path(target, folder=folder), on_progress=on_progress)
    stock.add_pieces(specs)
    stock.add_wholes(specs, alike=others)
    fits = stock.table.fits(target.calibration)
    return [stock.estimate(spec, fit=fits[family(spec)]) for spec in specs]


def references(name: Family) -> list[ArchSpec]:
    """What a family's scale is fitted to by default: published networks at six resolutions."""
    specs = itertools.cycle(map(as_spec, _REFERENCES[name]))
    sides = (Grid(side, side) for side in _REFERENCE_SIDES)
    return [replace(spec, resolution=side) for side, spec in zip(sides, specs, strict=False)]


class _Stock:
    """The table of a target, to which pieces and whole networks are added as they are timed."""

    def __init__(self, target: Target, *, path: Path, on_progress: Progress | None) -> None:
        self._target, self._path = target, path
        self._tell = on_progress or no_progress
        self.table = read_table(path, target=target)
        self._known = set(self.table.pieces)

    def add_pieces(self, specs: Sequence[ArchSpec]) -> None:
        """Adds every piece of the specs; new ones are timed, some together."""
        needed = {piece.key: piece for spec in specs for piece in pieces(spec)}
        missing = [piece for key, piece in needed.items() if key not in self.table.pieces]
        for start in range(0, len(missing), _TOGETHER):
            self._tell("timing blocks, blocks", start, len(missing))
            asked = missing[start : start + _TOGETHER]
            found = asked_again(partial(self._timed, asked), on_progress=self._tell)
            self._add(BlockTable(pieces=found))

    def _timed(self, asked: Sequence[Piece]) -> dict[str, ColdTime]:
        """The times of pieces by their keys; another device opens them while it measures."""
        conditions, is_remote = self._target.conditions, self._target.conditions.is_remote
        with ExitStack() as stack:
            bench = self._target.bench(on_progress=self._tell)
            made = stack.enter_context(bench) if is_remote else None
            with torch_threads(conditions.threads):
                ready = {piece.key: cold_piece(piece, conditions) for piece in asked}
            return cold_times(ready, bench=made or stack.enter_context(bench))

    def add_wholes(self, specs: Sequence[ArchSpec], *, alike: Sequence[ArchSpec]) -> None:
        """Adds as many whole networks of each family of the specs as a fit needs."""
        asked, others = _by_family(specs), _by_family(alike)
        for name, found in asked.items():
            known = {d for d, whole in self.table.wholes.items() if whole.family == name}
            lacking = NEEDED_WHOLES - len(known)
            if lacking <= 0:
                continue
            away = {**dict.fromkeys(known), **dict.fromkeys(found)}
            fresh = [spec for digest, spec in others.get(name, {}).items() if digest not in away]
            if len(fresh) < lacking:
                fresh = [spec for digest, spec in found.items() if digest not in known]
                if len(fresh) < 2 * lacking:
                    fresh = [spec for spec in references(name) if spec.digest not in known]
            fresh.sort(key=lambda spec: count(spec).macs)
            self._measure(_spread(fresh, lacking))

    def estimate(self, spec: ArchSpec, *, fit: Fit) -> dict[str, Any]:
        """What the table and the fit of its family tell of a network."""
        keys = _keys(spec)
        ms = fit.scale * self.table.milliseconds(keys, calibration=self._target.calibration)
        spread = math.sqrt(statistics.fmean(math.log1p(error) ** 2 for error in fit.errors))
        height, width = spec.resolution
        conditions = replace(self._target.conditions, resolution=(height, width))
        return {
            "name": spec.name or spec.digest,
            "digest": spec.digest,
            "ms": ms,
            "low": ms * math.exp(-spread),
            "high": ms * math.exp(spread),
            "error_percent": 100 * fit.mean_error,
            "family": family(spec),
            "num_wholes": len(fit.errors),
            "num_blocks_new": len(set(keys) - self._known),
            "conditions": asdict(conditions),
            "note": self.table.note,
            "spec": spec.to_document(),
        }

    def _measure(self, specs: Sequence[ArchSpec]) -> None:
        """Adds these networks, measured whole in turn with one another, and their pieces."""
        self.add_pieces(specs)
        self._tell(f"measuring {len(specs)} networks whole", 0, len(specs))
        found = self._target.measure_together(
            {spec.digest: spec for spec in specs}, budget_s=_WHOLE_BUDGET_S
        )
        wholes = {}
        for spec in specs:
            value, details = found[spec.digest].value, found[spec.digest].details
            if value is not None:
                calibrator = str(details["calibrator"])
                ratio = value / self._target.calibration.constants_ms[calibrator]
                wholes[spec.digest] = Whole(
                    name=spec.name or spec.digest,
                    family=family(spec),
                    pieces=_keys(spec),
                    time=Multiple(calibrator=calibrator, ratio=ratio),
                )
        self._add(BlockTable(wholes=wholes))

    def _add(self, news: BlockTable) -> None:
        self.table = self.table.joined(add_to_table(self._path, news, target=self._target))


class _Chilled(nn.Module):
    """A piece that finds the caches cold, so that its layers choose their form as in a network."""

    def __init__(self, piece: nn.Module, device: str) -> None:
        super().__init__()
        self.piece = piece
        self.evict = evictor(device)

    def forward(self, x: Tensor) -> Tensor:
        self.evict()
        x.sum()  # in a network the piece before has just written it
        y: Tensor = self.piece(x)
        return y


def cold_piece(piece: Piece, conditions: Conditions) -> tuple[Forward, Tensor]:
    """A piece in the form that would be deployed, ready to be timed."""
    kind = dtype_of(conditions.precision, place="precision")
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(conditions.batch, *piece.shape, generator=generator)
    example = example.to(conditions.processor, kind)
    if len(piece.shape) == 3 and piece.place != "stages[0].embed":
        example = example.contiguous(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = fold(piece.build())
    if conditions.backend == "eager":
        chilled = _Chilled(network.to(conditions.device, kind), conditions.device)
        made = deploy(chilled, example, budget_s=_PIECE_BUDGET_S).network
        assert isinstance(made, _Chilled)
        network = made.piece
    return prepared(network, example, conditions=conditions).run, example


def _keys(spec: ArchSpec) -> tuple[str, ...]:
    return tuple(piece.key for piece in pieces(spec))


def _by_family(specs: Sequence[ArchSpec]) -> dict[Family, dict[str, ArchSpec]]:
    """Family to digest to network."""
    found: dict[Family, dict[str, ArchSpec]] = {}
    for spec in specs:
        found.setdefault(family(spec), {})[spec.digest] = spec
    return found


def _spread(specs: Sequence[ArchSpec], number: int) -> list[ArchSpec]:
    """So many of them at even steps, the first and the last among them."""
    if len(specs) <= number:
        return list(specs)
    if number == 1:
        return [specs[len(specs) // 2]]
    return [specs[round(i * (len(specs) - 1) / (number - 1))] for i in range(number)]
