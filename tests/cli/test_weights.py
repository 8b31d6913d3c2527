"""``archbench weights``: converted, shown, fetched."""

import hashlib
from pathlib import Path

import pytest
import torch

from archbench.models import build, save_weights
from archbench.models.catalogue import published
from archbench.models.weights.layout import FileForm
from archbench.models.weights.translation import their_tensors
from tests.cli.conftest import Run


@pytest.fixture
def timm(tmp_path: Path) -> Path:
    """LeViT-128S under timm's names."""
    path = tmp_path / "timm.pth"
    tensors = build("levit_128s", seed=0).state_dict()
    torch.save(
        their_tensors(tensors, name="levit_timm", form=FileForm(), spec=published("levit_128s")),
        path,
    )
    return path


def test_a_conversion_says_what_became_of_what(run: Run, timm: Path) -> None:
    code, out, err = run("weights", "convert", str(timm), "ours.safetensors")
    assert code == 0
    told = "ours.safetensors: weights of levit_128s, levit_timm -> archbench"
    assert out.splitlines()[0] == told
    assert err.endswith("next: archbench weights show ours.safetensors\n")

    code, out, err = run("weights", "show", "ours.safetensors")
    assert code == 0
    lines = out.splitlines()[2:]
    assert out.startswith("ours.safetensors: weights of levit_128s in archbench's names\n\n")
    assert lines[0] == "layout   archbench (archbench's names), safetensors"
    assert lines[3] == "content  agrees with the sha256 of weights and spec in its header"
    assert lines[4] == "source   timm.pth (levit_timm)"
    assert lines[5] == f"         sha256 {hashlib.sha256(timm.read_bytes()).hexdigest()}"
    assert lines[-1] == "and 313 more: --json lists all"

    code, out, _ = run("weights", "convert", "ours.safetensors", "back.pth", "--to", "timm")
    assert code == 0
    theirs = torch.load("back.pth", weights_only=True)
    expected = torch.load(timm, weights_only=True)
    assert all(torch.equal(theirs[name], expected[name]) for name in expected)
    assert set(theirs) == set(expected)


def test_what_is_shown_of_others_names_the_network_by_its_size(run: Run, timm: Path) -> None:
    code, out, err = run("weights", "show", str(timm))
    assert code == 0
    assert "layout   levit_timm (timm's LeViT names), pickle\n" in out
    told = "weights of levit_128s in timm's LeViT names, to judge by the number of parameters"
    assert told in " ".join(out.split())
    assert "content  holds no sha256 to check\n" in out
    assert "--model levit_128s" in err


def test_weights_that_are_kept_are_not_fetched(run: Run, tmp_path: Path) -> None:
    save_weights(build("levit_128s", seed=0), tmp_path / "levit_128s.safetensors")
    code, out, err = run("weights", "fetch", "levit_128s", "--out", str(tmp_path))
    assert (code, out) == (0, f"{tmp_path / 'levit_128s.safetensors'}\n")
    assert "it was there already" in err


def test_sets_of_weights_are_listed_and_taken_by_their_key(run: Run, timm: Path) -> None:
    trained = torch.load(timm, weights_only=True)
    average = {f"module.{name}": value + (value.ndim > 0) for name, value in trained.items()}
    torch.save({"model": trained, "model_ema": average, "epoch": 3}, "both.pth")

    code, out, _ = run("weights", "show", "both.pth")
    assert code == 0
    assert "\nset      model_ema; --key shows another\n" in out
    assert "size     325 tensors, 7,777,058 parameters, " in out
    rows = [line.split()[:3] for line in out.splitlines() if line.startswith("model")]
    assert rows == [["model", "325", "7,777,058"], ["model_ema", "325", "7,777,058"]]

    code, out, _ = run("weights", "convert", "both.pth", "a.safetensors")
    assert code == 0
    assert out.splitlines()[1] == "read:    model_ema; --key takes another: model"

    code, _, err = run("weights", "convert", "both.pth", "a.safetensors", "--key", "ema")
    assert code == 2
    assert "unknown set of weights 'ema'; did you mean model_ema? known: model_ema, model" in err

    trained |= {"step": 4}
    torch.save(trained, "step.pth")
    code, out, _ = run("weights", "convert", "step.pth", "a.safetensors")
    assert code == 0
    assert out.splitlines()[1] == "ignored: step, as no weights"
