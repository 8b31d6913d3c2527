"""What was asked for, what the space says, and what cannot be."""

from pathlib import Path
from typing import Any

import pytest

from archbench.errors import UsageError
from archbench.models import count
from archbench.search.settings import Settings, settings_of
from archbench.space import SearchSpace
from archbench.study.environment import usable_cores
from tests.search import tiny


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(tiny.space_text(Path("images")), source="toy.yaml")


def _settings(
    space: SearchSpace,
    *,
    name: str | None = None,
    data: str | None = None,
    budget: str | None = None,
    **said: Any,
) -> Settings:
    results = Path("results")
    return settings_of(space, said, name=name, results=results, data=data, confirm_budget=budget)


def test_the_space_speaks_where_nothing_is_said(space: SearchSpace) -> None:
    settings = _settings(space)
    assert (settings.name, settings.search.trials, settings.search.seed) == ("toy", 6, 3)
    assert (settings.search.sampler, settings.data) == ("tpe", "images")
    assert settings.command == "archbench search results/toy/space.yaml"


def test_what_is_said_counts_and_is_repeated_in_the_command(space: SearchSpace) -> None:
    said: dict[str, Any] = {"sampler": "gp", "data": "folder:my photos", "name": "x"}
    settings = _settings(space, trials=9, seed=0, time_limit_s=0.5, **said)
    assert (settings.name, settings.search.trials, settings.search.seed) == ("x", 9, 0)
    assert _settings(space, time_limit_s=5400.0).command.endswith(" --time 5400s")
    assert settings.command == (
        "archbench search results/x/space.yaml --data 'folder:my photos' --trials 9 --seed 0 "
        "--sampler gp --name x --time 0.5s"
    )


def test_a_shipped_space_is_repeated_by_its_name() -> None:
    assert _settings(SearchSpace.load("quickstart")).command == "archbench search quickstart"
    changed = SearchSpace.load("quickstart", overrides=["search.trials=3"])
    assert _settings(changed).command == "archbench search results/quickstart/space.yaml"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trials": 0}, "--trials: 0 is not a whole number from 1"),
        ({"workers": 0}, "--workers: 0 is not a whole number from 1"),
        ({"seed": -1}, "--seed: -1 is not a whole number from 0"),
        ({"time_limit_s": 0.0}, "--time: 0.0 is not a number above 0"),
        ({"sampler": "tpee"}, "--sampler: unknown sampler 'tpee'; did you mean tpe"),
    ],
)
def test_what_cannot_be_is_refused(space: SearchSpace, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        _settings(space, **changes)
    assert told in str(caught.value)


def test_workers_share_cores_by_threads_and_never_exceed_the_trials(space: SearchSpace) -> None:
    settings = _settings(space)
    assert settings.num_workers(left=1) == 1
    assert 1 <= settings.num_workers(left=1000) <= usable_cores()
    most = settings.num_workers(left=1000)
    assert _settings(space, workers=most).num_workers(left=1) == most


def test_more_workers_than_the_machine_serves_are_refused(space: SearchSpace) -> None:
    most = _settings(space).num_workers(left=10**6)
    told = f"--workers: {most + 1} workers are more than this machine serves, as each needs .*; "
    with pytest.raises(UsageError, match=f"{told}use up to {most}$"):
        _settings(space, workers=most + 1).num_workers(left=1)
    written = SearchSpace(
        tiny.space_text(Path("images")).replace("trials:", "workers: 100000, trials:"),
        source="toy.yaml",
    )
    with pytest.raises(UsageError, match=r"search\.workers: 100000 workers are more"):
        _settings(written).num_workers(left=1)


def test_candidates_to_be_tried_are_of_different_sizes(space: SearchSpace) -> None:
    macs = [count(spec).macs for spec in _settings(space).some_candidates(3)]
    assert macs == sorted(macs)
    assert len(set(macs)) == 3


@pytest.mark.parametrize(
    ("text", "seconds"), [("20%", 20.0), ("0", 0.0), ("90s", 90.0), ("10m", 600.0), ("250 %", 250)]
)
def test_a_budget_is_a_share_or_a_time(space: SearchSpace, text: str, seconds: float) -> None:
    assert _settings(space, budget=text).confirmation_seconds(100.0) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["many", "-3%", "2000%", "0.2"])
def test_another_budget_is_refused(space: SearchSpace, text: str) -> None:
    with pytest.raises(UsageError, match="neither a share such as 20% nor a time"):
        _settings(space, budget=text)
