"""Optuna's tools show our front at every moment, whatever has become of their tables."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.storages._rdb.models import BaseModel
from optuna.trial import FrozenTrial, TrialState, create_trial
from optuna.visualization._pareto_front import _get_pareto_front_info

from archbench.analysis.front import FrontRule
from archbench.analysis.front_probability import front_probabilities
from archbench.errors import StorageError
from archbench.search.optuna_view import Ledger
from archbench.study.connection import read
from archbench.study.trial import TrialRecord
from tests.search.jobs import dashboard
from tests.study import example

_HEADER = {**example.header(limits={"latency_ms": 9.0}), "name": "mine"}
_RULE = FrontRule.of(_HEADER, place="test")
_RECORDED = Path(__file__).parents[2] / "results/quickstart-recorded/study.db"
_RESULTS = {  # number to accuracy and latency
    0: (0.5, 4.0),
    1: (0.4, 2.0),
    2: (0.45, 3.0),
    3: (0.11, 0.5),  # cheapest, and no better than chance
    4: (0.3, 5.0),
}


def _drawn(number: int) -> FrozenTrial:
    return create_trial(
        state=TrialState.WAITING,
        params={"dim": number, "norm": "batch"},
        distributions={
            "dim": IntDistribution(0, 100),
            "norm": CategoricalDistribution(["batch", "layer"]),
        },
        system_attrs={"_Nsga2:generation": 4},
    )


def _begin(study: Ledger, number: int) -> None:
    record = example.trial(number, state="running", seconds=0.0)
    study.begin(record, drawn=_drawn(number))


def _complete(study: Ledger, number: int) -> TrialRecord:
    accuracy, latency_ms = _RESULTS[number]
    _begin(study, number)
    study.add_measurement(number, "search", example.latency(latency_ms))
    study.add_point(number, example.point(4, accuracy))
    return study.finish(number, state="complete", proxy_accuracy=accuracy, seconds=1.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "study.db"
    with Ledger.create(path, _HEADER) as study:
        for number in _RESULTS:
            _complete(study, number)
        _begin(study, 5)
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A study of five complete trials and one that runs."""
    return Path(shutil.copy(whole, tmp_path))


def _load(path: Path, *, name: str = "mine") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{path}")


def _change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def _fronts(path: Path) -> Iterator[list[int]]:
    """The front as each of Optuna's tools has it, by number."""
    study = _load(path)
    yield [trial.number for trial in study.best_trials]
    found = _get_pareto_front_info(study).best_trials_with_values
    yield [trial.number for trial, _ in found]
    summaries = dashboard(path, "studies")["study_summaries"]
    (identity,) = [one["study_id"] for one in summaries if one["study_name"] == "mine"]
    detail = dashboard(path, f"studies/{identity}")
    yield sorted(trial["number"] for trial in detail["best_trials"])
    yield [trial.number for trial in study.trials if trial.user_attrs["on_front"]]


def _assert_right(path: Path, *, front: list[int]) -> None:
    assert sorted(record.number for record in _RULE.front(read(path).trials)) == front
    for shown in _fronts(path):
        assert shown == front


def _view(path: Path) -> tuple[Any, ...]:
    """All that Optuna tells of our study, but for the names that its tables give to trials."""
    study = _load(path)
    trials = [{**vars(trial), "_trial_id": None} for trial in study.trials]
    return study.directions, study.metric_names, trials


