"""Digest, parameters, MACs and activations of published networks and of sampled candidates."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import pytest

from archbench import ablation_names, published_names
from tests.golden import ROOT, kept
from tests.golden.transcript import run

_SPACES = ("cvt_squeeze", "hybrid", "levit_edge", "photos", "quickstart")
_NUM_CANDIDATES = 200
_FIELDS = ("digest", "params", "macs", "activations")


def _networks() -> str:
    models = _document("models", "--all")["models"]
    return _lines([["name", *_FIELDS], *([m["name"], *_counted(m)] for m in models)])


def _candidates(space: str) -> str:
    document = _document("space", "sample", space, "-n", str(_NUM_CANDIDATES), "--seed", "0")
    return _lines([_FIELDS, *(_counted(c) for c in document["candidates"])])


def _document(*arguments: str) -> dict[str, Any]:
    code, out, err = run([*arguments, "--json"])
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document


def _counted(network: Mapping[str, Any]) -> list[str]:
    return [str(network[field]) for field in _FIELDS]


def _lines(rows: Iterable[Iterable[str]]) -> str:
    return "".join(" ".join(row) + "\n" for row in rows)


GOLDEN: dict[str, Callable[[], str]] = {
    "networks.txt": _networks,
    **{f"candidates_{space}.txt": partial(_candidates, space) for space in _SPACES},
}


@pytest.mark.parametrize("name", GOLDEN)
def test_networks_keep_their_digests_and_counts(name: str) -> None:
    assert GOLDEN[name]().split("\n") == kept(name)


def test_all_published_names_and_all_shipped_spaces_are_recorded() -> None:
    named = [line.split()[0] for line in _networks().splitlines()[1:]]
    assert sorted(named) == sorted([*published_names(), *ablation_names()])
    assert {file.stem for file in (ROOT / "search_spaces").glob("*.yaml")} == set(_SPACES)
