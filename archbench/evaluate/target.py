"""What latency is taken on: device, threads, constants; one for all candidates of a study."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from archbench.evaluate.foreign import Foreign
from archbench.measure.calibration import Calibration, Progress, calibrate
from archbench.measure.device import torch_threads
from archbench.measure.latency import measure_latency
from archbench.models import ArchSpec, build, deploy
from archbench.records.environment import Environment
from archbench.records.measurement import Conditions, Measurement

BUDGET_S = 10.0
SEARCH_BUDGET_S = 3.0  # a candidate of a search: the front is timed again at its end


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
        """The latency of the deployed form of a candidate with untrained weights, at short notice.

        Raises:
            SpecError: It is illegal.
            ArchbenchError: See ``archbench.measure.latency.measure_latency``.
        """
        found = self.measure_together({"candidate": spec}, budget_s=SEARCH_BUDGET_S)
        return found["candidate"]

    def measure_together(
        self,
        specs: Mapping[str, ArchSpec | Foreign],
        *,
        budget_s: float = BUDGET_S,
        on_progress: Progress | None = None,
    ) -> dict[str, Measurement]:
        """The latency of several, timed in turn with one another where resolutions agree.

        Args:
            specs: What is timed, by any names.
            budget_s: Seconds for each, where the machine does not settle before.
            on_progress: Told what is being done, how much of it, and of how much.

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
                budget_s=budget_s * len(alike),
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


def deployed(spec: ArchSpec | Foreign, conditions: Conditions) -> torch.nn.Module:
    """The form of a network that is timed, compared with the one that is trained."""
    if isinstance(spec, Foreign):
        with torch_threads(conditions.threads):
            return spec.deployed.network
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(conditions.batch, 3, *spec.resolution, generator=generator)
    with torch_threads(conditions.threads):
        return deploy(build(spec, seed=0), example)


def warm_up(threads: int) -> None:
    """Readies this process for trials of so many threads: what is heavy is imported."""
    import archbench.evaluate.proxy  # noqa: F401  training and data

    torch.set_num_threads(threads)


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
