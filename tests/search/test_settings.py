"""What was asked for, what the space says, and what cannot be."""

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

import archbench
from archbench.errors import UsageError
from archbench.models import count
from archbench.search.certificate import certify
from archbench.search.sampler import load_sampler
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
    data: Any = None,
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


class Rule:
    """A pruner of somebody's."""

    ASKS = False

    def judge(self, situation: object) -> None:
        """Never asked."""


class MySampler(optuna.samplers.RandomSampler):
    """A sampler of somebody's."""


@pytest.mark.parametrize(
    ("sampler", "name"),
    [
        (optuna.samplers.TPESampler(seed=3), "object:TPESampler"),
        (optuna.samplers.TPESampler, "optuna:TPESampler"),
        (MySampler, "module:tests.search.test_settings:MySampler"),
        (MySampler(), "object:MySampler"),
    ],
)
def test_a_sampler_may_be_a_class_or_an_object(
    space: SearchSpace, sampler: object, name: str
) -> None:
    settings = _settings(space, sampler=sampler)
    assert settings.search.sampler == name
    if name.startswith("object:"):
        assert settings.sampler is not None
        assert settings.sampler.make(None) is sampler  # type: ignore[arg-type]
    else:
        assert load_sampler(name).make(SimpleNamespace(seed=0))  # type: ignore[arg-type]


def test_a_pruner_may_be_an_object_or_a_module(space: SearchSpace) -> None:
    rule = Rule()
    settings = _settings(space, pruner=rule)
    assert (settings.search.pruner, settings.pruner) == ("object:Rule", rule)
    module = importlib.import_module("archbench.search.pruners.none")
    assert _settings(space, pruner=module).search.pruner == f"module:{module.__name__}"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"sampler": 5}, "--sampler: 5 is not a name"),
        ({"sampler": optuna.samplers.GridSampler({"x": [1]})}, "cannot search for a front"),
        ({"sampler": "object:TPESampler"}, "was given as an object, which no name makes again"),
        ({"pruner": optuna.pruners.MedianPruner()}, "MedianPruner judges one objective"),
        ({"pruner": object()}, "--pruner: .*is not a name"),
        ({"pruner": "object:Rule"}, r"give it in Python: archbench.search\(..., pruner=pruner\)"),
        ({"data": 5}, "data: got an int, which cannot be taken here"),
        ({"name": 5}, "--name: 5 cannot name a study"),
    ],
)
def test_what_is_no_entry_is_refused_in_our_words(
    space: SearchSpace, said: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        _settings(space, **said)


def test_results_may_be_text(space: SearchSpace) -> None:
    assert settings_of(space, {}, name="x", results="some").path == Path("some/x")
    with pytest.raises(UsageError, match=r"results: got an int, which .*; give a path"):
        settings_of(space, {}, name="x", results=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("call", [archbench.search, certify])
def test_a_space_may_be_a_dict_and_anything_else_is_refused(call: Any, tmp_path: Path) -> None:
    document = {"base": "levit_128s", "axes": {"stages[0].dim": [96, 128]}}
    with pytest.raises(UsageError, match="--name: '/' cannot name a study"):
        call(document, name="/", results=str(tmp_path))
    for space in (5, archbench.ArchSpec):
        with pytest.raises(UsageError, match=r"space: got an? .*, which .*; give a file"):
            call(space)


def test_one_study_to_start_from_may_be_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--from results/quickstart --from some/study"):
        archbench.search("quickstart", resume=True, start_from="some/study")
    with pytest.raises(UsageError, match="start_from: got an int"):
        archbench.search("quickstart", start_from=[5])  # type: ignore[list-item]
