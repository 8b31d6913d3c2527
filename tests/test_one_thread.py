"""One thread computes what is small, and afterwards the setting is what it was."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
import scipy.linalg  # noqa: F401  # brings its own BLAS
from threadpoolctl import ThreadpoolController

from archbench import CostAwareSampler, SearchSpace
from archbench.one_thread import one_thread
from archbench.search.sampler import load_sampler
from archbench.search.suggestion import Suggester

_BLAS = ThreadpoolController().select(user_api="blas")


def _threads() -> set[int]:
    return {library["num_threads"] for library in _BLAS.info()}


@pytest.fixture(autouse=True)
def two_threads() -> Any:
    if not _BLAS.info():
        pytest.skip("this BLAS has no number of threads")
    with _BLAS.limit(limits=2):
        yield


def test_setting_is_put_back_after_nested_blocks() -> None:
    with one_thread():
        with one_thread():
            assert _threads() == {1}
        assert _threads() == {1}
    assert _threads() == {2}


def test_blocks_of_two_threads_leave_the_setting_as_it_was() -> None:
    def work() -> None:
        for _ in range(200):
            with one_thread():
                np.ones((4, 4)) @ np.ones((4, 4))

    both = [threading.Thread(target=work) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert _threads() == {2}


def test_sampler_asks_its_candidates_costs_in_one_thread() -> None:
    seen = set()

    def cost(params: Mapping[str, Any]) -> list[float]:
        seen.update(_threads())
        return [float(params["width"])]

    sampler = CostAwareSampler(
        cost=cost, distributions={"width": optuna.distributions.IntDistribution(1, 9)}, seed=0
    )
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.ask().suggest_int("width", 1, 9)
    assert (seen, _threads()) == ({1}, {2})


def test_search_predicts_its_candidates_latencies_in_one_thread() -> None:
    space, seen = SearchSpace.load("quickstart"), set()

    def predict(spec: Any) -> float:
        seen.update(_threads())
        return 1.0

    suggester = Suggester(
        space,
        sampler=load_sampler("cost_aware"),
        seed=0,
        directions=list(space.objectives.values()),
        predict=predict,
    )
    suggester.suggest(0)
    assert (seen, _threads()) == ({1}, {2})
