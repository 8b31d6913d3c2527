"""Our tables and Optuna's say the same, whenever the owner dies."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from archbench.analysis.study_header import chance_in_words
from archbench.errors import StorageError
from archbench.search.optuna_view import Ledger
from archbench.search.suggestion import BY_CHANCE
from archbench.study.connection import read
from archbench.study.objective import costs
from archbench.study.trial import Failure, TrialRecord
from tests.search.jobs import dashboard
from tests.study import example
from tests.study.example import latency

_HEADER = {
    "name": "mine",
    "objectives": {"proxy_accuracy": "max", "latency_ms": "min"},
    "limits": {},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "strange ?%#name" / "study.db"
    path.parent.mkdir()
    Ledger.create(path, _HEADER).close()
    return path


def _record(number: int) -> TrialRecord:
    return example.trial(number, state="running", seconds=0.0)


def _drawn(number: int) -> FrozenTrial:
    return create_trial(
        state=TrialState.WAITING,
        params={"dim": number},
        distributions={"dim": IntDistribution(0, 100)},
        system_attrs={"_Nsga2:generation": 4},
    )


def _complete(study: Ledger, number: int) -> TrialRecord:
    study.begin(_record(number), drawn=_drawn(number))
    study.add_measurement(number, "search", latency(4.0))
    return study.finish(number, state="complete", proxy_accuracy=0.5, seconds=1.0)


def test_sampler_knows_what_was_counted_of_a_trial(path: Path) -> None:
    with Ledger.open(path) as study:
        record = _complete(study, 0)
        counted = dict(zip(costs("arithmetic"), study.knowledge(record)["arithmetic"], strict=True))
    assert counted == {"macs": record.macs, "params": record.params, "activations": 5000}


def _storage(path: Path) -> optuna.storages.RDBStorage:
    """Of a path that a URL could not hold."""

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, check_same_thread=False)

    return optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": connect})


def _load(path: Path, *, name: str = "mine") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=_storage(path))


@pytest.mark.parametrize(
    "changes",
    [{"distributions": {"dim": "x"}}, {"params": {}}, {"params": {"dim": []}}, {"started": "soon"}],
)
def test_notes_that_no_sampler_makes_are_refused(path: Path, changes: dict[str, Any]) -> None:
    with Ledger.open(path) as study:
        _complete(study, 0)
        notes = json.dumps({**study.notes[0], **changes})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE archbench_note SET notes = ?", (notes,))
        example.recount(connection)
    with pytest.raises(StorageError, match="what a sampler noted of trial 0 cannot be used"):
        Ledger.open(path)


def test_optuna_and_its_dashboard_open_the_database_of_a_running_study(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Ledger.create(path, _HEADER) as study:
        _complete(study, 0)
        study.begin(_record(1), drawn=_drawn(1))
        study.finish(1, state="over_limit", reason="too long", seconds=0.1)
        study.begin(_record(2), drawn=_drawn(2))
        study.finish(2, state="failed", failure=Failure(kind="nan", message="nan"), seconds=0.1)
        study.begin(_record(3), drawn=_drawn(3))
        loaded = _load(path)
        (summary,) = dashboard(path, "studies")["study_summaries"]
    states = [trial.state.name for trial in loaded.trials]
    assert states == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert [trial.values for trial in loaded.best_trials] == [[0.5, 4.0]]
    assert loaded.metric_names == ["proxy_accuracy", "latency_ms"]
    assert loaded.trials[0].user_attrs == {
        "digest": f"{0:016x}",
        "state": "complete",
        "proxy_accuracy": 0.5,
        "latency_ms": 4.0,
        "macs": 100_000,
        "params": 1000,
    }
    assert loaded.trials[0].params == {"dim": 0}
    assert summary["study_name"] == "mine"
    assert summary["directions"] == ["maximize", "minimize"]


def test_a_confirmed_latency_counts(path: Path) -> None:
    with Ledger.open(path) as study:
        _complete(study, 0)
        study.add_measurement(0, "confirm", latency(5.0))
        study.add_measurement(0, "confirm", latency(None, verdict="incomplete"))
        told = study.trials[0].latency
        assert [trial.values for trial in _load(path).trials] == [[0.5, 5.0]]
    with Ledger.open(path) as again:
        assert again.trials[0].latency == told == latency(5.0)


def _dies(*arguments: Any, **options: Any) -> None:
    raise KeyboardInterrupt


def test_death_between_our_row_and_optunas_is_mended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(path) as study:
        monkeypatch.setattr(study, "_show", _dies)
        with pytest.raises(KeyboardInterrupt):
            study.begin(_record(0), drawn=_drawn(0))
    assert _load(path).trials == []
    with Ledger.open(path) as again:
        assert again.running == [_record(0)]
        assert again.next_number == 1
    assert [trial.state for trial in _load(path).trials] == [TrialState.RUNNING]


def test_death_between_our_end_and_optunas_is_mended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(path) as study:
        study.begin(_record(0), drawn=_drawn(0))
        study.add_measurement(0, "search", latency(4.0))
        monkeypatch.setattr(study, "_show", _dies)
        with pytest.raises(KeyboardInterrupt):
            study.finish(0, state="complete", proxy_accuracy=0.5, seconds=1.0)
    with Ledger.open(path) as again:
        (trial,) = again.frozen_trials()
        assert trial.state == TrialState.COMPLETE
        assert trial.values == [0.5, 4.0]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE trials SET state = 'FAIL'",
        "UPDATE trial_values SET value = 0.9",
        "UPDATE trial_params SET param_value = 7.0",
        "DELETE FROM trial_params",
        "DELETE FROM trial_system_attributes",
        "DELETE FROM trials WHERE number = 0",
        "INSERT INTO trials (number, study_id, state) VALUES (2, 1, 'COMPLETE')",
        "UPDATE study_directions SET direction = 'MAXIMIZE'",
        "DELETE FROM studies",
        "DROP TABLE trial_values",
    ],
)
def test_optunas_tables_are_made_again_from_ours_however_they_differ(
    path: Path, change: str
) -> None:
    with Ledger.open(path) as study:
        _complete(study, 0)
        study.begin(_record(1), drawn=_drawn(1))
        before = study.frozen_trials()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    with Ledger.open(path) as again:
        assert again.frozen_trials() == before
    loaded = _load(path)
    assert [direction.name for direction in loaded.directions] == ["MAXIMIZE", "MINIMIZE"]
    for found, told in zip(loaded.trials, before, strict=True):
        for what in ("number", "state", "values", "params", "distributions", "system_attrs"):
            assert getattr(found, what) == getattr(told, what)


def test_study_that_was_deleted_in_the_dashboard_goes_on(path: Path) -> None:
    with Ledger.open(path) as study:
        _complete(study, 0)
    optuna.delete_study(study_name="mine", storage=_storage(path))
    with Ledger.open(path) as again:
        assert _complete(again, 1).state == "complete"
    assert [trial.values for trial in _load(path).trials] == [[0.5, 4.0], [0.5, 4.0]]


def test_a_study_that_does_not_say_how_trials_were_drawn_is_only_read(path: Path) -> None:
    """Archbench 0.1 kept it in Optuna's tables."""
    with Ledger.open(path) as study:
        _complete(study, 0)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE archbench_note")
        connection.execute("DROP TABLE archbench_count")
        connection.execute("UPDATE archbench_header SET value = 1 WHERE key = 'schema'")
        connection.commit()
    with pytest.raises(StorageError, match=r"how the trials \[0\] were drawn") as refused:
        Ledger.open(path)
    assert "archbench search SPACE --from" in str(refused.value.help)
    assert len(read(path).trials) == 1


