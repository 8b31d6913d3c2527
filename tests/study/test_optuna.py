"""Optuna's tables and ours live in one file, written by one process."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from archbench.analysis.study import open_study
from archbench.study.database import Store
from archbench.study.rows import TABLES
from tests.study import example


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def storage(path: Path) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(
        f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}}
    )


def close(backend: optuna.storages.RDBStorage) -> None:
    backend.remove_session()
    backend.engine.dispose()


def ask_and_tell(study: optuna.Study, store: Store, *, count: int) -> None:
    """Trials that both record, as a search does it."""
    for _ in range(count):
        asked = study.ask()
        width = asked.suggest_categorical("stages[0].dim", [16, 32, 64])
        accuracy = 0.3 + asked.number / 100
        store.add_trial(example.trial(asked.number, state="running", latency_ms=1.0 * width))
        asked.set_user_attr("digest", f"{asked.number:016x}")
        store.add_point(asked.number, example.point(4, accuracy))
        store.finish(asked.number, state="complete", proxy_accuracy=accuracy, seconds=1.0)
        study.tell(asked, [accuracy, 1.0 * width])


@pytest.mark.parametrize("first", ["optuna", "archbench"])
def test_both_write_and_both_read(tmp_path: Path, first: str) -> None:
    path = tmp_path / "study.db"
    if first == "archbench":
        Store.create(path, example.header()).close()
    backend = storage(path)
    study = optuna.create_study(
        storage=backend,
        study_name="edge",
        directions=["maximize", "minimize"],
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    make = (lambda: Store.create(path, example.header())) if first == "optuna" else None
    with make() if make else Store.open(path) as store:
        ask_and_tell(study, store, count=6)
        assert len(open_study(tmp_path).trials()) == 6
        ask_and_tell(study, store, count=2)
    close(backend)

    again = storage(path)
    seen = optuna.load_study(storage=again, study_name="edge").get_trials()
    ours = open_study(tmp_path).trials()
    assert [trial.number for trial in seen] == [record.number for record in ours] == list(range(8))
    assert [trial.values[0] for trial in seen] == [record.proxy_accuracy for record in ours]
    assert [trial.user_attrs["digest"] for trial in seen] == [record.digest for record in ours]
    close(again)


def test_file_is_in_write_ahead_mode_for_optuna_too(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    Store.create(path, example.header()).close()
    backend = storage(path)
    with backend.engine.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    close(backend)
    assert mode == "wal"


def test_names_of_our_tables_cannot_meet_optunas() -> None:
    assert all(table.name.startswith("archbench_") for table in TABLES)
