"""What latency is taken on: device, threads, constants; one for all candidates of a study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from archbench.measure.calibration import Calibration, Progress, calibrate
from archbench.measure.latency import measure_latency
from archbench.models import ArchSpec, build, deploy
from archbench.records.environment import Environment
from archbench.records.measurement import Conditions, Measurement

BUDGET_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """On what and how latency is measured.

    Attributes:
        conditions: All but the resolution, which is each spec's own.
        environment: The machine and software, captured before anything was pinned.
        constants: The calibration's, see ``calibrated``.
    """

    conditions: Conditions
    environment: Environment
    constants: Mapping[str, Any]

    def measure(self, spec: ArchSpec) -> Measurement:
        """The latency of the deployed form of a candidate with untrained weights.

        Raises:
            SpecError: It is illegal.
            ArchbenchError: See ``archbench.measure.latency.measure_latency``.
        """
        return self.measure_together({"candidate": spec})["candidate"]

    def measure_together(
        self, specs: Mapping[str, ArchSpec], *, on_progress: Progress | None = None
    ) -> dict[str, Measurement]:
        """The latency of several, timed in turn with one another where resolutions agree.

        Raises:
            SpecError: One is illegal.
            ArchbenchError: See ``archbench.measure.latency.measure_latency``.
        """
        found: dict[str, Measurement] = {}
        for resolution in sorted({tuple(spec.resolution) for spec in specs.values()}):
            alike = {n: spec for n, spec in specs.items() if tuple(spec.resolution) == resolution}
            height, width = resolution
            conditions = replace(self.conditions, resolution=(height, width))
            found |= measure_latency(
                {name: deployed(spec, conditions) for name, spec in alike.items()},
                conditions=conditions,
                environment=self.environment,
                calibration=_calibration(json.dumps(self.constants, sort_keys=True)),
                budget_s=BUDGET_S * len(alike),
                on_progress=on_progress,
            )
        return {name: found[name] for name in specs}


def calibrated(
    conditions: Conditions, *, environment: Environment, on_progress: Progress | None = None
) -> Target:
    """The target of these conditions, with this machine's constants (taken now, if never before).

    Raises:
        ArchbenchError: See ``archbench.measure.calibration.calibrate``.
    """
    calibration = calibrate(conditions, environment=environment, on_progress=on_progress)
    constants = {
        "environment_id": calibration.environment_id,
        "settings": dict(calibration.settings),
        "constants_ms": dict(calibration.constants_ms),
        "note": calibration.note,
    }
    return Target(conditions=conditions, environment=environment, constants=constants)


def deployed(spec: ArchSpec, conditions: Conditions) -> torch.nn.Module:
    """The form of a network that is timed, compared with the one that is trained."""
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(conditions.batch, 3, *spec.resolution, generator=generator)
    return deploy(build(spec, seed=0), example)


def target_document(target: Target) -> dict[str, Any]:
    """The target as a study's header keeps it, JSON-able."""
    return {
        "conditions": asdict(target.conditions),
        "environment": asdict(target.environment),
        "calibration": dict(target.constants),
    }


@lru_cache(maxsize=4)
def _calibration(constants: str) -> Calibration:
    """Kept in a process with its networks, which take longer to prepare than to time."""
    return Calibration(**json.loads(constants))
