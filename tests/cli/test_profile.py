"""``archbench profile``: exact numbers, their labels, and where a network may come from."""

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from archbench.models import build, save_weights
from archbench.report.element import Lines, joined, text_of
from archbench.report.findings.profile import (
    alone,
    backend_tables,
    counts_of,
    flips,
    has_several,
    latencies,
    side_by_side,
    unavailable,
)
from tests.cli.conftest import Run


def entry(backend: str = "eager", ms: float | None = 4.21, **changed: Any) -> dict[str, Any]:
    """A latency as the document of a profile has it."""
    return {
        "device": "cpu",
        "backend": backend,
        "precision": "fp32",
        "precision_asked": "fp32",
        "batch": 1,
        "threads": 1,
        "median_ms": ms,
        "low_ms": ms and ms - 0.02,
        "high_ms": ms and ms + 0.02,
        "images_per_second": ms and 1000 / ms,
        "speed_to_eager": ms and 8.0 / ms,
        "verdict": "stable",
        "reason": "",
        "details": {"preparation_s": 0.004, "deployment_error": 6.4e-7},
        **changed,
    }


def test_a_latency_that_could_not_be_had_says_why() -> None:
    missing = entry(ms=None, verdict="incomplete", reason="out of memory")
    lines = text_of(latencies([{"name": "a", "latency": [missing]}])).split("\n")
    assert lines[2].split() == ["cpu", "x1,", "eager", "fp32", "1", "none", "incomplete"]
    assert lines[3] == "a, batch 1: incomplete: out of memory"


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
    assert text_of(latencies([{"name": "a", "latency": [entry()]}])) == (
        "latency on          batch  ms (95 % interval)  images/s  verdict\n"
        "------------------  -----  ------------------  --------  -------\n"
        "cpu x1, eager fp32      1  4.21 (4.19–4.23)         238  stable"
    )


def test_everything_fits_80_columns(run: Run) -> None:
    found = model(run, "cvt_w24_384")
    slow = entry(ms=14321.0, low_ms=14221.0, high_ms=14421.0, batch=16, verdict="disturbed")
    timed = {**found, "latency": [slow]}
    text = "\n".join(map(joined, (alone(timed), counts_of(timed), side_by_side([timed, timed]))))
    assert max(map(len, text.split("\n"))) <= 80


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
        "module:my_network:build has the fewest MACs; levit_128s has 229 times as many.\n"
        "\n"
        "network                  params    MACs\n"
        "-----------------------  ------  ------\n"
        "module:my_network:build   126 k  1.33 M\n"
        "levit_128s               7.78 M   305 M\n"
        "\n"
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
    assert joined(counts_of(found)) == (
        "timm:x: 224x224 px, timm 1.0\n"
        "\n"
        "parameters              12\n"
        "MACs         not available\n"
        "             layer: the operator aten::inv may hold matrix products\n"
        "timed        as built: its output is not a single tensor"
    )
    assert joined(side_by_side([found, found])).splitlines()[2].split() == [
        "timm:x",
        "12",
        "unknown",
    ]


def timed(name: str, *entries: dict[str, Any]) -> dict[str, Any]:
    """A network of a profile."""
    size = {"resolution": [224, 224], "params": 5_288_548, "macs": 385_876_000}
    return {"name": name, **size, "latency": list(entries)}


def test_the_fastest_network_comes_first_and_each_latency_once() -> None:
    noisy = entry(ms=8.0, verdict="disturbed", reason="other work held the core")
    models = [timed("torchvision:efficientnet_b0", noisy), timed("b", entry())]
    assert joined(side_by_side(models)) == (
        "b is the fastest; torchvision:efficientnet_b0 takes 1.9 times as long.\n"
        "\n"
        "network                      params   MACs  ms (95 % interval)  verdict\n"
        "---------------------------  ------  -----  ------------------  ---------\n"
        "torchvision:efficientnet_b0  5.29 M  386 M  8.00 (7.98–8.02)    disturbed\n"
        "b                            5.29 M  386 M  4.21 (4.19–4.23)    stable\n"
        "latency on cpu x1, eager fp32, batch 1\n"
        "torchvision:efficientnet_b0, batch 1: disturbed: other work held the core"
    )


