"""``archbench profile``: exact numbers, their labels, and where a network may come from."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

import pytest

from archbench.models import build, save_weights
from archbench.report.element import joined, text_of
from archbench.report.findings.profile import latencies, parts_of, side_by_side
from tests.cli.conftest import Run

LATENCY = {
    "device": "cpu",
    "backend": "eager",
    "precision": "fp32",
    "precision_asked": "fp32",
    "batch": 1,
    "threads": 1,
    "resolution": [224, 224],
    "median_ms": 4.2134,
    "low_ms": 4.18,
    "high_ms": 4.2987,
    "images_per_second": 237.3,
    "verdict": "stable",
    "reason": "",
}


def model(run: Run, name: str, *options: str) -> dict[str, object]:
    document = json.loads(run("profile", name, "--no-latency", "--json", *options).out)
    assert document["schema"] == "archbench.profile/1"
    (found,) = document["models"]
    return dict(found)


def test_a_file_without_a_name_is_named_by_its_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    shown = run("models", "show", "levit_128s").out
    file.write_text(shown.replace("name: levit_128s\n", ""))
    assert model(run, str(file))["name"] == "mine"


def test_a_latency_has_interval_verdict_and_conditions() -> None:
    assert text_of(latencies([{"name": "a", "latency": [LATENCY]}])) == (
        "latency on          batch  ms (95 % interval)  images/s  verdict\n"
        "------------------  -----  ------------------  --------  -------\n"
        "cpu x1, eager fp32      1  4.21 (4.18–4.30)         237  stable"
    )


def test_a_latency_that_could_not_be_had_says_why() -> None:
    missing = LATENCY | {
        "median_ms": None,
        "low_ms": None,
        "high_ms": None,
        "images_per_second": None,
        "verdict": "incomplete",
        "reason": "out of memory",
    }
    lines = text_of(latencies([{"name": "a", "latency": [missing]}])).split("\n")
    assert lines[2].split() == ["cpu", "x1,", "eager", "fp32", "1", "none", "incomplete"]
    assert lines[3] == "incomplete (a, batch 1): out of memory"


def test_everything_fits_80_columns(run: Run) -> None:
    found = model(run, "cvt_w24_384")
    slow = LATENCY | {"median_ms": 14321.0, "low_ms": 14221.0, "high_ms": 14421.0}
    timed = {**found, "latency": [slow | {"batch": 16, "verdict": "disturbed"}]}
    text = "\n".join([joined(parts_of(timed)), joined(side_by_side([timed, timed]))])
    assert max(map(len, text.split("\n"))) <= 80


def test_a_difference_of_the_counts_is_shown_and_ends_with_1(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archbench.models.blocks.levit import Spec

    count = Spec.count
    monkeypatch.setattr(
        Spec, "count", lambda self, site: (work := count(self, site))._replace(mlp=work.mlp + 1)
    )
    code, out, err = run("profile", "levit_128s", "--no-latency", "--check")
    assert code == 1
    assert "fvcore       counts 7,777,058 parameters, 304,660,832 MACs" in out
    assert "the closed form and fvcore count differently: levit_128s" in err


def test_a_changed_network_is_not_held_against_the_paper(run: Run) -> None:
    assert model(run, "levit_128s")["paper"]["top1"] == 76.6  # type: ignore[index]
    assert model(run, "levit_128s", "--set", "stages[0].depth=1")["paper"] is None


FOREIGN = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(25088, 5))
"""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, run: Run) -> str:
    """A module of the user in the current folder, which `run` made."""
    Path("my_network.py").write_text(FOREIGN)
    monkeypatch.delitem(sys.modules, "my_network", raising=False)
    return "module:my_network:build"


def test_a_network_of_the_user_is_measured_beside_ours(run: Run, module: str) -> None:
    code, out, _ = run("profile", module, "levit_128s", "--no-latency")
    assert code == 0
    assert out.startswith(
        "module:my_network:build: 224x224 px, a module of yours\n"
        "\n"
        "parameters     125,837\n"
        "MACs         1,329,664  multiply-adds, counted by fvcore on the built network\n"
        "activations     25,093  outputs of convolutions, linears and attention\n"
        "\n"
        "work              MACs   share\n"
        "-----------  ---------  ------\n"
        "convolution  1,204,224  90.6 %\n"
        "linear         125,440   9.4 %\n"
    )
    assert out.endswith(
        "network                       px  parameters         MACs  activations\n"
        "-----------------------  -------  ----------  -----------  -----------\n"
        "module:my_network:build  224x224     125,837    1,329,664       25,093\n"
        "levit_128s               224x224   7,777,058  304,660,832    1,875,074\n"
    )


def test_a_network_of_the_user_has_no_field_to_set(run: Run, module: str) -> None:
    code, out, err = run("profile", module, "--set", "resolution=64")
    assert (code, out) == (2, "")
    assert f"{module}: it is not a network of the grammar" in err


def test_what_fvcore_cannot_count_is_not_available() -> None:
    found = {
        "name": "timm:x",
        "origin": "timm 1.0",
        "resolution": [224, 224],
        "params": 12,
        "macs": None,
        "activations": None,
        "uncounted": "layer: the operator aten::inv may hold matrix products",
        "operators": None,
        "form": "as built",
        "form_reason": "its output is not a single tensor",
        "latency": [],
        "spec": None,
    }
    assert joined(parts_of(found)) == (
        "timm:x: 224x224 px, timm 1.0\n"
        "\n"
        "parameters              12\n"
        "MACs         not available\n"
        "             layer: the operator aten::inv may hold matrix products\n"
        "timed        as built: its output is not a single tensor"
    )
    assert (
        joined(side_by_side([found, found]))
        .splitlines()[2]
        .endswith("not available  not available")
    )


def test_one_device_for_all_networks_stands_over_their_latencies() -> None:
    models = [{"name": name, "latency": [LATENCY]} for name in ("torchvision:efficientnet_b0", "b")]
    assert text_of(latencies(models)) == (
        "latency on cpu x1, eager fp32\n"
        "\n"
        "network                      batch  ms (95 % interval)  images/s  verdict\n"
        "---------------------------  -----  ------------------  --------  -------\n"
        "torchvision:efficientnet_b0      1  4.21 (4.18–4.30)         237  stable\n"
        "b                                1  4.21 (4.18–4.30)         237  stable"
    )


def test_published_weights_are_taken_from_where_they_are_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARCHBENCH_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / "levit_128s.safetensors"
    save_weights(build("levit_128s", seed=0), path)
    code, out, _ = run("profile", "levit_128s", "--no-latency", "--pretrained")
    assert code == 0
    assert f"\nweights      {path}\n" in out
    assert model(run, "levit_128s", "--pretrained", "--resolution", "256")["weights"] == str(path)
    assert model(run, "levit_128s")["weights"] is None


def test_published_weights_without_a_network_are_refused_within_five_seconds(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARCHBENCH_CACHE", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ARCHBENCH_HUB", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        code, out, err = run("profile", "levit_128s", "--pretrained")
        assert time.monotonic() - began < 5
    assert (code, out) == (3, "")
    assert "the weights could not be fetched: no answer within 3 s" in err
