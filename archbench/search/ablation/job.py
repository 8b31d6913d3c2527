"""What a worker of an ablation does beside trainings: it times all forms in turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archbench.search.stage import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement

if TYPE_CHECKING:
    from archbench.search.job import Send


@dataclass(frozen=True, kw_only=True)
class TimingJob:
    """Times the deployed form of every network, all of them in turn with one another.

    Attributes:
        specs: Digest to network, as documents.
        conditions: All but the resolution, which is each network's own.
        environment: The machine, captured before anything was pinned.
        budget_s: Seconds for each, where the machine does not settle before.
    """

    number: int = 0
    specs: Mapping[str, Mapping[str, Any]]
    conditions: Conditions
    environment: Environment
    budget_s: float

    def run(self, send: Send) -> dict[str, Measurement]:
        """Sends how far it is; digest to latency."""
        from archbench.evaluate import as_spec, calibrated

        def tell(what: str, done: int, total: int) -> None:
            send(Progress(what=what, done=done, total=total))

        target = calibrated(self.conditions, environment=self.environment, on_progress=tell)
        specs = {digest: as_spec(spec) for digest, spec in self.specs.items()}
        return target.measure_together(specs, budget_s=self.budget_s, on_progress=tell)
