"""Objectives are told in the unit that fits their size."""

import pytest

from archbench.registry import Registry
from archbench.study.objective import OBJECTIVES, costs


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("macs", 53_312.0, "53.3 k MACs"),
        ("macs", 600_000.0, "600 k MACs"),
        ("macs", 304_660_832.0, "304.7 M MACs"),
        ("params", 7_777_058.0, "7.78 M parameters"),
        ("latency_ms", 0.532, "0.53 ms"),
        ("latency_ms", 0.0042, "0.0042 ms"),
        ("latency_ms", 0.0, "0.00 ms"),
        ("proxy_accuracy", 0.764, "76.4 %"),
        ("peak_memory_mb", 12.34, "12.3 MB"),
    ],
)
def test_a_value_is_told_with_its_unit(name: str, value: float, text: str) -> None:
    assert OBJECTIVES[name].text(value) == text


def test_a_file_of_the_folder_is_an_objective() -> None:
    names = Registry("archbench.study.objectives", noun="objective").names
    assert sorted(OBJECTIVES) == sorted(names)
    assert all(name == one.name for name, one in OBJECTIVES.items())


def test_costs_are_listed_by_their_source() -> None:
    assert costs("arithmetic") == ("macs", "params", "activations")
    assert costs()[:4] == ("latency_ms", *costs("arithmetic"))
