"""The recorded study is read, and Optuna shows its front; what 0.1 left does not go on."""

import shutil
from pathlib import Path

import optuna
import pytest

from archbench.analysis.study import open_study
from archbench.errors import StorageError
from archbench.search.optuna_view import Ledger
from archbench.study.connection import read

_RECORDED = Path(__file__).parents[2] / "results/quickstart-recorded/study.db"
_OF_0_1 = Path(__file__).parent / "data/study-of-0.1.db"


def _load(path: Path) -> optuna.Study:
    return optuna.load_study(study_name="quickstart-recorded", storage=f"sqlite:///{path}")


def test_recorded_study_of_an_older_archbench_is_read_and_does_not_go_on(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    shutil.copy(_OF_0_1, path)
    kept = read(path).trials
    assert len(open_study(path).front_records()) == 5
    with pytest.raises(StorageError, match=r"as archbench 0\.1 did not"), Ledger.open(path):
        pass
    assert read(path).trials == kept


def test_recorded_study_shows_its_front_in_optuna_as_it_lies_there(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    shutil.copy(_RECORDED, path)
    front = sorted(record.number for record in open_study(path).front_records())
    shown = _load(path)
    assert [trial.number for trial in shown.best_trials] == front
    assert [trial.number for trial in shown.trials if trial.user_attrs["on_front"]] == front
    assert shown.metric_names == ["proxy_accuracy", "latency_ms"]
    assert read(path).trials == read(_OF_0_1).trials
    assert read(path).measurements == read(_OF_0_1).measurements
