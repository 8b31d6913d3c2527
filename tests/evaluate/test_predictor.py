"""Latencies by stored blocks alone: told where every block is known, kept as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archbench.evaluate.block_table import (
    NEEDED_WHOLES,
    BlockTable,
    Predictor,
    Whole,
    add_to_table,
    keep_stored,
    stored_predictor,
    table_path,
)
from archbench.evaluate.piece import FAMILIES, pieces
from archbench.evaluate.target import Target
from archbench.measure.cold import ColdTime, Multiple
from archbench.measure.device import capture_environment
from archbench.measure.latency.calibration import Calibration
from archbench.measure.latency.reference_networks import CALIBRATORS
from archbench.models.network import as_spec
from archbench.study.measurement import Conditions
from tests.evaluate.toy import SPEC

NAME = CALIBRATORS[0].name
CONSTANTS: dict[str, Any] = {"environment_id": "x", "settings": {}, "constants_ms": {NAME: 2.0}}
TARGET = Target(conditions=Conditions(), environment=capture_environment(), constants=CONSTANTS)
TOY = as_spec(SPEC)
DEEP = as_spec({**SPEC, "stages": [{**SPEC["stages"][0], "depth": 3}]})
WIDE = as_spec({**SPEC, "stages": [{**SPEC["stages"][0], "dim": 32}]})
KEYS = tuple(piece.key for piece in pieces(TOY))


def _table(*, num_wholes: int = NEEDED_WHOLES, scale: float = 1.5) -> BlockTable:
    """Each piece takes 1, and behind an equal one .5; whole networks take so much more."""
    wholes = {
        f"{name} {number}": Whole(
            name=str(number),
            family=name,
            pieces=KEYS,
            time=Multiple(calibrator=NAME, ratio=scale * len(KEYS)),
        )
        for number in range(num_wholes)
        for name in FAMILIES
    }
    times = {key: ColdTime(calibrator=NAME, ratio=1.0, again=0.5) for key in KEYS}
    return BlockTable(pieces=times, wholes=wholes)


def _predictor(table: BlockTable) -> Predictor:
    return Predictor(table, calibration=Calibration(**CONSTANTS))


def test_it_is_the_sum_of_the_pieces_times_the_scale() -> None:
    found = _predictor(_table())
    assert found(TOY) == pytest.approx(1.5 * 2.0 * len(KEYS))
    assert found(DEEP) == pytest.approx(1.5 * 2.0 * (len(KEYS) + 2 * 0.5))


def test_a_piece_that_was_not_timed_leaves_it_untold() -> None:
    found = _predictor(_table())
    assert found(WIDE) is None
    assert found.covered([TOY, WIDE, DEEP, WIDE]) == 0.5
    assert found.mean_error([TOY, WIDE]) == pytest.approx(0.0)


def test_a_family_with_few_whole_networks_is_untold() -> None:
    assert _predictor(_table(num_wholes=NEEDED_WHOLES - 1))(TOY) is None


def test_a_copy_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copy = tmp_path / "blocks.json"
    keep_stored(copy, target=TARGET)
    assert not copy.exists()
    add_to_table(table_path(TARGET), _table(), target=TARGET)
    keep_stored(copy, target=TARGET)
    add_to_table(table_path(TARGET), _table(scale=2.0), target=TARGET)
    then, note = stored_predictor(TARGET, path=copy)
    now, _ = stored_predictor(TARGET)
    assert note == ""
    assert then(TOY) == pytest.approx(1.5 * 2.0 * len(KEYS))
    assert now(TOY) == pytest.approx(2.0 * 2.0 * len(KEYS))


def test_a_damaged_copy_says_so_and_tells_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "blocks.json"
    copy.write_text("{")
    found, note = stored_predictor(TARGET, path=copy)
    assert "could not be read" in note
    assert found(TOY) is None
