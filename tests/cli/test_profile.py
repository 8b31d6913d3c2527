"""``archbench profile``: exact numbers, their labels, and where a network may come from."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

import pytest

from archbench.models import build, save_weights
from archbench.models.catalogue import published
from archbench.report.finding import joined, text_of
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


def test_the_profile_is_exact_and_says_what_a_mac_is(run: Run) -> None:
    code, out, err = run("profile", "levit_128s", "--no-latency")
    assert code == 0
    assert out == (
        f"levit_128s: 224x224 px, 1000 classes, digest {published('levit_128s').digest}\n"
        "\n"
        "parameters     7,777,058\n"
        "MACs         304,660,832  multiply-adds; papers print these as FLOPs;\n"
        "                          a multiply-add counted as two would be 609 M\n"
        "activations    1,875,074  outputs of convolutions, linears and attention\n"
        "paper        7.8 M parameters, 305 M, top-1 76.6 % (LeViT, table 3)\n"
        "\n"
        "work                MACs   share\n"
        "-----------  -----------  ------\n"
        "convolution   48,771,072  16.0 %\n"
        "linear       107,264,000  35.2 %\n"
        "attention     24,369,504   8.0 %\n"
        "MLP          124,256,256  40.8 %\n"
        "\n"
        "stage  layers                     width    map  params    MACs  activations\n"
        "-----  -------------------------  -----  -----  ------  ------  -----------\n"
        "0      conv_stem, 2 levit           128  14x14   332 k   108 M       1.03 M\n"
        "1      shrink_attention, 3 levit    256    7x7  1.73 M   105 M        562 k\n"
        "2      shrink_attention, 4 levit    384    4x4  4.94 M  90.9 M        276 k\n"
        "head   pool, norm, classify         384          772 k   768 k       2.00 k\n"
    )
    assert err.endswith("next: archbench profile levit_128s times it, too\n")


def test_stages_and_kinds_of_work_sum_to_the_whole(run: Run) -> None:
    found = model(run, "cvt_13")
    stages = found["stages"]
    assert isinstance(stages, list)
    for key in ("params", "macs", "activations"):
        assert sum(stage[key] for stage in stages) == found[key]
    work = found["work"]
    assert isinstance(work, dict)
    assert sum(work.values()) == found["macs"] == 4_566_089_216


def test_a_field_can_be_set_by_its_path(run: Run) -> None:
    changed = model(run, "cvt_13", "--set", "stages[all].block.kv_stride=1")
    assert changed["name"] == "cvt_13 (changed)"
    assert changed["params"] == 19_997_480
    assert changed["macs"] != 4_566_089_216


def test_a_resolution_need_not_be_square(run: Run) -> None:
    assert model(run, "levit_128s", "--resolution", "160x224")["resolution"] == [160, 224]


def test_what_models_show_prints_can_be_profiled(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(run("models", "show", "levit_128s").out)
    assert model(run, str(file))["digest"] == model(run, "levit_128s")["digest"]


def test_a_file_without_a_name_is_named_by_its_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    shown = run("models", "show", "levit_128s").out
    file.write_text(shown.replace("name: levit_128s\n", ""))
    assert model(run, str(file))["name"] == "mine"


def test_several_networks_end_in_a_comparison(run: Run) -> None:
    out = run("profile", "levit_128s", "cvt_13", "--no-latency").out
    assert out.endswith(
        "network          px  parameters           MACs  activations\n"
        "----------  -------  ----------  -------------  -----------\n"
        "levit_128s  224x224   7,777,058    304,660,832    1,875,074\n"
        "cvt_13      224x224  19,997,480  4,566,089,216   16,981,504\n"
    )


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


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["levit_128x"], 2, "unknown network 'levit_128x'; did you mean levit_1"),
        (["no_such_file.yaml"], 3, "no_such_file.yaml: no such file"),
        (["levit_128s", "--set", "x"], 2, "--set: 'x' is no setting; write it like PATH=VALUE"),
        (["levit_128s", "--set", "stages[9].dim=8"], 2, "the network has 3 stages, 9 is not"),
        (["levit_128s", "--set", "stages[0].dim=1e"], 2, "stages[0].dim: '1e' is not a whole"),
        (
            ["levit_128s", "--set", "stages[0].dim=&a 1"],
            2,
            "--set stages[0].dim:1:1: anchors are not allowed",
        ),
        (["levit_128s", "--resolution", "8x8x8"], 2, "'8x8x8' is not a side or HEIGHTxWIDTH"),
        (["nowhere:3"], 4, "results/nowhere: there is no study here"),
    ],
)
def test_what_cannot_be_profiled_is_refused_with_its_place(
    run: Run, arguments: list[str], code: int, told: str
) -> None:
    ended = run("profile", "--no-latency", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert ended.err.count("\n") == 1


def test_the_built_network_is_counted_again_by_fvcore(run: Run) -> None:
    code, out, _ = run("profile", "levit_128s", "--no-latency", "--check")
    assert code == 0
    assert "fvcore       counts the same on the built network, to the unit\n" in out
    built = model(run, "levit_128s", "--check")["built"]
    assert built == {
        "counter": "fvcore",
        "params": 7_777_058,
        "macs": 304_660_832,
        "activations": 1_875_074,
        "agrees": True,
    }


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
    assert f"{module}: it is no network of the grammar" in err


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
        "form_reason": "its output is no single tensor",
        "latency": [],
        "spec": None,
    }
    assert joined(parts_of(found)) == (
        "timm:x: 224x224 px, timm 1.0\n"
        "\n"
        "parameters              12\n"
        "MACs         not available\n"
        "             layer: the operator aten::inv may hold matrix products\n"
        "timed        as built: its output is no single tensor"
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


@pytest.mark.parametrize("arguments", [("levit_128s", "--set", "stages[0].depth=1"), ("cvt_w24",)])
def test_what_was_not_published_has_no_published_weights(
    arguments: tuple[str, ...], run: Run
) -> None:
    code, out, err = run("profile", *arguments, "--no-latency", "--pretrained")
    assert (code, out) == (2, "")
    assert "published weights" in err


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
