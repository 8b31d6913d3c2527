"""How a network serves: batches, and where more of them bring nothing."""

from __future__ import annotations

import pytest

from archbench.evaluate.serving import saturating_batch, serving
from tests.evaluate.toy import SPEC


@pytest.mark.parametrize(
    ("rates", "batch"),
    [({1: 100.0, 2: 190.0, 4: 196.0}, 2), ({1: 100.0, 2: 90.0}, 1), ({1: 100.0}, None)],
)
def test_saturating_batch_is_the_smallest_near_the_best(
    rates: dict[int, float], batch: int | None
) -> None:
    assert saturating_batch(rates) == batch


def test_each_batch_is_served() -> None:
    found = serving(SPEC, batches=(2, 1), budget_s=0.0)
    assert [entry["conditions"]["batch"] for entry in found["batches"]] == [1, 2]
    assert all(entry["ms"] > 0 and entry["p50"]["value"] for entry in found["batches"])
