"""``archbench space``: a space listed, shown, judged, counted and sampled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archbench.models import ArchSpec
from archbench.space import SearchSpace, shipped
from archbench.space.yaml_document import load_yaml
from tests.cli.conftest import Run

SPACE = """\
# How deep and how wide?
base: levit_128s
axes:
  stages[0].dim: [64, 96, 128]
  stages[each].depth: {from: 1, to: 2}
  stages[0].position: [bias, none]
require:
  - stages[0].dim <= 96
limits: {latency_ms: 8}
"""


@pytest.fixture
def space(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(SPACE)
    return str(file)


def test_spaces_that_come_along_are_listed_with_their_questions(run: Run) -> None:
    code, out, err = run("space")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines() if line[:1].strip()] == list(shipped())
    assert "67,108,864 candidates" in out
    assert err.endswith("next: archbench space show quickstart, or archbench search quickstart\n")


def test_a_space_is_shown_with_axes_and_conditions(run: Run, space: str) -> None:
    out = run("space", "show", space).out
    assert out == (
        "small: How deep and how wide?\n"
        "\n"
        "48 candidates from 5 axes\n"
        "\n"
        "stages[0].dim       64, 96, 128\n"
        "stages[0].depth     1, 2\n"
        "stages[1].depth     1, 2\n"
        "stages[2].depth     1, 2\n"
        "stages[0].position  bias, none\n"
        "\n"
        "require     stages[0].dim <= 96\n"
        "objectives  proxy_accuracy max, latency_ms min\n"
        "limits      latency_ms 8\n"
        "target      device cpu, threads 1, backend eager, batch 1, precision fp32\n"
        "proxy       data cluttered_digits, resolution 64, stem keep_grid, rungs [3, 4,\n"
        "            8], seeds 1, batch 32, teacher none\n"
        "search      sampler cost_aware, pruner curve, audit 0.1, trials 40, seed 0,\n"
        "            timeout_s 600.0, confirm true, certify auto\n"
    )


@pytest.mark.parametrize("name", shipped())
def test_shipped_spaces_are_shown_in_80_columns(run: Run, name: str) -> None:
    assert max(map(len, run("space", "show", name).out.splitlines())) <= 80


def test_a_count_names_what_excludes_and_what_is_dead(run: Run, space: str) -> None:
    out = run("space", "count", space).out
    assert out == (
        "small: 48 candidates from 5 axes\n"
        "feasible: 66.7 %, by all candidates\n"
        "\n"
        "excluded by           share\n"
        "-------------------  ------\n"
        "stages[0].dim <= 96  33.3 %\n"
        "\n"
        "dead choices, in no feasible candidate:\n"
        "  stages[0].dim: 128\n"
    )


def test_a_count_as_json_carries_the_interval(run: Run, space: str) -> None:
    document = json.loads(run("space", "count", space, "--json").out)
    assert document["schema"] == "archbench.space/1"
    assert (document["size"], document["feasible_share"]) == (48, pytest.approx(2 / 3))
    assert document["feasible_low"] == document["feasible_high"] == document["feasible_share"]
    assert document["dead_choices"] == [{"axis": "stages[0].dim", "value": 128, "is_certain": True}]


def test_everything_of_a_space_is_in_its_json(run: Run, space: str) -> None:
    document = json.loads(run("space", "show", space, "--json").out)
    again = SearchSpace.parse(document["text"], source="small.yaml")
    assert [axis["name"] for axis in document["axes"]] == [axis.name for axis in again.axes]
    assert document["limits"] == {"latency_ms": 8.0}


def test_a_sound_space_is_called_valid(run: Run, space: str) -> None:
    assert run("space", "validate", space).out == (
        f"{space} is valid: 48 candidates, 66.7 % feasible\n"
    )


def test_a_space_without_a_feasible_candidate_names_what_kills_it(run: Run, space: str) -> None:
    Path(space).write_text(SPACE.replace("<= 96", "<= 9"))
    code, out, err = run("space", "validate", space)
    assert (code, out) == (2, "")
    assert "no candidate is feasible" in err
    assert "stages[0].dim <= 9 excludes 48" in err


def test_a_misspelt_key_is_refused_with_line_and_column(run: Run, space: str) -> None:
    Path(space).write_text(SPACE.replace("require:", "requires:"))
    code, _, err = run("space", "validate", space)
    assert code == 2
    assert err.startswith(f"error: {space}:7:1: ")
    assert "did you mean require?" in err


def test_an_error_as_json_has_code_place_and_help(run: Run, space: str) -> None:
    Path(space).write_text(SPACE.replace("stages[0].dim:", "stages[7].dim:"))
    told = json.loads(run("space", "count", space, "--json").err)
    assert (told["schema"], told["code"]) == ("archbench.error/1", 2)
    assert told["place"] == f"{space}:4:3"


def test_samples_are_networks_of_the_space(run: Run, space: str) -> None:
    out = run("space", "sample", space, "-n", "2").out
    _, *texts = out.split("---\n")
    assert len(texts) == 2
    for text in texts:
        spec = ArchSpec.from_document(load_yaml(text, source="sample").plain())
        assert spec.stages[0].dim in (64, 96)
        assert spec.digest in text


def test_samples_are_the_same_for_a_seed(run: Run, space: str) -> None:
    first = run("space", "sample", space, "--seed", "5", "--json").out
    assert first == run("space", "sample", space, "--seed", "5", "--json").out
    assert first != run("space", "sample", space, "--seed", "6", "--json").out


def test_a_setting_changes_the_space(run: Run, space: str) -> None:
    out = run("space", "count", space, "--set", "stages[0].dim=96", "--json").out
    assert json.loads(out)["size"] == 16


def test_an_unknown_space_names_those_that_are_known(run: Run) -> None:
    code, _, err = run("space", "show", "quikstart")
    assert code == 3
    assert "did you mean quickstart?" in err