def test_optuna_shows_the_front_of_archbench_at_every_moment(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    fronts = [[0], [0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2]]
    with Ledger.create(path, _HEADER) as study:
        for number, front in enumerate(fronts):
            _complete(study, number)
            _assert_right(path, front=front)
        study.add_measurement(0, "confirm", example.latency(9.5))  # over the limit
        _assert_right(path, front=[1, 2])
        study.add_measurement(1, "confirm", example.latency(3.5))  # behind the other
        _assert_right(path, front=[2])
        study.add_point(4, example.point(4, 0.9, seed=1))
        _assert_right(path, front=[2, 4])
        states = [trial.state.name for trial in _load(path).trials]
    assert states == ["PRUNED", "COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    _assert_right(path, front=[2, 4])
    shown = _load(path).trials[4]
    assert shown.values == [0.6, 5.0]
    assert _load(path).trials[0].user_attrs["latency_ms"] == 9.5


def test_optunas_command_line_lists_the_front(path: Path) -> None:
    code = "import sys; from optuna.cli import main; sys.exit(main())"
    command = [sys.executable, "-W", "ignore", "-c", code, "best-trials", "--study-name", "mine"]
    command += ["--storage", f"sqlite:///{path}", "-f", "json"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [trial["number"] for trial in json.loads(told.stdout)] == [0, 1, 2]


def test_front_probabilities_are_shown_as_they_were_found_last(path: Path) -> None:
    with Ledger.open(path) as study:
        found = front_probabilities(list(study.trials.values()), rule=_RULE).on_front
        study.show_probabilities(found)
        writes = study.num_changes
        study.show_probabilities(found)
        assert study.num_changes == writes
    for _ in range(2):
        told = {t.number: t.user_attrs.get("front_probability") for t in _load(path).trials}
        assert {number: chance for number, chance in told.items() if chance is not None} == found
        Ledger.open(path).close()


def test_what_is_right_is_not_written_again(path: Path) -> None:
    def identities() -> list[Any]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT * FROM trial_params").fetchall()

    before = identities()
    Ledger.open(path).close()
    assert identities() == before


def _columns() -> list[tuple[str, str]]:
    """Every column of every table of Optuna's, as SQLite tells them."""
    tables = [*(table.name for table in BaseModel.metadata.sorted_tables), "alembic_version"]
    uri = f"{_RECORDED.as_uri()}?immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        return [
            (table, row[1])
            for table in tables
            for row in connection.execute(f"PRAGMA table_info({table})")
        ]


_BESIDE = (
    "INSERT INTO study_user_attributes (study_id, key, value_json) VALUES (1, 'mine', '7')",
    "INSERT INTO study_system_attributes (study_id, key, value_json) "
    "VALUES (1, 'dashboard:2:note_str:0', '\"look here\"'), "
    "(1, 'dashboard:2:note_ver', '1')",
    "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, "
    "intermediate_value_type) VALUES (1, 0, 7, 'FINITE')",
    "INSERT INTO trial_heartbeats (trial_id, heartbeat) VALUES (1, '2026-01-01 00:00:00.000000')",
)


@pytest.mark.parametrize(("table", "column"), _columns())
def test_a_change_of_any_column_of_optunas_is_mended(path: Path, table: str, column: str) -> None:
    before = _view(path)
    _change(path, *_BESIDE)
    statement = f"UPDATE OR IGNORE {table} SET {column} = "
    each = "CASE rowid % 5 WHEN 0 THEN NULL WHEN 1 THEN 'damaged' WHEN 2 THEN 7 "
    with suppress(sqlite3.IntegrityError):  # what a name of a row may not be
        _change(path, statement + each + "WHEN 3 THEN X'ff' ELSE CAST(X'ff' AS TEXT) END")
    with suppress(sqlite3.IntegrityError):
        _change(path, statement + "-7 WHERE rowid % 2 = 0")
    assert len(read(path).trials) == 6
    with Ledger.open(path) as study:
        assert study.next_number == 6
    assert _view(path) == before
    _assert_right(path, front=[0, 1, 2])


def test_these_are_all_the_columns_that_optuna_has(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'archbench%'"
        found = {
            (table, row[1])
            for (table,) in connection.execute(query).fetchall()
            for row in connection.execute(f"PRAGMA table_info({table})")
        }
    assert found == set(_columns())


@pytest.mark.parametrize(
    "change",
    [
        *(f"DELETE FROM {table}" for table in dict(_columns())),
        *(f"DROP TABLE {table}" for table in dict(_columns())),
        *(
            f"ALTER TABLE {table} RENAME COLUMN {column} TO other"
            for table, column in [("trials", "number"), ("studies", "study_name")]
        ),
        "DELETE FROM trials WHERE number = 2",
        "UPDATE trials SET trial_id = 90 - trial_id",
        "UPDATE trials SET trial_id = 9223372036854775807 WHERE number = 5",
        "INSERT INTO trials (number, study_id, state) VALUES (2, 1, 'COMPLETE')",
        "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (1, 'new', '7')",
        "UPDATE trial_user_attributes SET value_json = 'true' WHERE key = 'on_front'",
        "UPDATE study_directions SET direction = 'MAXIMIZE'",
    ],
)
def test_what_is_gone_or_too_much_in_optunas_tables_is_mended(path: Path, change: str) -> None:
    before = _view(path)
    _change(path, change)
    assert len(read(path).trials) == 6
    with Ledger.open(path) as study:
        study.finish(5, state="failed", seconds=1.0)
        assert study.next_number == 6
    view = _view(path)
    assert view[:2] == before[:2]
    assert view[2][:5] == before[2][:5]
    _assert_right(path, front=[0, 1, 2])


def test_a_study_deleted_in_a_dashboard_comes_back_at_the_next_write(path: Path) -> None:
    storage = f"sqlite:///{path}"
    before = _view(path)
    optuna.delete_study(study_name="mine", storage=storage)
    Ledger.open(path).close()
    assert _view(path) == before
    with Ledger.open(path) as study:
        optuna.delete_study(study_name="mine", storage=storage)
        study.finish(5, state="failed", seconds=1.0)
        _assert_right(path, front=[0, 1, 2])


def test_studies_of_others_in_the_same_tables_are_left_alone(path: Path) -> None:
    storage = f"sqlite:///{path}"
    theirs = optuna.create_study(study_name="theirs", storage=storage, direction="minimize")
    theirs.set_user_attr("why", "to compare")
    with Ledger.open(path) as study:
        for number in (6, 7):
            theirs.add_trial(create_trial(value=float(number), user_attrs={"mine": number}))
            _begin(study, number)
    optuna.delete_study(study_name="mine", storage=storage)
    _change(path, "DELETE FROM study_system_attributes")
    Ledger.open(path).close()
    _assert_right(path, front=[0, 1, 2])
    assert [trial.number for trial in _load(path).trials] == list(range(8))
    found = _load(path, name="theirs")
    assert found.user_attrs == {"why": "to compare"}
    assert [(trial.value, trial.user_attrs) for trial in found.trials] == [
        (6.0, {"mine": 6}),
        (7.0, {"mine": 7}),
    ]
    _change(path, "UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    with pytest.raises(StorageError, match=r"version v3\.0\.0\.d, not .* 1 studies beside this"):
        Ledger.open(path)


def test_notes_of_a_dashboard_stay_with_their_trial(path: Path) -> None:
    _change(path, *_BESIDE, "UPDATE trial_values SET value = 0.1")
    Ledger.open(path).close()
    study = _load(path)
    assert study.user_attrs == {"mine": 7}
    assert dashboard(path, "studies/1")["trials"][1]["note"]["body"] == "look here"
    assert study.trials[1]._trial_id == 2


def test_times_are_those_of_the_clock_on_the_wall(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(path) as study:
        started = datetime.fromisoformat(study.notes[0]["started"])
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        Ledger.open(path).close()
        assert _load(path).trials[0].datetime_start == started
    finally:
        monkeypatch.undo()
        time.tzset()
