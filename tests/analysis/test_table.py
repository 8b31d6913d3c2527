"""The tables have their columns and types with any content, and on the disk, too."""

import math
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from archbench.analysis.study import StudyReader, open_study
from archbench.analysis.tables import COLUMNS, accuracy_standard_error, columns_of, write_tables
from archbench.errors import StorageError
from archbench.study.database import Store
from archbench.study.trial import Failure
from tests.study import example

NAMES = ("trials", "measurements", "curves", "front")
MIXED = [
    example.trial(0, accuracy=0.5, latency_ms=1.0),
    example.trial(1, state="over_limit", latency_ms=9.0, reason="latency_ms 9 > 8"),
    example.trial(2, state="failed", failure=Failure(kind="nan", message="<b>not</b> finite")),
    example.trial(3, accuracy=0.7, latency_ms=2.0, test_accuracy=0.6),
    example.trial(4, state="running"),
]


@pytest.fixture
def study(tmp_path: Path) -> StudyReader:
    with Store.create(tmp_path / "study.db", example.header()) as store:
        for record in MIXED:
            store.add_trial(record)
        store.add_reference("levit_128s", example.latency(3.0), params=7, macs=8)
    return open_study(tmp_path)


def test_columns_and_types_do_not_depend_on_the_content(study: StudyReader, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for found in (study, example.study(tmp_path / "empty", header=example.header())):
        for name, table in found.tables().items():
            types = {c.name: c.kind.replace("floats", "object") for c in columns_of(name)}
            assert {column: str(kind) for column, kind in table.dtypes.items()} == types
            assert list(table.columns) == list(types)


def test_every_column_is_described_once_a_table_and_its_unit_is_that_of_its_name() -> None:
    assert all(column.description and column.tables for column in COLUMNS)
    assert all(column.unit == "ms" for column in COLUMNS if column.name.endswith("_ms"))
    for name in NAMES:
        names = [column.name for column in columns_of(name)]
        assert len(names) == len(set(names)) > 5


def test_what_is_not_known_is_missing_and_never_zero(study: StudyReader) -> None:
    table = study.tables()["trials"].set_index("trial")
    assert math.isnan(table.loc[4, "proxy_accuracy"])
    assert math.isnan(table.loc[2, "latency_ms"])
    assert table["reason"].isna().tolist() == [True, False, True, True, True]
    assert table.loc[2, "failure_message"] == "<b>not</b> finite"
    assert pd.isna(table.loc[0, "failure_kind"])
    assert study.measurements()["reference"].dropna().tolist() == ["levit_128s"]


def test_standard_error_is_binomial_and_adds_the_spread_of_seeds() -> None:
    record = example.trial(0, accuracy=0.6)
    error = accuracy_standard_error(record, num_validation=1536)
    assert error == pytest.approx(math.sqrt(0.6 * 0.4 / 1536))
    assert accuracy_standard_error(example.trial(0), num_validation=1536) is None
    curve = tuple(
        example.point(epoch, accuracy + epoch / 100, seed=seed)
        for seed, accuracy in enumerate((0.5, 0.6))
        for epoch in (4, 8)
    )
    record = example.trial(0, accuracy=0.63, curve=curve)
    variance = 0.63 * 0.37 / 1536 + ((0.1 / math.sqrt(2)) ** 2) / 2
    error = accuracy_standard_error(record, num_validation=1536)
    assert error == pytest.approx(math.sqrt(variance))


def test_written_tables_are_those_in_memory(study: StudyReader, tmp_path: Path) -> None:
    written = write_tables(tmp_path, study.tables())
    files = {*(f"{name}.parquet" for name in NAMES), "front.csv", "trials.csv"}
    assert {path.name for path in written} == files
    for name, table in study.tables().items():
        again = pd.read_parquet(tmp_path / f"{name}.parquet")
        again_lists = (
            again.assign(samples=again["samples"].map(list)) if "samples" in again else again
        )
        pd.testing.assert_frame_equal(again_lists, table)
    front = pd.read_csv(tmp_path / "front.csv", dtype={"digest": "str"})
    assert front["trial"].tolist() == study.front()["trial"].tolist() == [0, 3]
    assert front["latency_ms"].tolist() == [1.0, 2.0]


def test_parquet_says_what_its_columns_are(study: StudyReader, tmp_path: Path) -> None:
    write_tables(tmp_path, study.tables())
    for name in NAMES:
        schema = pq.read_schema(tmp_path / f"{name}.parquet")
        for column in columns_of(name):
            metadata = schema.field(column.name).metadata
            assert metadata[b"unit"].decode() == column.unit
            assert metadata[b"description"].decode() == column.description


def test_study_without_trials_gives_tables_with_all_columns(tmp_path: Path) -> None:
    write_tables(tmp_path, example.study(tmp_path, header=example.header()).tables())
    for name in NAMES:
        table = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert len(table) == 0
        assert list(table.columns) == [column.name for column in columns_of(name)]


def test_folder_that_is_not_there_is_named(study: StudyReader, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the folder for the tables is not there"):
        write_tables(tmp_path / "none", study.tables())