def test_a_full_disk_is_said_and_nothing_is_torn(path: Path) -> None:
    with Ledger.open(path) as study:
        _complete(study, 0)
        pages = study._connection.execute("PRAGMA page_count").fetchone()[0]
        study._connection.execute(f"PRAGMA max_page_count = {pages}")  # as on a full disk
        with pytest.raises(StorageError, match="full"):
            [_complete(study, number) for number in range(1, 200)]
        reached = len(study.trials)
    with Ledger.open(path) as again:
        ended = [r.number for r in again.trials.values() if r.state == "complete"]
        assert ended == list(range(len(ended)))
        assert reached - 1 <= len(ended) <= reached
        assert _complete(again, again.next_number).state == "complete"


def test_what_the_sampler_left_to_chance_is_counted(path: Path) -> None:
    with Ledger.open(path) as study:
        for number, axes in enumerate([None, ["depth"], ["dim", "depth"]]):
            drawn = create_trial(
                state=TrialState.WAITING,
                params={"dim": 1, "depth": 2},
                distributions={"dim": IntDistribution(0, 9), "depth": IntDistribution(0, 9)},
                system_attrs={} if axes is None else {BY_CHANCE: axes},
            )
            study.begin(_record(number), drawn=drawn)
        counted = study.left_to_chance()
    assert counted == {"candidates": 3, "partly": 1, "wholly": 1, "axes": ["depth"]}
    told = chance_in_words({"left_to_chance": counted})
    assert told == "1 of 3 candidates in part (depth), 1 as a whole"
    assert chance_in_words({"left_to_chance": {**counted, "partly": 0}}) == (
        "1 of 3 candidates as a whole"
    )
    assert chance_in_words({"left_to_chance": counted, "sampler": "random"}) is None
    assert chance_in_words({}) is None
