"""What the workers of an ablation do: time all forms in turn, train one form with one seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.records.environment import Environment
from archbench.records.measurement import Conditions, Measurement
from archbench.records.trial import CurvePoint
from archbench.search.stage import Progress

if TYPE_CHECKING:
    from archbench.evaluate import Proxy
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


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One training of one form; goes on where an interrupted one stood.

    Attributes:
        number: Of the training among those of the ablation.
        spec: The network as a document.
        proxy: What its accuracy is taken on, with what the form changes in the recipe.
        seed: Which training.
        checkpoint: Its file.
    """

    number: int
    spec: Mapping[str, Any]
    proxy: Proxy
    seed: int
    checkpoint: Path

    def run(self, send: Send) -> float:
        """Sends each point when its checkpoint is durable, and notes; gives the accuracy."""
        from archbench.evaluate import as_spec

        def tell(point: CurvePoint, path: Path, sha256: str) -> None:
            send(point)

        return self.proxy.train(
            as_spec(self.spec),
            seed=self.seed,
            checkpoint=self.checkpoint,
            sha256=None,
            weights=None,
            on_point=tell,
            on_note=send,
        )
