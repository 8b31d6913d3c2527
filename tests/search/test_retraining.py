"""The best designs of a study, trained in full: which, what that leaves, how it goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from archbench.analysis.retraining import Retraining
from archbench.analysis.study import open_study
from archbench.errors import StorageError, UsageError
from archbench.evaluate.kept_training import DOCUMENT
from archbench.evaluate.training import Weights, train_network
from archbench.models import ArchSpec
from archbench.search.retraining import RetrainingPlan, retrain
from archbench.study.atomic_file import backup_path
from archbench.study.study_folder import ownership
from archbench.study.trial import PRECISION, CurvePoint
from tests.search import overtaken, tiny
from tests.study import example

EPOCHS = 6


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: str) -> Retraining:
    """The two best of three, retrained without an interruption."""
    path = overtaken.study(tmp_path_factory.mktemp("whole") / "toy", data).path
    return _retrained(path)


def _retrained(path: Path, **how: Any) -> Retraining:
    found = retrain(path, **{"top": 2, "epochs": EPOCHS, "batch": 8, **how})
    assert isinstance(found, Retraining)
    return found


def test_a_plan_names_the_picks_and_what_they_take(tmp_path: Path, data: str) -> None:
    study = overtaken.study(tmp_path / "toy", data)
    plan = retrain(study.path, top=2, seeds=2, epochs=EPOCHS, dry_run=True)
    assert isinstance(plan, RetrainingPlan)
    assert [one.record.number for one in plan.designs] == [overtaken.BLIND, overtaken.SEEING]
    assert [(record.number, seed) for record, seed in plan.left] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    # the curve says 2 s for 4 epochs, at the same resolution
    assert plan.seconds_left == pytest.approx(4 * EPOCHS * 2.0 / 4)
    assert open_study(study.path).retraining is None
    assert not (study.path / "retrained").exists()
    proxy = {**study.header["proxy"], "resolution": 32, "stem": "as_is"}  # four times the tokens
    large = overtaken.study(tmp_path / "large", data, more={"proxy": proxy})
    fewer = retrain(large.path, top=2, epochs=EPOCHS, dry_run=True)
    assert isinstance(fewer, RetrainingPlan)
    assert fewer.seconds_left is not None
    assert fewer.seconds_left < plan.seconds_left / 2 / 3.5
    others = retrain(study.path, top=2, epochs=EPOCHS, data="folder:elsewhere", dry_run=True)
    assert isinstance(others, RetrainingPlan)
    assert others.seconds_left is None


def test_an_order_that_does_not_hold_is_said_and_kept(trained: Retraining) -> None:
    assert trained.state == "overtaken"
    assert [one.number for one in trained.results] == [overtaken.SEEING, overtaken.BLIND]
    assert trained.sentence.startswith("The order did not hold: trial 1 overtook trial 0 by ")
    assert trained.tau == -1.0
    for one in trained.results:
        assert one.test is not None
        assert one.best_file.is_file()
        assert (one.best_file.parent / "checkpoint.safetensors").is_file()
    path = trained.results[0].best_file.parents[3]
    assert backup_path(path / "study.db").is_file()
    study = open_study(path)
    assert study.retraining is not None
    assert study.document()["retraining"] == trained.document()
    assert "Proxy tau near the front in full training: -1.00 of 2 designs" in study.verdict()


def test_what_was_trained_is_not_trained_again(tmp_path: Path, data: str) -> None:
    path = overtaken.study(tmp_path / "toy", data).path
    asked = list[tuple[str, int]]()

    def train(spec: ArchSpec, *, seed: int, **how: Any) -> Weights:
        asked.append((spec.name, seed))
        return train_network(spec, seed=seed, **how)

    _retrained(path, epochs=1, top=1, train=train)
    found = _retrained(path, epochs=1, train=train, seeds=2)
    assert asked == [("toy:0", 0), ("toy:1", 0), ("toy:0", 1), ("toy:1", 1)]
    assert [len(one.right) for one in found.results] == [2, 2]
    assert found.seed_degrees == 2
    again = _retrained(path, epochs=2, trials=[2], train=train)
    assert [one.number for one in again.results] == [2]
    assert len(open_study(path).header["retrained"]) == 2


def test_stopped_in_the_middle_it_goes_on_bit_for_bit(
    tmp_path: Path, data: str, trained: Retraining
) -> None:
    path = overtaken.study(tmp_path / "toy", data).path
    _plan_alike(path, trained)

    def stop(point: CurvePoint, file: Path | None, sha256: str | None) -> None:
        if point.epoch == 2:
            raise KeyboardInterrupt

    def train(spec: ArchSpec, **how: Any) -> Weights:
        is_second = spec.name.endswith(":1")
        return train_network(spec, on_point=stop if is_second else None, **how)

    with pytest.raises(KeyboardInterrupt):
        _retrained(path, train=train)
    between = open_study(path).retraining
    assert between is not None
    assert ([one.number for one in between.results], between.left) == ([0], 1)
    found = _retrained(path)
    assert between.seed_sd == found.seed_sd
    for mine, theirs in zip(found.results, trained.results, strict=True):
        assert (mine.right == theirs.right).all()
        first, second = (load_file(one.best_file) for one in (mine, theirs))
        assert all(first[name].equal(second[name]) for name in first)


def _plan_alike(path: Path, trained: Retraining) -> None:
    """Begins the same trainings, whose steps are computed as those were, whatever is faster now."""
    for file in (file.with_name(DOCUMENT) for one in trained.results for file in one.files):
        home = path / file.parent.relative_to(file.parents[3])
        home.mkdir(parents=True)
        shutil.copy(file, home)


def test_two_at_once_are_refused(tmp_path: Path, data: str) -> None:
    path = overtaken.study(tmp_path / "toy", data).path
    with (
        ownership(path),
        pytest.raises(StorageError, match="the study is owned by process"),
    ):
        _retrained(path)


def test_other_data_in_the_same_place_are_refused(tmp_path: Path) -> None:
    images = tiny.write_images(tmp_path / "images", per_class=12)
    path = overtaken.study(tmp_path / "toy", f"folder:{images}").path
    how: dict[str, Any] = {"recipe": "finetune", "epochs": 1, "workers": 0}
    how["settings"] = ("recipe.warmup_epochs=1", "recipe.augmentation.rand_augment=''")
    assert _retrained(path, top=1, **how).how.startswith("finetune, 1 epoch, folder:")
    first = images / "val" / "left" / "0.png"
    first.write_bytes((images / "train" / "right" / "0.png").read_bytes())
    with pytest.raises(StorageError, match="are others than those that other designs were"):
        _retrained(path, **how)
    found = open_study(path).retraining
    assert found is not None
    assert [one.number for one in found.results] == [0]


def test_a_trial_without_an_accuracy_is_refused(tmp_path: Path, data: str) -> None:
    path = overtaken.study(tmp_path / "toy", data).path
    with pytest.raises(UsageError, match="there is no trial 9 in the study"):
        _retrained(path, trials=[9])
    with pytest.raises(UsageError, match="seeds: 0 is not from 1 to 100"):
        _retrained(path, seeds=0)


@pytest.mark.parametrize(
    ("design", "told", "way"),
    [
        (0, "trial 1 is trial 0 in int8", "name trial 0"),
        (None, "the accuracies of this study are those in int8", "export WEIGHTS --to onnx"),
    ],
    ids=["beside floats", "alone"],
)
def test_a_design_in_int8_is_refused_with_the_way(
    tmp_path: Path, data: str, design: int | None, told: str, way: str
) -> None:
    whole = overtaken.study(tmp_path / "toy", data)
    first, second, _ = whole.trials()
    quantised = replace(second, design=design, choices={**second.choices, PRECISION: "int8"})
    (tmp_path / "int8").mkdir()
    path = example.study(tmp_path / "int8", [first, quantised], header=whole.header).path
    with pytest.raises(UsageError, match=told) as refused:
        retrain(path, trials=[1], dry_run=True)
    assert way in str(refused.value.help)


def test_trainings_begin_as_those_of_the_search_did(
    tmp_path: Path, data: str, trained: Retraining
) -> None:
    file = trained.results[0].best_file
    about = {"name": "toy", "file": str(file), "sha256": "0"}
    study = overtaken.study(tmp_path / "toy", data)
    header = dict(study.header)
    proxy = {**header["proxy"], "weights": about}
    path = overtaken.study(tmp_path / "heir", data, more={"proxy": proxy}).path
    plans = [
        retrain(path, top=2, dry_run=True, weights=weights) for weights in (None, "none", file)
    ]
    begun = [plan.how["weights"] for plan in plans if isinstance(plan, RetrainingPlan)]
    assert begun[0] == begun[2] is not None
    assert begun[1] is None


KILLED = """
import sys
from pathlib import Path
from tests.search.test_retraining import _retrained
_retrained(Path(sys.argv[1]), checkpoint_every_s=1e-9)
"""


@pytest.mark.slow
def test_killed_it_goes_on_bit_for_bit(tmp_path: Path, data: str, trained: Retraining) -> None:
    path = overtaken.study(tmp_path / "toy", data).path
    _plan_alike(path, trained)
    words = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(Path.cwd())}) as process:
        within = "retrained/*/trial-1-seed-0/checkpoint.safetensors.within"
        while process.poll() is None and not list(path.glob(within)):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    found = _retrained(path)
    rows = zip(found.results, trained.results, strict=True)
    assert all((mine.right == theirs.right).all() for mine, theirs in rows)
