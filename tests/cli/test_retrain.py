"""``archbench retrain``: the best designs in full, told, kept, and what goes by them after."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Ending, Run
from tests.search import overtaken

WORDS = ("--top", "2", "--epochs", "6", "--batch", "8")


@pytest.fixture(scope="module")
def study(folder: Path) -> Path:
    """A study whose second design is the better one."""
    return overtaken.study(folder / "toy", f"folder:{folder / 'images'}").path


@pytest.fixture(scope="module")
def retrained(study: Path) -> tuple[Path, Ending]:
    """The study after its retraining, and what that printed."""
    from click.testing import CliRunner

    from archbench.cli.main import archbench

    path = shutil.copytree(study, study.with_name("retrained"))
    ended = CliRunner().invoke(archbench, ["retrain", str(path), *WORDS], standalone_mode=False)
    return path, Ending(ended.return_value, ended.stdout, ended.stderr)


def test_the_plan_and_its_price_come_first(run: Run, study: Path) -> None:
    ended = run("retrain", str(study), *WORDS, "--dry-run")
    assert ended.code == 0
    assert "2 designs in full, 1 seed each, short, 6 epochs" in ended.out
    assert "2 trainings to come: about 6.0 s, by the epochs of the search and the MACs" in ended.out
    document = json.loads(run("retrain", str(study), *WORDS, "--dry-run", "--json").out)
    assert document["schema"] == "archbench.retraining-plan/1"
    assert [one["pick"] for one in document["designs"]] == [True, False]


def test_a_pick_says_that_it_was_not_trained_in_full(run: Run, study: Path) -> None:
    ended = run("pick", str(study), "--macs", "1G")
    assert "It has not been trained in full." in ended.out
    assert ended.err.endswith(f"next: archbench retrain {study} --macs 1000000000\n")
    assert f"retrain {study} --trials " in run("pick", str(study), "--knee").err


def test_the_verdict_comes_first_and_the_exit_code_says_so(
    retrained: tuple[Path, Ending],
) -> None:
    path, ended = retrained
    assert ended.code == 1
    told = " ".join(ended.out.split())
    assert told.startswith("The order did not hold: trial 1 overtook trial 0 by ")
    assert "toy: 2 designs in full, short, 6 epochs, folder:" in told
    assert "proxy tau near the front in full training: -1.00 of 2 designs" in told
    assert "each design was trained once" in told
    (name,) = (path / "retrained").iterdir()
    files = {file.name for file in (name / "trial-1-seed-0").iterdir()}
    assert {"training.html", "result.json", "curve.csv", "best.safetensors"} <= files


def test_what_was_found_is_in_pick_report_and_page(
    run: Run, retrained: tuple[Path, Ending]
) -> None:
    path, _ = retrained
    picked = run("pick", str(path), "--macs", "1G")
    told = " ".join(picked.out.split())
    assert "of those that were, this one is first" in told
    assert "In full training (short, 6 epochs, folder:" in told
    assert f"next: archbench export {path}:1 --to onnx" in picked.err
    document = json.loads(run("pick", str(path), "--macs", "1G", "--json").out)
    assert (document["pick"]["trial"], document["runner_up"]["trial"]) == (1, 0)
    assert document["pick"]["full_accuracy"]["value"] > 0.9
    told = run("report", str(path)).out
    assert "trained in full" in told
    assert "proxy tau near the front in full training" in " ".join(told.split())
    page = (path / "report" / "report.html").read_text()
    assert "In full training" in page
    kept = json.loads(run("report", str(path), "--json").out)["retraining"]
    assert kept["schema"] == "archbench.retraining/1"
    assert [one["trial"] for one in kept["designs"]] == [1, 0]


def test_its_weights_are_those_of_full_training(
    run: Run, retrained: tuple[Path, Ending], folder: Path
) -> None:
    path, _ = retrained
    picture = next((folder / "images" / "val" / "top").iterdir())
    ended = run("predict", f"{path}:1", str(picture))
    assert ended.code == 0, ended.err
    assert f"{path}:1: the weights of its training in full (short, 6 epochs, " in ended.err
    assert "top" in ended.out


def test_an_interrupted_one_says_how_it_goes_on(
    run: Run, study: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from archbench.report.findings import training

    path = shutil.copytree(study, tmp_path / "toy")

    def interrupt(*points: object, **how: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "point_text", interrupt)  # at the end of an epoch
        ended = run("retrain", str(path), *WORDS)
    assert ended.code == 130
    assert ended.err.endswith(f"go on with: archbench retrain {path} {' '.join(WORDS)}\n")
    again = run("retrain", str(path), *WORDS, "--json")
    assert again.code == 1
    assert json.loads(again.out)["trainings_left"] == 0
