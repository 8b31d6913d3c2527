"""``archbench train``: one network, trained longer, with weights to take away."""

import json
from pathlib import Path

import pytest

from archbench.errors import Terminated
from tests.cli.conftest import Run


def arguments(folder: Path, out: Path, *options: str) -> list[str]:
    data = f"folder:{folder / 'images'}"
    return ["train", str(folder / "toy.yaml"), "--data", data, "--out", str(out), *options]


def test_a_teacher_is_trained_first_and_its_worth_is_told(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    words = arguments(folder, tmp_path / "out", "--epochs", "1", "--teacher", "convolutional")
    ended = run(*words)
    assert ended.code == 0
    assert "training the teacher\n" in ended.err
    assert "the convolutional teacher is right on " in ended.err
    kept = json.loads((tmp_path / "out" / "training.json").read_text())
    assert kept["recipe"]["teacher"] == "convolutional"
    assert kept["teacher"]["accuracy"] > 0.5
    refused = run(*arguments(folder, tmp_path / "out", "--epochs", "1", "--resume"))
    assert "its recipe is different" in refused.err


@pytest.mark.parametrize(("by", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_an_interrupted_training_says_how_it_goes_on(
    run: Run,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    by: type[BaseException],
    code: int,
) -> None:
    from archbench.cli import console

    def interrupt(text: str) -> None:
        raise by

    words = arguments(folder, tmp_path / "out", "--epochs", "2")
    with monkeypatch.context() as patch:
        patch.setattr(console, "note", interrupt)  # the person's Ctrl-C at the first line
        ended = run(*words)
    assert ended.code == code
    assert ended.err.endswith(f"resume it with: archbench {' '.join(words)} --resume\n")


def test_a_full_recipe_is_told_and_parked_and_goes_on(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archbench.report.findings import training

    options = ("--recipe", "finetune", "--set", "recipe.batch=16", "--epochs", "2")
    words = arguments(folder, tmp_path / "out", *options, "--workers", "0")

    def interrupt(*points: object, **how: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "point_text", interrupt)  # at the end of an epoch
        ended = run(*words)
    assert ended.code == 130
    assert ended.err.startswith("recipe finetune  epochs 2, batch 16, rate 0.0002,")
    assert "--set recipe.batch=16 --epochs 2 --workers 0 --resume\n" in ended.err
    again = run(*words, "--resume")
    assert again.code == 0
    assert "epoch 2/2 " in again.err
    assert "images/s" in again.err
    assert "test accuracy " in again.out
    refused = run(*words, "--resume", "--set", "recipe.mixup=0.5")
    assert "its recipe is different" in refused.err


def test_a_setting_of_the_network_stays_one(run: Run, folder: Path, tmp_path: Path) -> None:
    words = arguments(folder, tmp_path / "out", "--epochs", "1", "--set", "stages[0].dim=8")
    assert run(*words, "--set", "recipe.clip=2").code == 0
    kept = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (kept["spec"]["stages"][0]["dim"], kept["recipe"]["clip"]) == (8, 2)
