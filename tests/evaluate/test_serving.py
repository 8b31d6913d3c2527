"""How a network serves: batches, and where more of them bring nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archbench.evaluate.serving import Serving, document, serving
from archbench.measure.device import capture_environment
from archbench.measure.serving import Quantity, Service
from archbench.models.spec import ArchSpec
from archbench.study.measurement import Conditions
from tests.evaluate.toy import SPEC

NONE = Quantity(unit="ms", reason="none")


def service(batch: int, *, rate: float) -> Service:
    return Service(
        conditions=Conditions(batch=batch),
        ms=1e3 * batch / rate,
        wall_ms=(1.0,),
        **dict.fromkeys(("p50", "p95", "p99", "peak", "energy"), NONE),
        off_cpu=0.0,
    )


@pytest.mark.parametrize(
    ("rates", "batch"),
    [({1: 100.0, 2: 190.0, 4: 196.0}, 2), ({1: 100.0, 2: 90.0}, 1), ({1: 100.0}, None)],
)
def test_saturating_batch_is_the_smallest_near_the_best(
    rates: dict[int, float], batch: int | None
) -> None:
    found = Serving(
        spec=ArchSpec.from_document(SPEC),
        environment=capture_environment(),
        services=tuple(service(b, rate=rate) for b, rate in rates.items()),
    )
    assert found.saturating_batch == batch


def test_each_batch_is_served() -> None:
    found = serving(replace(ArchSpec.from_document(SPEC)), batches=(2, 1), budget_s=0.0)
    assert [entry.conditions.batch for entry in found.services] == [1, 2]
    assert all(entry.ms > 0 and entry.p50.value for entry in found.services)
    (entry,) = document([found])["networks"]
    assert entry["batches"][1]["conditions"]["batch"] == 2
