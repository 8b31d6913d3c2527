"""Searches of a made-up table of trainings, whose truth and whose prices are known."""

import json
import math
import os
from pathlib import Path
from types import ModuleType

import pytest

from archbench.space import SearchSpace
from tests.benchmarks import module

AXES = ("stages[0].dim", "stages[1].dim", "stages[1].depth")
EPOCHS = 3
SPACE = """
resolution: 32
num_classes: 10
stages:
  - {embed: {kind: conv, kernel: 4, stride: 4, norm: layer},
     block: {kind: cvt, head_dim: 8, mlp_ratio: 1, kv_stride: 1}, dim: 16, depth: 1}
  - {embed: {kind: conv, kernel: 3, stride: 2, padding: 1, norm: layer},
     block: {kind: cvt, head_dim: 16, mlp_ratio: 1, kv_stride: 1}, dim: 32, depth: 1}
head: {pool: mean, norm: batch, num_classifiers: 1}
axes:
  stages[0].dim: [16, 24, 32]
  stages[1].dim: [32, 48, 64]
  stages[1].depth: [1, 2, 3, 4]
objectives: {accuracy: max, macs: min}
proxy: {data: cluttered_digits, resolution: 32, stem: as_is, rungs: [1, 2, 3]}
"""


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    return module("search_peers", "search_peers")


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(SPACE, source="made-up.yaml")


@pytest.fixture(scope="module")
def found(peers: ModuleType, space: SearchSpace) -> dict:
    """Wider is better, deeper is not; two trainings of each network, the second .01 above."""
    trainings = {}
    for choices in space.enumerate():
        width = choices[AXES[0]] + choices[AXES[1]]
        end = 0.5 + 0.1 * width - 0.02 * choices[AXES[2]]
        digest = space.decode(choices).digest
        trainings[digest] = [
            peers.Training(
                digest=digest,
                choices=dict(choices),
                seed=seed,
                macs=1000 * (1 + width) * (1 + choices[AXES[2]]),
                accuracy=tuple(end * (e + 1) / EPOCHS + 0.01 * seed for e in range(EPOCHS)),
                cpu_seconds=6.0,
            )
            for seed in (0, 1)
        ]
    return trainings


def replay(peers: ModuleType, found: dict, *, seed: int = 0):
    return peers.Replay(found, axes=AXES, seed=seed)


def run_of(peers: ModuleType, found: dict, *, budget: float):
    return peers.Run(replay(peers, found), budget=budget, clock=lambda: 0.0)


def test_rung_costs_its_share_and_what_exceeds_the_budget_is_not_trained(
    peers: ModuleType, found: dict
) -> None:
    run_module = module("search_peers", "search_peers_run")
    run = run_of(peers, found, budget=7.0)
    choices = next(iter(found.values()))[0].choices
    rungs = run.epochs(choices)
    assert next(rungs)[0] == 1
    assert run.seconds == pytest.approx(2.0)
    with pytest.raises(run_module.Spent):
        list(run.epochs(choices))
    assert run.seconds == pytest.approx(6.0)


def test_repeated_network_costs_nothing_only_where_it_is_kept(
    peers: ModuleType, found: dict
) -> None:
    choices = next(iter(found.values()))[0].choices
    again = {}
    for keeps in (False, True):
        run = run_of(peers, found, budget=100.0)
        run.keeps = keeps
        assert run.train(choices) == run.train(choices)
        again[keeps] = run.seconds
    assert again == {False: pytest.approx(12.0), True: pytest.approx(6.0)}


def test_training_that_is_seen_does_not_judge(peers: ModuleType, found: dict) -> None:
    made = replay(peers, found)
    table, rows = made.judge()
    assert {training.seed for training in made.shown.values()} == {0, 1}
    for digest, training in made.shown.items():
        other = found[digest][1 - training.seed]
        assert table.truth[rows[digest]] == pytest.approx(other.accuracy[-1])


@pytest.mark.parametrize("name", ["archbench", "optuna_tpe", "optuna_nsga2_cached"])
def test_system_spends_its_budget_and_no_more(
    peers: ModuleType, found: dict, space: SearchSpace, name: str
) -> None:
    systems = module("search_peers", "search_peers_systems")
    run = systems.search(name, run_of(peers, found, budget=60.0), space=space, seed=0)
    assert 54.0 < run.seconds <= 60.0
    assert run.epochs_trained == round(run.seconds / 2)
    digests = [digest for _, digest, _ in run.events]
    if name == "archbench":
        assert len(set(digests)) == len(digests)
    table, rows = run.trainings.judge()
    shares = [share for _, share in peers.curve(run.events, table=table, rows=rows)]
    assert 0.0 < shares[-1] <= 1.0


def test_everything_known_is_the_whole_front(peers: ModuleType, found: dict) -> None:
    made = replay(peers, found)
    table, rows = made.judge()
    events = [(float(n), digest, table.truth[row]) for n, (digest, row) in enumerate(rows.items())]
    assert peers.curve(events, table=table, rows=rows)[-1][1] == pytest.approx(1.0)


def test_reach_is_when_the_mean_comes_to_what_the_best_peer_ends_with(peers: ModuleType) -> None:
    result = peers.search_peers_result

    def searched(system: str, seed: int, *shares: tuple[float, float]):
        return peers.Result(system, seed, 100.0, 1, 1, 0.0, shares)

    results = [
        searched("archbench", 0, (10.0, 0.5), (20.0, 0.9)),
        searched("archbench", 1, (10.0, 0.5), (40.0, 0.9)),
        searched("slow", 0, (50.0, 0.8)),
        searched("slow", 1, (90.0, 0.8)),
        searched("bad", 0, (1.0, 0.1)),
    ]
    assert result.best_peer(results) == "slow"
    told = result.reach(results, ours="archbench", peer="slow")
    assert (told.goal, told.seconds, told.own) == (0.8, 40.0, 90.0)
    assert told.low == 20.0
    assert math.isinf(result.reach(results, ours="bad", peer="slow").high)
    assert "reached after 40, 0.40 of its time" in result.text(results, marks=[50, 100])


def test_fronts_of_live_searches_are_judged_together(peers: ModuleType, tmp_path: Path) -> None:
    live = module("search_peers", "search_peers_live")
    members = [{"digest": "a", "cost": 1.0, "accuracy": 0.9, "spec": {}}]
    other = [{"digest": "b", "cost": 2.0, "accuracy": 0.7, "spec": {}}]
    head = {"seed": 0, "budget": 9, "cpu_seconds": 9.0, "trials": 3}
    path = tmp_path / "live.jsonl"
    lines = [
        {"system": "archbench", **head, "members": members},
        {"system": "optuna_tpe", **head, "members": other},
        {"judged": "a", "cost": 1.0, "accuracies": [0.8, 0.9]},
        {"judged": "b", "cost": 2.0, "accuracies": [0.5, 0.6]},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = live.table(path, chance=0.1).splitlines()[2:]
    assert first.endswith("| 1 | 1.000 |")
    # log 2.2 to log 2 against log 2.2 to log 1, .45 against .75 above chance
    expected = math.log(2.2 / 2) * 0.45 / (math.log(2.2) * 0.75)
    assert second.endswith(f"| 1 | {expected:.3f} |")


def test_cpu_time_of_this_process_is_what_the_system_counts(peers: ModuleType) -> None:
    live = module("search_peers", "search_peers_live")
    before = sum(os.times()[:4])
    told = live.cpu_seconds(os.getpid())
    assert before - 0.05 <= told <= sum(os.times()[:4]) + 0.05
