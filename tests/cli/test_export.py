"""``archbench export``: files that others load, their card, and how each format compares."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from archbench.evaluate import artifact
from archbench.evaluate.training import train_network
from tests.cli.conftest import Run
from tests.evaluate.toy import SPEC
from tests.golden.measured import write_images

RUNTIMES = {
    "executorch": "executorch", "litert": "litert_torch", "ncnn": "ncnn", "onnx": "onnxruntime",
    "openvino": "openvino",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(folder: Path) -> Path:
    """A folder with images of three colours, and weights that tell them apart."""
    write_images(folder / "colours")
    data = f"folder:{folder / 'colours' / 'images'}"
    train_network(SPEC, data=data, epochs=6, folder=folder / "colours" / "trained")
    return folder / "colours"


def _words(home: Path, formats: str, *more: str) -> tuple[str, ...]:
    data = f"folder:{home / 'images'}"
    weights = str(home / "trained" / "best.safetensors")
    return ("export", weights, "--to", formats, "--data", data, "--threads", "2", *more)


def _is_missing(name: str) -> bool:
    return importlib.util.find_spec(RUNTIMES.get(name, name)) is None


def _snippets(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.S)


@pytest.mark.parametrize(
    ("wanted", "precision"),
    [
        *((name, "fp32") for name in ("python", "timm", "hf", "exported", *RUNTIMES)),
        *((name, "fp16") for name in ("exported", *RUNTIMES)),
    ],
)
def test_a_format_is_written_compared_and_loaded_without_archbench(
    run: Run, home: Path, tmp_path: Path, wanted: str, precision: str
) -> None:
    if wanted in RUNTIMES and _is_missing(wanted):
        pytest.skip(f"{RUNTIMES[wanted]} is not installed")
    out = tmp_path / "out"
    more = ("--out", str(out), "--precision", precision, "--no-latency", "--json")
    ended = run(*_words(home, wanted, *more))
    assert ended.code == 0, ended.err
    card = json.loads(ended.out)
    assert card == json.loads((out / "card.json").read_text())
    (entry,) = card["artifacts"]
    assert entry["compared"]["largest_difference"] < (1e-4 if precision == "fp32" else 5e-2)
    assert entry["compared"]["agreement"] >= (1.0 if precision == "fp32" else 0.9)
    assert entry["compared"]["on"].startswith("held-out images of ")
    assert card["accuracy"]["low"] < card["accuracy"]["value"] <= card["accuracy"]["high"] <= 1
    assert {path.name for path in out.iterdir()} == {"card.json", "README.md", entry["folder"]}
    preparing, loading = _snippets((out / "README.md").read_text())
    picture = next((home / "images" / "val" / "green").iterdir())
    Image.open(picture).save(out / "photo.jpg", quality=100)
    script = out / "script.py"
    script.write_text(preparing + loading)
    shown = subprocess.run(
        [sys.executable, "script.py"], cwd=out, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    ended = run("predict", str(out / entry["folder"]), str(out / "photo.jpg"), "--json")
    (image,) = json.loads(ended.out)["images"]
    assert image["classes"][0]["class"] == "green"
    assert shown.stdout.strip() == f"[{image['classes'][0]['index']}]"
    if wanted not in artifact.RUNTIMES or wanted == "ncnn":  # whose files have no place for it
        return
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in entry["files"]:
        shutil.copy(out / entry["folder"] / name, alone / name.replace("model", "mine"))
    moved = alone / entry["files"][0].replace("model", "mine")
    ended = run("predict", str(moved), str(out / "photo.jpg"), "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["images"] == [image]


def test_a_file_that_says_nothing_of_pictures_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(torch.nn.ReLU(), (torch.zeros(1),)), path)
    ended = run("predict", str(path), str(tmp_path))
    assert ended.code == 3
    assert "it does not say how pictures are prepared, and there is no card.json" in ended.err
    path.write_bytes(b"neither")
    assert "there is no card.json beside it" in run("predict", str(path), str(tmp_path)).err


def test_a_file_says_what_was_measured_of_it(run: Run, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(*_words(home, "exported", "--out", str(out), "--no-latency")).code == 0
    card, told = json.loads((out / "card.json").read_text()), {"archbench.json": ""}
    torch.export.load(out / "exported" / "model.pt2", extra_files=told)
    inside = json.loads(told["archbench.json"])
    (entry,), (alone,) = card["artifacts"], inside["artifacts"]
    assert inside["preparation"]["class_names"] == ["blue", "green", "red"]
    assert {**inside, "artifacts": []} == {**card, "artifacts": []}
    assert alone == {k: v for k, v in entry.items() if k not in ("folder", "files", "bytes")}
    assert alone["compared"]["agreement"] == 1.0
    assert inside["weights"]["recipe"]["batch"] == 32
    assert "\nRecipe: rungs [" in (out / "README.md").read_text()


def test_int8_is_calibrated_on_the_users_images(run: Run, home: Path, tmp_path: Path) -> None:
    more = ("--precision", "int8", "--no-latency", "--json")
    ended = run(*_words(home, "onnx", "--out", str(tmp_path / "out"), *more))
    assert ended.code == 0, ended.err
    (entry,) = json.loads(ended.out)["artifacts"]
    assert entry["folder"] == "onnx-int8"
    assert entry["accuracy"]["num_images"] > 0
    assert entry["accuracy"]["value"] > 0.8


def test_any_number_of_images_may_come(run: Run, home: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    import numpy as np
    import onnxruntime

    out = tmp_path / "out"
    words = _words(home, "onnx", "--out", str(out), "--batch", "dynamic", "--no-latency")
    assert run(*words).code == 0
    session = onnxruntime.InferenceSession(out / "onnx" / "model.onnx")
    images: Any = np.zeros((5, 3, 16, 16), np.float32)
    assert session.run(None, {session.get_inputs()[0].name: images})[0].shape == (5, 3)


def test_a_format_that_fails_leaves_the_others(run: Run, home: Path, tmp_path: Path) -> None:
    more = ("--out", str(tmp_path / "out"), "--no-latency")
    ended = run(*_words(home, "python,timm", *more, "--precision", "fp16"))
    assert ended.code == 1
    assert "python fp16 failed: its files hold fp32" in ended.out
    assert "not exported: python, timm" in ended.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"card.json", "README.md"}
    ended = run(*_words(home, "python", *more))
    assert ended.code == 0, ended.err
    assert (tmp_path / "out" / "python" / "model.py").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("levit_128s", "--to", "onnx"), "a network by its name alone has no weights"),
        (("levit_128s", "--to", "onxx", "--random-weights"), "unknown format 'onxx'; did you mean"),
        (("none.safetensors", "--to", "onnx"), "there is no such file of weights"),
        (
            ("levit_128s", "--to", "onnx", "--random-weights", "--precision", "int8"),
            "int8 is calibrated on images of the training",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused(run: Run, words: tuple[str, ...], told: str) -> None:
    ended = run("export", *words)
    assert ended.code in (2, 3)
    assert told in ended.err


def test_a_folder_of_another_network_is_refused(run: Run, home: Path, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "out"), "--no-latency")
    assert run(*_words(home, "python", *out)).code == 0
    toy = str(home.parent / "toy.yaml")
    ended = run("export", toy, "--random-weights", "--to", "python", *out)
    assert ended.code == 2
    assert "with other weights" in ended.err


@pytest.mark.slow
def test_an_exported_network_is_timed(run: Run, home: Path, tmp_path: Path) -> None:
    ended = run(*_words(home, "python", "--out", str(tmp_path / "out"), "--json"))
    assert ended.code == 0, ended.err
    (entry,) = json.loads(ended.out)["artifacts"]
    assert 0 < entry["latency"]["low"] <= entry["latency"]["value"] <= entry["latency"]["high"]
    assert entry["latency"]["conditions"]["threads"] == 2
