"""``archbench space``: a space listed, shown, judged, counted and sampled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archbench.models import ArchSpec
from archbench.space import SearchSpace, shipped
from archbench.space.yaml_document import load_yaml
from tests.cli.conftest import Run
from tests.golden.stories import SPACE


@pytest.fixture
def space(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(SPACE)
    return str(file)


@pytest.mark.parametrize("name", shipped())
def test_shipped_spaces_are_shown_in_80_columns(run: Run, name: str) -> None:
    assert max(map(len, run("space", "show", name).out.splitlines())) <= 80


def test_everything_of_a_space_is_in_its_json(run: Run, space: str) -> None:
    document = json.loads(run("space", "show", space, "--json").out)
    again = SearchSpace(document["text"], source="small.yaml")
    assert [axis["name"] for axis in document["axes"]] == [axis.name for axis in again.axes]
    assert document["limits"] == {"latency_ms": 8.0}


def test_samples_are_networks_of_the_space(run: Run, space: str) -> None:
    out = run("space", "sample", space, "-n", "2").out
    _, *texts = out.split("---\n")
    assert len(texts) == 2
    for text in texts:
        spec = ArchSpec.from_document(load_yaml(text, source="sample").plain())
        assert spec.stages[0].dim in (64, 96)
        assert spec.digest in text
