"""How does a network serve: tails, throughput over batches, memory, energy?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archbench.evaluate.foreign import noise
from archbench.evaluate.target import calibrated, deployed
from archbench.measure.backend import prepared
from archbench.measure.machine import capture_environment
from archbench.measure.serving import serve
from archbench.models.network import Written, as_spec
from archbench.progress import Progress
from archbench.study.measurement import Conditions

SCHEMA = "archbench.serving/1"
SATURATED = 0.95
"""Throughput is saturated at the smallest batch that reaches this share of the largest one."""

_GAIN = 1.05
_DOUBLED = [2**power for power in range(9)]


def serving(
    written: Written,
    conditions: Conditions | None = None,
    *,
    batches: Sequence[int] = (),
    budget_s: float = 2.0,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """How the deployed form of a network serves at each batch, of ``budget_s`` seconds.

    It is a network of a JSON document of the schema ``archbench.serving/1``, its batches ascending;
    by default they are doubled from 1 until a doubling brings less than 5 % of images per second.

    Raises:
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    spec, environment = as_spec(written), capture_environment()
    height, width = spec.resolution
    found: list[dict[str, Any]] = []
    for batch in sorted(set(batches)) or _DOUBLED:
        here = replace(conditions or Conditions(), batch=batch, resolution=(height, width))
        target = calibrated(here, environment=environment, on_progress=on_progress)
        network = deployed(spec, here, forms=target.forms)
        ready = prepared(network, noise(spec.resolution, batch=batch), conditions=here)
        with target.bench(precision=ready.precision, on_progress=on_progress) as bench:
            service = serve(ready.run, bench=bench, budget_s=budget_s)
        found.append(service)
        if not batches and len(found) > 1:
            gain = service["images_per_second"] / found[-2]["images_per_second"]
            if gain < _GAIN:
                break
    paces = {entry["conditions"]["batch"]: entry["images_per_second"] for entry in found}
    return {
        "name": spec.name or spec.digest,
        "digest": spec.digest,
        "environment": environment.document(),
        "saturating_batch": saturating_batch(paces),
        "batches": found,
    }


def saturating_batch(images_per_second: Mapping[int, float]) -> int | None:
    """The smallest batch with 95 % of the best throughput; None from one batch only."""
    enough = SATURATED * max(images_per_second.values())
    found = min(batch for batch, pace in images_per_second.items() if pace >= enough)
    return found if len(images_per_second) > 1 else None
