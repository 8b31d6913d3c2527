"""What was found about networks and their latencies, and how it reads as a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archbench.evaluate.foreign import Foreign
from archbench.evaluate.side_by_side import Unavailable, flips, flips_document, speed_to_eager
from archbench.evaluate.target import ForeignForm
from archbench.measure.macs import OperatorCount
from archbench.models import ArchSpec
from archbench.models.arithmetic import Count, Work
from archbench.models.catalogue import Paper
from archbench.study.environment import Environment
from archbench.study.measurement import Measurement

SCHEMA = "archbench.profile/1"


@dataclass(frozen=True, kw_only=True)
class StageProfile:
    """The arithmetic of one stage, or of the head.

    Attributes:
        name: ``stages[0]``, or ``head``.
        embed: Kind of the embed; empty for the head.
        block: Kinds of the blocks; empty where there is none.
        grid: Height and width of its map in tokens; None for the head.
        dim: Width in channels.
        depth: Number of blocks.
        work: Parameters, activations, and MACs by kind.
    """

    name: str
    embed: str
    block: str
    grid: tuple[int, int] | None
    dim: int
    depth: int
    work: Work


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """What one network costs.

    Attributes:
        spec: As it was profiled.
        count: Its arithmetic.
        stages: The same, stage by stage and the head.
        paper: What its paper prints, where it is as published.
        built: fvcore's count of the built network, where that was asked for.
        latency: One measurement for each device and batch; none where none was asked for.
        weights: The published weights that it was timed with, a file; None for fresh ones.
    """

    spec: ArchSpec
    count: Count
    stages: tuple[StageProfile, ...]
    paper: Paper | None = None
    built: OperatorCount | None = None
    latency: tuple[Measurement, ...] = ()
    weights: Path | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether both counts agree to the unit; None where only one was taken."""
        if self.built is None:
            return None
        return all(
            getattr(self.count, what) == getattr(self.built, what)
            for what in ("params", "macs", "activations")
        )


@dataclass(frozen=True, kw_only=True)
class ForeignProfile:
    """What a network of another library, or of the user, costs; measured in the same way.

    Attributes:
        foreign: The network.
        params: Its parameters, shared ones once.
        counted: fvcore's count of it; None where it could not be counted.
        uncounted: Why it could not be counted.
        form: What was timed last; None where nothing was.
        latency: One measurement for each device and batch; none where none was asked for.
    """

    foreign: Foreign
    params: int
    counted: OperatorCount | None
    uncounted: str = ""
    form: ForeignForm | None = None
    latency: tuple[Measurement, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What some networks cost on one machine.

    Attributes:
        environment: The machine and software.
        models: In the order asked for.
        unavailable: Backends that were left out.
    """

    environment: Environment
    models: tuple[ModelProfile | ForeignProfile, ...]
    unavailable: tuple[Unavailable, ...] = ()

    def document(self) -> dict[str, Any]:
        """The profile as a JSON document of the schema ``archbench.profile/1``."""
        environment = self.environment.document()
        return {
            "schema": SCHEMA,
            "environment": environment,
            "models": [
                _foreign_document(model)
                if isinstance(model, ForeignProfile)
                else _model_document(model)
                for model in self.models
            ],
            "unavailable": [asdict(entry) for entry in self.unavailable],
            "flips": flips_document(flips(self._latencies())),
        }

    def _latencies(self) -> dict[str, tuple[Measurement, ...]]:
        """By the name of the network; of two with one name the first."""
        named: dict[str, tuple[Measurement, ...]] = {}
        for model in self.models:
            what = model.foreign if isinstance(model, ForeignProfile) else model.spec
            named.setdefault(what.name, model.latency)
        return named


def _model_document(model: ModelProfile) -> dict[str, Any]:
    return {
        "name": model.spec.name,
        "origin": "archbench",
        "digest": model.spec.digest,
        "resolution": list(model.spec.resolution),
        "num_classes": model.spec.num_classes,
        "params": model.count.params,
        "macs": model.count.macs,
        "activations": model.count.activations,
        "work": _work_document(model.count.total),
        "paper": asdict(model.paper) if model.paper else None,
        "weights": str(model.weights) if model.weights else None,
        "built": _built_document(model),
        "stages": [
            {
                "name": stage.name,
                "embed": stage.embed,
                "block": stage.block,
                "grid": list(stage.grid) if stage.grid else None,
                "dim": stage.dim,
                "depth": stage.depth,
                "params": stage.work.params,
                "macs": stage.work.macs,
                "activations": stage.work.activations,
                "work": _work_document(stage.work),
            }
            for stage in model.stages
        ],
        "form": "deployed",
        "form_reason": "",
        "latency": _latency_documents(model.latency),
        "spec": model.spec.to_document(),
    }


def _foreign_document(model: ForeignProfile) -> dict[str, Any]:
    """With the same keys as a network of the grammar; None where it has no such thing."""
    foreign, counted = model.foreign, model.counted
    return {
        "name": foreign.name,
        "origin": foreign.origin,
        "digest": None,
        "resolution": list(foreign.resolution),
        "num_classes": None,
        "params": model.params,
        "macs": counted.macs if counted else None,
        "activations": counted.activations if counted else None,
        "uncounted": model.uncounted,
        "operators": dict(counted.by_operator) if counted else None,
        "work": None,
        "paper": None,
        "weights": None,
        "built": None,
        "stages": [],
        "form": model.form.name if model.form else None,
        "form_reason": model.form.reason if model.form else "",
        "latency": _latency_documents(model.latency),
        "spec": None,
    }


def _built_document(model: ModelProfile) -> dict[str, Any] | None:
    if model.built is None:
        return None
    return {
        "counter": "fvcore",
        "params": model.built.params,
        "macs": model.built.macs,
        "activations": model.built.activations,
        "agrees": model.agrees,
    }


def _work_document(work: Work) -> dict[str, int]:
    kinds = ("convolution", "linear", "attention", "mlp")
    return {f"{kind}_macs": getattr(work, kind) for kind in kinds}


def _latency_documents(latencies: Sequence[Measurement]) -> list[dict[str, Any]]:
    return [
        {**_latency_document(latency), "speed_to_eager": speed_to_eager(latency, latencies)}
        for latency in latencies
    ]


def _latency_document(latency: Measurement) -> dict[str, Any]:
    conditions = latency.conditions
    return {
        "device": conditions.device,
        "backend": conditions.backend,
        "precision": conditions.precision,
        "precision_asked": latency.details.get("precision_asked", conditions.precision),
        "batch": conditions.batch,
        "threads": conditions.threads,
        "resolution": list(conditions.resolution),
        "median_ms": latency.value,
        "low_ms": latency.low,
        "high_ms": latency.high,
        "verdict": latency.verdict,
        "reason": latency.reason,
        "images_per_second": latency.details.get("images_per_second"),
        "forwards": len(latency.samples),
        "environment_id": latency.environment_id,
        "details": dict(latency.details),
    }
