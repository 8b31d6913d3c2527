"""Our tables and Optuna's say the same, whenever the owner dies."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState

from archbench.errors import StorageError
from archbench.search import optuna_mirror
from archbench.search.optuna_mirror import Ledger
from archbench.study.measurement import Conditions, Measurement
from archbench.study.trial import CurvePoint, Failure, TrialRecord

_HEADER = {
    "name": "mine",
    "objectives": {"proxy_accuracy": "max", "latency_ms": "min"},
    "limits": {},
}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna_mirror.quiet_optuna()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "strange ?%#name" / "study.db"
    path.parent.mkdir()
    optuna_mirror.create(path, header=_HEADER)
    return path


def _record(number: int) -> TrialRecord:
    return TrialRecord(
        number=number,
        state="running",
        digest=f"{number:016x}",
        choices={"dim": number},
        spec={"name": "x"},
        params=1,
        macs=2,
        activations=3,
    )


def _trial(number: int) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.RUNNING,
        value=None,
        values=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params={"dim": number},
        distributions={"dim": IntDistribution(0, 100)},
        user_attrs={"digest": f"{number:016x}"},
        system_attrs={"_Nsga2:generation": 4},
        intermediate_values={},
    )


def _latency(value: float | None) -> Measurement:
    return Measurement(
        metric="latency",
        unit="ms",
        samples=(1.0, 2.0),
        value=value,
        low=value,
        high=value,
        conditions=Conditions(),
        environment_id="e",
        verdict="stable" if value else "incomplete",
    )


def _complete(study: Ledger, number: int) -> TrialRecord:
    study.begin(_record(number), trial=_trial(number))
    study.add_latency(number, _latency(4.0), kind="search")
    return study.end(number, state="complete", proxy_accuracy=0.5, seconds=1.0)


def _load(path: Path) -> optuna.Study:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    return optuna.load_study(study_name="mine", storage=storage)


def test_optuna_opens_the_database(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    optuna_mirror.create(path, header=_HEADER)
    with Ledger(path) as study:
        _complete(study, 0)
        study.begin(_record(1), trial=_trial(1))
        study.end(1, state="over_limit", reason="too long", seconds=0.1)
        study.begin(_record(2), trial=_trial(2))
        study.end(2, state="failed", failure=Failure(kind="nan", message="nan"), seconds=0.1)
    loaded = _load(path)
    states = [trial.state for trial in loaded.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert [trial.values for trial in loaded.best_trials] == [[0.5, 4.0]]
    assert loaded.trials[0].user_attrs == {"digest": f"{0:016x}"}
    assert loaded.trials[0].params == {"dim": 0}


def test_optuna_dashboard_answers(tmp_path: Path) -> None:
    from optuna_dashboard import wsgi

    path = tmp_path / "study.db"
    optuna_mirror.create(path, header=_HEADER)
    with Ledger(path) as study:
        _complete(study, 0)
    app = wsgi(f"sqlite:///{path}")
    statuses: list[str] = []
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ["PATH_INFO"] = "/api/studies"
    body = app(environ, lambda status, *_: statuses.append(status))
    (summary,) = json.loads(b"".join(body))["study_summaries"]
    assert statuses == ["200 OK"]
    assert summary["study_name"] == "mine"
    assert summary["directions"] == ["maximize", "minimize"]


def test_all_is_there_after_closing(path: Path) -> None:
    point = CurvePoint(seed=0, epoch=1, step=2, loss=3.0, accuracy=0.4, seconds=5.0)
    with Ledger(path) as study:
        study.begin(_record(0), trial=_trial(0))
        study.add_latency(0, _latency(4.0), kind="search")
        assert study.add_point(0, point)
        assert not study.add_point(0, point)
        ended = study.end(0, state="complete", proxy_accuracy=0.5, seconds=1.0)
        assert ended == study.trials[0]
    with Ledger(path) as again:
        assert again.trials == {0: ended}
        assert again.next_number == 1
        (trial,) = again.mend(_no_record)
        assert trial.system_attrs == {"_Nsga2:generation": 4}


def test_a_confirmed_latency_counts(path: Path) -> None:
    with Ledger(path) as study:
        _complete(study, 0)
        study.add_latency(0, _latency(5.0), kind="confirm")
        study.add_latency(0, _latency(None), kind="confirm")
        told = study.trials[0].latency
    with Ledger(path) as again:
        assert again.trials[0].latency == told == _latency(5.0)


def _no_record(trial: FrozenTrial) -> TrialRecord:
    raise AssertionError("no record is missing")


def _dies(*arguments: Any, **options: Any) -> None:
    raise KeyboardInterrupt


def test_death_between_optunas_row_and_ours_is_mended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger(path) as study:
        monkeypatch.setattr(study.store, "add_trial", _dies)
        with pytest.raises(KeyboardInterrupt):
            study.begin(_record(0), trial=_trial(0))
    with Ledger(path) as again:
        assert again.trials == {}
        again.mend(lambda trial: _record(trial.number))
        assert again.running == [_record(0)]
        assert again.next_number == 1


def test_death_between_our_end_and_optunas_is_mended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger(path) as study:
        study.begin(_record(0), trial=_trial(0))
        study.add_latency(0, _latency(4.0), kind="search")
        monkeypatch.setattr(study, "_tell", _dies)
        with pytest.raises(KeyboardInterrupt):
            study.end(0, state="complete", proxy_accuracy=0.5, seconds=1.0)
    with Ledger(path) as again:
        (trial,) = again.mend(_no_record)
        assert trial.state == TrialState.COMPLETE
        assert trial.values == [0.5, 4.0]


def test_a_full_disk_is_said_and_nothing_is_torn(path: Path) -> None:
    with Ledger(path) as study:
        _complete(study, 0)
        pages = study.store._connection.execute("PRAGMA page_count").fetchone()[0]
        _cap(study, pages)
        with pytest.raises(StorageError, match="full"):
            _complete_many(study, 200)
        reached = len(study.trials)
    with Ledger(path) as again:
        again.mend(lambda trial: _record(trial.number))
        ended = [r.number for r in again.trials.values() if r.state == "complete"]
        assert ended == list(range(len(ended)))
        assert reached - 1 <= len(ended) <= reached
        assert _complete(again, again.next_number).state == "complete"


def _complete_many(study: Ledger, count: int) -> None:
    for number in range(1, count):
        _complete(study, number)


def _cap(study: Ledger, pages: int) -> None:
    """SQLite refuses to grow beyond so many pages, as on a full disk."""
    connections: list[Callable[[str], Any]] = [study.store._connection.execute]
    raw = study._storage.engine.raw_connection()
    connections.append(raw.driver_connection.execute)  # type: ignore[union-attr]
    for execute in connections:
        execute(f"PRAGMA max_page_count = {pages}")
