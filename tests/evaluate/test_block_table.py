"""The block table: kept whole, fitted with held-out errors, filled only with what it lacks."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.evaluate.block_estimate import estimate_all, references
from archbench.evaluate.block_table import (
    NEEDED_WHOLES,
    BlockTable,
    Predictor,
    Whole,
    add_to_table,
    keep_stored,
    read_table,
    stored_predictor,
    table_path,
)
from archbench.evaluate.piece import FAMILIES, Family, family, pieces
from archbench.evaluate.target import Target
from archbench.measure.latency.reference_networks import CALIBRATORS
from archbench.measure.machine import capture_environment
from archbench.measure.parts import ColdTime, Multiple
from archbench.models.network import as_spec
from archbench.study.measurement import Conditions
from tests.evaluate.toy import SPEC

NAME = CALIBRATORS[0].name
TARGET = Target(
    conditions=Conditions(),
    environment=capture_environment(),
    constants={"environment_id": "x", "settings": {}, "constants_ms": {NAME: 2.0}},
)
CONSTANTS = TARGET.calibration


def time(ratio: float) -> Multiple:
    return Multiple(calibrator=NAME, ratio=ratio)


def cold(ratio: float, *, again: float | None = None) -> ColdTime:
    return ColdTime(calibrator=NAME, ratio=ratio, again=ratio if again is None else again)


def table(*ratios: float) -> BlockTable:
    """Networks of two equal pieces of 1, which took so much."""
    wholes = {
        str(i): Whole(name=f"n{i}", family="levit", pieces=("p", "p"), time=time(ratio))
        for i, ratio in enumerate(ratios)
    }
    return BlockTable(pieces={"p": cold(1.0)}, wholes=wholes)


def test_other_conditions_have_another_file() -> None:
    paths = {
        table_path(replace(TARGET, conditions=conditions))
        for conditions in (
            Conditions(),
            Conditions(batch=4),
            Conditions(threads=2),
            Conditions(backend="openvino"),
            Conditions(precision="bf16"),
        )
    }
    assert len(paths) == 5


@pytest.mark.parametrize("damage", ["cut", "changed", "other"])
def test_table_is_kept_or_built_anew_with_a_note(tmp_path: Path, damage: str) -> None:
    path = table_path(TARGET, folder=tmp_path)
    assert read_table(path, target=TARGET) == BlockTable()
    add_to_table(path, table(2.0), target=TARGET)
    assert read_table(path, target=TARGET) == table(2.0)
    text = path.read_text()
    if damage == "cut":
        path.write_text(text[: len(text) // 2])
    elif damage == "changed":
        path.write_text(text.replace('"ratio": 1.0', '"ratio": 1.5'))
    else:
        path.write_text(json.dumps([1, 2]))
    found = read_table(path, target=TARGET)
    assert not found.pieces
    assert "built anew" in found.note
    assert add_to_table(path, table(3.0), target=TARGET).wholes["0"].time == time(3.0)
    assert read_table(path, target=TARGET) == table(3.0)


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    path = table_path(TARGET, folder=tmp_path)

    def add(number: int) -> None:
        add_to_table(path, BlockTable(pieces={str(number): cold(number + 1.0)}), target=TARGET)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    assert set(read_table(path, target=TARGET).pieces) == {str(i) for i in range(24)}


def test_table_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    found = add_to_table(table_path(TARGET, folder=blocked), table(2.0), target=TARGET)
    assert found.wholes == table(2.0).wholes
    assert "could not be kept" in found.note


def test_scale_is_the_geometric_mean_and_errors_are_of_networks_left_out() -> None:
    fit = table(1.0, 4.0).fits(CONSTANTS)["levit"]
    assert fit.scale == pytest.approx(1.0)  # of 1/2 and 2
    assert fit.errors == pytest.approx((3.0, -0.75))  # 4 times too much, a quarter
    assert fit.mean_error == pytest.approx(1.875)
    assert table(1.0).fits(CONSTANTS) == {}


def test_a_piece_behind_an_equal_one_finds_its_code_at_hand() -> None:
    def scale(*keys: str) -> float:
        wholes = {
            str(i): Whole(name=str(i), family="cvt", pieces=keys, time=time(1.0)) for i in range(2)
        }
        known = {"p": cold(1.0, again=0.5), "q": cold(1.0, again=0.5)}
        table = BlockTable(pieces=known, wholes=wholes)
        return table.fits(CONSTANTS)["cvt"].scale

    assert scale("p", "p", "p") == pytest.approx(1 / 2)
    assert scale("p", "q", "p") == pytest.approx(1 / 3)
    assert scale("p", "p", "q") == pytest.approx(1 / 2.5)


def test_networks_that_are_alike_are_fitted_to_instead_of_those_asked_for(tmp_path: Path) -> None:
    asked, *alike = [
        {**SPEC, "stages": [{**SPEC["stages"][0], "dim": 16, "depth": depth}]}
        for depth in range(2, 3 + NEEDED_WHOLES)
    ]
    (found,) = estimate_all([asked], alike=alike, folder=tmp_path)
    assert (found["family"], found["num_wholes"]) == ("levit", NEEDED_WHOLES)
    (path,) = tmp_path.glob("*.json")
    wholes = json.loads(path.read_text())["content"]["wholes"]
    assert found["digest"] not in wholes


def test_networks_whose_pieces_are_lost_are_left_out() -> None:
    known = table(1.0, 4.0, 2.0)
    lost = Whole(name="lost", family="levit", pieces=("gone",), time=time(1.0))
    both = BlockTable(pieces=known.pieces, wholes={**known.wholes, "l": lost})
    assert len(both.fits(CONSTANTS)["levit"].errors) == 3


def test_predictions_fill_the_table_once(tmp_path: Path) -> None:
    documents = [
        {**SPEC, "stages": [{**SPEC["stages"][0], "dim": dim, "depth": depth}]}
        for dim in (16, 32)
        for depth in range(2, 8)
    ]
    first = estimate_all(documents, folder=tmp_path)
    again = estimate_all(documents, folder=tmp_path)
    assert [entry["num_blocks_new"] for entry in first] == [3] * 12
    assert [entry["num_blocks_new"] for entry in again] == [0] * 12
    assert [entry["ms"] for entry in first] == [entry["ms"] for entry in again]
    for entry in first:
        assert entry["family"] == "levit"
        assert entry["num_wholes"] == NEEDED_WHOLES
        assert 0 < entry["low"] <= entry["ms"] <= entry["high"]
        assert math.isfinite(entry["error_percent"])
    (path,) = tmp_path.glob("*.json")
    content = json.loads(path.read_text())["content"]
    assert (len(content["pieces"]), len(content["wholes"])) == (6, NEEDED_WHOLES)


@pytest.mark.parametrize("kind", FAMILIES)
def test_references_of_a_family_belong_to_it(kind: Family) -> None:
    found = references(kind)
    assert len({spec.digest for spec in found}) >= NEEDED_WHOLES
    assert {family(spec) for spec in found} == {kind}


TOY = as_spec(SPEC)
DEEP = as_spec({**SPEC, "stages": [{**SPEC["stages"][0], "depth": 3}]})
WIDE = as_spec({**SPEC, "stages": [{**SPEC["stages"][0], "dim": 32}]})
KEYS = tuple(piece.key for piece in pieces(TOY))


def of_toy(*, num_wholes: int = NEEDED_WHOLES, scale: float = 1.5) -> BlockTable:
    """Each piece takes 1, and behind an equal one .5; whole networks take so much more."""
    wholes = {
        f"{name} {number}": Whole(
            name=str(number), family=name, pieces=KEYS, time=time(scale * len(KEYS))
        )
        for number in range(num_wholes)
        for name in FAMILIES
    }
    times = {key: cold(1.0, again=0.5) for key in KEYS}
    return BlockTable(pieces=times, wholes=wholes)


def test_it_is_the_sum_of_the_pieces_times_the_scale() -> None:
    found = Predictor(of_toy(), calibration=CONSTANTS)
    assert found(TOY) == pytest.approx(1.5 * 2.0 * len(KEYS))
    assert found(DEEP) == pytest.approx(1.5 * 2.0 * (len(KEYS) + 2 * 0.5))


def test_a_piece_not_timed_or_few_whole_networks_leave_it_untold() -> None:
    assert Predictor(of_toy(num_wholes=NEEDED_WHOLES - 1), calibration=CONSTANTS)(TOY) is None
    found = Predictor(of_toy(), calibration=CONSTANTS)
    assert found(WIDE) is None
    assert found.covered([TOY, WIDE, DEEP, WIDE]) == 0.5
    assert found.mean_error([TOY, WIDE]) == pytest.approx(0.0)


def test_a_copy_stays_as_it_was_or_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copy = tmp_path / "blocks.json"
    keep_stored(copy, target=TARGET)
    assert not copy.exists()
    add_to_table(table_path(TARGET), of_toy(), target=TARGET)
    keep_stored(copy, target=TARGET)
    add_to_table(table_path(TARGET), of_toy(scale=2.0), target=TARGET)
    then, note = stored_predictor(TARGET, path=copy)
    now, _ = stored_predictor(TARGET)
    assert note == ""
    assert then(TOY) == pytest.approx(1.5 * 2.0 * len(KEYS))
    assert now(TOY) == pytest.approx(2.0 * 2.0 * len(KEYS))
    copy.write_text("{")
    damaged, note = stored_predictor(TARGET, path=copy)
    assert "could not be read" in note
    assert damaged(TOY) is None
