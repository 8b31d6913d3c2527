"""How does a network serve: tails, throughput over batches, memory, energy?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from archbench.evaluate.target import deployed
from archbench.measure.backend import prepared
from archbench.measure.device import capture_environment
from archbench.measure.latency.calibration import calibrate
from archbench.measure.machine_cache import form_file
from archbench.measure.serving import Service, serve
from archbench.models import ArchSpec
from archbench.models.network import Written, as_spec
from archbench.progress import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

SCHEMA = "archbench.serving/1"
LARGEST_BATCH = 256
SATURATED = 0.95
"""Throughput is saturated at the smallest batch that reaches this share of the largest one."""

_GAIN = 1.05


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How one network serves.

    Attributes:
        spec: The network.
        environment: The machine and software.
        services: By batch, ascending.
    """

    spec: ArchSpec
    environment: Environment
    services: tuple[Service, ...]

    @property
    def saturating_batch(self) -> int | None:
        """The smallest batch with 95 % of the best throughput; None from one batch only."""
        if len(self.services) < 2:
            return None
        best = max(entry.images_per_second for entry in self.services)
        enough = [e for e in self.services if e.images_per_second >= SATURATED * best]
        return enough[0].conditions.batch

    def document(self) -> dict[str, Any]:
        """As it stands in a JSON document of the schema ``archbench.serving/1``."""
        return {
            "name": self.spec.name or self.spec.digest,
            "digest": self.spec.digest,
            "environment": self.environment.document(),
            "saturating_batch": self.saturating_batch,
            "batches": [
                {**asdict(entry), "images_per_second": entry.images_per_second}
                for entry in self.services
            ],
        }


def serving(
    written: Written,
    conditions: Conditions | None = None,
    *,
    batches: Sequence[int] = (),
    budget_s: float = 2.0,
    on_progress: Progress | None = None,
) -> Serving:
    """How the deployed form of a network serves at each batch.

    Args:
        written: A published name, a spec or a plain document.
        conditions: All but the resolution and the batch.
        batches: Images of a pass; by default doubled from 1 until a doubling brings less than 5 %.
        budget_s: Seconds for each batch.
        on_progress: Told what is being done, how much of it, and of how much.

    Raises:
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    conditions = conditions or Conditions()
    spec = as_spec(written)
    environment = capture_environment()
    found: list[Service] = []
    for batch in sorted(set(batches)) or _doubled():
        height, width = spec.resolution
        here = replace(conditions, batch=batch, resolution=(height, width))
        generator = torch.Generator().manual_seed(0)
        example = torch.randn(batch, 3, height, width, generator=generator)
        calibration = calibrate(here, environment=environment, on_progress=on_progress)
        forms = form_file(here, environment=environment, generation=calibration.generation)
        ready = prepared(deployed(spec, here, forms=forms), example, conditions=here)
        with calibration.bench(
            replace(here, precision=ready.precision), environment=environment
        ) as bench:
            service = serve(ready.run, bench=bench, budget_s=budget_s, on_progress=on_progress)
        found.append(service)
        if not batches and len(found) > 1:
            gain = service.images_per_second / found[-2].images_per_second
            if gain < _GAIN:
                break
    return Serving(spec=spec, environment=environment, services=tuple(found))


def document(found: Sequence[Serving]) -> dict[str, Any]:
    """Several networks as one JSON document."""
    return {"schema": SCHEMA, "networks": [entry.document() for entry in found]}


def _doubled() -> list[int]:
    return [2**power for power in range(LARGEST_BATCH.bit_length())]
