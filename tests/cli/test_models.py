"""``archbench models``: the published networks, listed and written out."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from archbench.models import ArchSpec, published_names
from archbench.models.catalogue import published
from tests.cli.conftest import Run


def test_the_list_stands_beside_the_papers(run: Run) -> None:
    code, out, err = run("models", "levit_128*")
    assert code == 0
    assert out == (
        "network      px  parameters  paper         MACs  paper  top-1\n"
        "----------  ---  ----------  -----  -----------  -----  -----\n"
        "levit_128s  224   7,777,058  7.8 M  304,660,832  305 M   76.6\n"
        "levit_128   224   9,213,936  9.2 M  405,321,728  406 M   78.6\n"
    )
    assert err.endswith("next: archbench models show levit_128s, or archbench profile levit_128s\n")


def test_every_published_network_is_listed(run: Run) -> None:
    _, out, _ = run("models")
    assert [line.split()[0] for line in out.splitlines()[2:]] == list(published_names())
    assert max(map(len, out.splitlines())) <= 84


@pytest.mark.parametrize("name", published_names())
def test_what_is_shown_reads_back_as_the_network(name: str, run: Run) -> None:
    code, out, _ = run("models", "show", name)
    assert code == 0
    assert ArchSpec.from_document(yaml.safe_load(out)) == published(name)


def test_models_as_json_carry_exact_counts_and_the_paper(
    run: Run,
) -> None:
    code, out, err = run("models", "show", "cvt_13", "--json")
    document: dict[str, Any] = json.loads(out)
    assert (code, err) == (0, "")
    assert document["schema"] == "archbench.models/1"
    (model,) = document["models"]
    assert (model["params"], model["macs"]) == (19_997_480, 4_566_089_216)
    assert model["paper"]["params"] == "19.98 M"
    assert ArchSpec.from_document(model["spec"]) == published("cvt_13")


@pytest.mark.parametrize("arguments", [("models", "show", "levit_128x"), ("models", "levit_12z*")])
def test_an_unknown_network_names_its_neighbours(arguments: tuple[str, ...], run: Run) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "did you mean levit_1" in err
