"""The best of the batches that a network was timed at."""

from dataclasses import replace

import pytest

from archbench.study.objective import OBJECTIVES
from archbench.study.throughput import throughput, with_batches
from tests.study import example


def test_the_batch_of_the_least_time_per_image_counts() -> None:
    at_8, at_32 = (
        replace(example.latency(value), low=low, high=high)
        for value, low, high in ((10.0, 9.9, 10.1), (64.0, 63.0, 65.0))
    )
    latency = with_batches(example.latency(4.0), {8: at_8, 32: at_32})
    best = throughput(latency)
    assert best is not None
    assert (best.batch, best.ms) == (8, pytest.approx(10 / 8))
    # as wide as the latency, which is known to a tenth
    assert (best.low, best.high) == (pytest.approx(9 / 8), pytest.approx(11 / 8))
    record = example.trial(0, latency=latency)
    assert OBJECTIVES["ms_per_image"].value(record) == best.ms
    assert OBJECTIVES["ms_per_image"].interval(record) == (best.low, best.high)
    assert OBJECTIVES["images_per_s"].value(record) == pytest.approx(800)
    again = replace(latency, value=8.0, low=7.2, high=8.8)  # as the mean of two runs
    assert throughput(again) == replace(best, ms=20 / 8, low=18 / 8, high=22 / 8)


def test_a_batch_without_a_value_is_left_out_with_its_reason() -> None:
    latency = with_batches(
        example.latency(4.0), {64: replace(example.latency(None), reason="full")}
    )
    assert latency.details["batch_64_missing"] == "full"
    best = throughput(latency)
    assert best is not None
    assert (best.batch, best.ms) == (1, 4.0)
    assert throughput(example.latency(None)) is None
