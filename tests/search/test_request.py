"""What was asked for, what the space says, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archbench.errors import UsageError
from archbench.search.settings import Request, requested
from archbench.space import SearchSpace
from archbench.study.quota import usable_cores
from tests.search import tiny

_ARGUMENTS: dict[str, Any] = {
    "trials": None,
    "epochs": None,
    "time_limit_s": None,
    "name": None,
    "results": Path("results"),
    "data": None,
    "workers": None,
    "seed": None,
    "sampler": None,
    "pruner": None,
    "download": False,
}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.parse(tiny.space_text(Path("images")), source="toy.yaml")


def _request(space: SearchSpace, **changes: Any) -> Request:
    return requested(space, **{**_ARGUMENTS, **changes})


def test_the_space_speaks_where_nothing_is_said(space: SearchSpace) -> None:
    request = _request(space)
    assert (request.name, request.trials, request.seed) == ("toy", 6, 3)
    assert (request.sampler, request.data) == ("tpe", "images")
    assert request.command == "archbench search results/toy/space.yaml"


def test_what_is_said_counts_and_is_repeated_in_the_command(space: SearchSpace) -> None:
    request = _request(space, trials=9, seed=0, sampler="gp", data="folder:my photos", name="x")
    assert (request.name, request.trials, request.seed) == ("x", 9, 0)
    assert request.command == (
        "archbench search results/x/space.yaml --data 'folder:my photos' --trials 9 --seed 0 "
        "--sampler gp --name x"
    )


@pytest.mark.parametrize(("seconds", "told"), [(5400.0, "5400s"), (100.0, "100s"), (0.5, "0.5s")])
def test_a_time_limit_is_repeated_as_the_command_takes_it(
    space: SearchSpace, seconds: float, told: str
) -> None:
    assert _request(space, time_limit_s=seconds).command.endswith(f" --time {told}")


def test_a_shipped_space_is_repeated_by_its_name() -> None:
    assert _request(SearchSpace.load("quickstart")).command == "archbench search quickstart"
    changed = SearchSpace.load("quickstart", overrides=["search.trials=3"])
    assert _request(changed).command == "archbench search results/quickstart/space.yaml"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trials": 0}, "--trials: 0 cannot be"),
        ({"workers": 0}, "--workers: 0 cannot be"),
        ({"seed": -1}, "--seed: -1 cannot be"),
        ({"time_limit_s": 0.0}, "--time: 0.0 s is no time"),
        ({"sampler": "tpee"}, "--sampler: unknown sampler 'tpee'; did you mean tpe"),
        ({"name": "../x"}, "--name: '../x' cannot name a study"),
    ],
)
def test_what_cannot_be_is_refused(space: SearchSpace, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        _request(space, **changes)
    assert told in str(caught.value)


def test_workers_share_cores_by_threads_and_never_exceed_the_trials(space: SearchSpace) -> None:
    request = _request(space)
    assert request.num_workers(left=1) == 1
    assert 1 <= request.num_workers(left=1000) <= usable_cores()
    assert _request(space, workers=5).num_workers(left=1) == 5


def test_candidates_to_be_tried_are_of_different_sizes(space: SearchSpace) -> None:
    from archbench.models import count

    macs = [count(spec).macs for spec in _request(space).some_candidates(3)]
    assert macs == sorted(macs)
    assert len(set(macs)) == 3
