"""``torchrun -m archbench train``: several processes train as one does, and are parked as one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.search import tiny

pytestmark = pytest.mark.slow
NETWORK = """\
name: normless
resolution: 16
num_classes: 3
stages:
  - embed: {kind: conv, kernel: 4, stride: 4, padding: 0, norm: layer}
    block: {kind: vit, num_heads: 2, mlp_ratio: 1}
    dim: 16
    depth: 1
    position: absolute
head: {pool: mean, norm: layer, num_classifiers: 1}
"""
_SETTINGS = ("batch=20", "rate_batch=20", "rate=2e-3", "warmup_epochs=1", "patience=0")
_TORCHRUN = (*("-m", "torch.distributed.run", "--standalone"), *("--nproc-per-node", "2"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torchrun")
    tiny.write_images(folder / "images")
    (folder / "normless.yaml").write_text(NETWORK)
    return folder


def _begun(
    folder: Path, out: Path, *options: str, torchrun: tuple[str, ...] = _TORCHRUN, epochs: int = 4
) -> subprocess.Popen[str]:
    settings = [text for one in _SETTINGS for text in ("--set", f"recipe.{one}")]
    asked = ["--recipe", "finetune", "--epochs", str(epochs), "--workers", "1", *settings]
    train = ["train", str(folder / "normless.yaml"), "--data", f"folder:{folder / 'images'}"]
    return subprocess.Popen(
        [sys.executable, *torchrun, "-m", "archbench", *train, *asked, "--out", str(out), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "ARCHBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"},
    )


def _trained(folder: Path, out: Path, *options: str, **how: Any) -> dict[str, Any]:
    with _begun(folder, out, *options, "--json", **how) as process:
        told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(told)  # one document, of one process
    return found


def test_two_processes_learn_as_one_does_on_the_same_batches(folder: Path, tmp_path: Path) -> None:
    alone = _trained(folder, tmp_path / "alone", torchrun=())
    both = _trained(folder, tmp_path / "both")
    assert [point["step"] for point in both["curve"]] == [5, 10, 15, 20]
    losses = [[point["loss"] for point in found["curve"]] for found in (alone, both)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    checkpoints = [path.name for path in (tmp_path / "both").glob("checkpoint*")]
    assert sorted(checkpoints) == ["checkpoint.safetensors", "checkpoint.safetensors.previous"]
    assert both["training"]["processes"] == 2


def test_ctrl_c_parks_all_processes_and_the_same_command_goes_on(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with _begun(folder, out, epochs=300) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 3 of 300"):
                break
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
        _, errors = process.communicate(timeout=60)
    assert "the training is parked at its last checkpoint" in errors, errors
    again = errors.partition("resume it with: ")[2].splitlines()[0]
    assert again.startswith("torchrun --nproc-per-node 2 -m archbench train ")
    assert again.endswith(" --resume")
    assert "RuntimeError" not in errors, errors
    reached = json.loads((out / "training.json").read_text())
    assert reached["processes"] == 2
    with _begun(folder, out, "--resume", epochs=300) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch "):
                break
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert int(line.split()[1]) >= 3