def test_networks_whose_intervals_overlap_are_both_named() -> None:
    models = [timed("a", entry()), timed("b", entry(ms=4.22))]
    assert joined(side_by_side(models)).startswith("a and b are the fastest; their intervals overl")


def test_several_backends_stand_under_each_network() -> None:
    both = [entry(), entry("openvino", 3.0)]
    text = joined(side_by_side([timed("a", *both), timed("b", *both[:1])]))
    assert text.startswith("a in openvino fp32 is the fastest; b in eager fp32 takes 1.4 times")
    rows = [line.split()[0] for line in text.split("\n\n")[2].splitlines()[2:6]]
    assert rows == ["a", "eager", "openvino", "b"]


def test_one_network_begins_with_its_latency_and_size() -> None:
    assert joined(alone(timed("a", entry()))) == (
        "a: 4.21 (4.19–4.23) ms, 5.29 M parameters, 386 M MACs\n"
        "cpu x1, eager fp32, batch 1: 238 images/s, stable"
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


def test_backends_stand_side_by_side() -> None:
    openvino = entry(
        "openvino",
        4.0,
        precision="bf16",
        precision_asked="fp16",
        details={"preparation_s": 3.2, "backend_error": 6.7e-3},
    )
    broken = entry(
        "compiled", None, verdict="incomplete", reason="it was compiled again", details={}
    )
    model = {"name": "a", "latency": [entry("eager", 8.0), openvino, broken]}
    assert has_several(model)
    assert joined(backend_tables([model])) == (
        "latency on cpu x1, batch 1\n"
        "\n"
        "backend   as    ms (95 % interval)  x eager  ready in    error  verdict\n"
        "--------  ----  ------------------  -------  --------  -------  ----------\n"
        "eager     fp32    8.00 (7.98–8.02)     1.00     0.0 s  6.4e-07  stable\n"
        "openvino  bf16    4.00 (3.98–4.02)     2.00     3.2 s  6.7e-03  stable\n"
        "compiled  fp32                none        –         –        –  incomplete\n"
        "openvino computed bf16 where fp16 was asked for\n"
        "compiled fp32, incomplete: it was compiled again\n"
        "x eager: times as fast as eager in fp32\n"
        "ready in: copying, exporting and compiling\n"
        "error: largest difference from eager in fp32, over the largest output"
    )


def test_batches_of_one_backend_are_no_several() -> None:
    assert not has_several({"latency": [entry("eager", 8.0), entry("eager", 9.0, batch=4)]})


def test_what_was_left_out_is_listed_with_what_brings_it() -> None:
    left_out = [
        {
            "backend": "openvino",
            "precision": "",
            "reason": "openvino is not installed",
            "help": "pip install 'archbench[openvino]'",
        },
        {"backend": "eager", "precision": "int8", "reason": "it does not", "help": "it has fp32"},
    ]
    assert text_of(unavailable(left_out)) == (
        "left out:\n"
        "  openvino: openvino is not installed; pip install 'archbench[openvino]'\n"
        "  eager int8: it does not; it has fp32"
    )
    assert text_of(unavailable([])) == ""


def test_an_order_that_depends_on_the_backend_is_said() -> None:
    flip = {
        "first": "a",
        "second": "b",
        "device": "cpu",
        "batch": 1,
        "first_wins": ("eager fp32",),
        "second_wins": ("openvino fp32", "openvino bf16"),
    }
    assert text_of(Lines(flips([flip]))) == (
        "the order depends on the backend (cpu, batch 1): a is faster under eager fp32; b\n"
        "  under openvino fp32, openvino bf16"
    )
    assert flips([]) == []
