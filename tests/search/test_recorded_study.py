"""The recorded study is one that goes on, and Optuna shows its front, now and as 0.1 left it."""

import shutil
from pathlib import Path

import optuna
from optuna.trial import TrialState

from archbench.analysis.study import open_study
from archbench.search.optuna_view import Ledger
from archbench.study.connection import read

_RECORDED = Path(__file__).parents[2] / "results/quickstart-recorded/study.db"
_OF_0_1 = Path(__file__).parent / "data/study-of-0.1.db"


def _load(path: Path) -> optuna.Study:
    return optuna.load_study(study_name="quickstart-recorded", storage=f"sqlite:///{path}")


def test_recorded_study_of_an_older_archbench_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    shutil.copy(_OF_0_1, path)
    before = path.read_bytes()
    kept = read(path)
    assert path.read_bytes() == before
    stored = _load(path).trials
    with Ledger.open(path) as study:
        trials = study.frozen_trials()
        assert tuple(study.trials.values()) == kept.trials
    for trial, old in zip(trials, stored, strict=True):
        for what in ("params", "distributions", "system_attrs", "state"):
            assert getattr(trial, what) == getattr(old, what)
    shown = _load(path)
    complete = {record.number: record for record in kept.trials if record.state == "complete"}
    for trial in shown.get_trials(states=[TrialState.COMPLETE]):
        record = complete[trial.number]
        assert record.latency is not None
        assert trial.values == [record.proxy_accuracy, record.latency.value]
    front = sorted(record.number for record in open_study(path).front_records())
    assert len(front) == 5
    assert [trial.number for trial in shown.best_trials] == front


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
