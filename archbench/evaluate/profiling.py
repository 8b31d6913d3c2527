"""What does a network cost: exact arithmetic, and its latency on the devices of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from archbench.errors import UsageError
from archbench.evaluate.target import Target, calibrated
from archbench.measure.device import devices as machine_devices
from archbench.measure.environment import capture_environment
from archbench.measure.macs import OperatorCount, count_operators
from archbench.models import ArchSpec, ablation_names, build, count, paper, published_names
from archbench.models.arithmetic import Count, Work
from archbench.models.catalogue import Paper, published
from archbench.models.network import Written, as_spec
from archbench.models.part import Grid
from archbench.records.environment import Environment
from archbench.records.measurement import Conditions, Measurement

SCHEMA = "archbench.profile/1"

Progress = Callable[[str, int, int], None]


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
    """

    spec: ArchSpec
    count: Count
    stages: tuple[StageProfile, ...]
    paper: Paper | None = None
    built: OperatorCount | None = None
    latency: tuple[Measurement, ...] = ()

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
class Profile:
    """What some networks cost on one machine.

    Attributes:
        environment: The machine and software.
        models: In the order asked for.
    """

    environment: Environment
    models: tuple[ModelProfile, ...]

    def document(self) -> dict[str, Any]:
        """The profile as a JSON document of the schema ``archbench.profile/1``."""
        environment = {"id": self.environment.id, **asdict(self.environment)}
        return {
            "schema": SCHEMA,
            "environment": environment,
            "models": [_model_document(model) for model in self.models],
        }


def profile(
    models: Written | Sequence[Written],
    *,
    batches: Sequence[int] = (1,),
    resolution: tuple[int, int] | int | None = None,
    threads: int = 1,
    devices: Sequence[str] | None = None,
    precision: str = "fp32",
    backend: str = "eager",
    latency: bool = True,
    check: bool = False,
    on_progress: Progress | None = None,
) -> Profile:
    """Parameters, MACs and activations of networks, and how long their deployed form takes.

    Networks of one resolution are timed in turn with one another.

    Args:
        models: Published names, specs or plain documents; one of them or several.
        batches: Images per forward pass.
        resolution: Height and width in pixels, or a side; each network's own by default.
        threads: CPU threads of one forward pass.
        devices: ``cpu``, ``cuda``; all that this machine has by default.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        backend: What runs the network, an entry of ``archbench/measure/backends``.
        latency: Whether to measure it at all.
        check: Whether to build each network and count it with fvcore, too: a forward pass each.
        on_progress: Told what is being done, how much of it, and of how much.

    Raises:
        UsageError: A name is unknown, or there is nothing to profile.
        SpecError: A network is illegal, also at the resolution asked for.
        ArchbenchError: See ``archbench.measure.latency.measure_latency``.
    """
    specs = [_at(as_spec(written), resolution) for written in _several(models)]
    environment = capture_environment()
    profiles = [_counted(spec, check=check) for spec in specs]
    if latency:
        for device in devices or machine_devices():
            for batch in batches:
                conditions = Conditions(
                    device=device,
                    backend=backend,
                    precision=precision,
                    batch=batch,
                    threads=threads,
                )
                target = calibrated(conditions, environment=environment, on_progress=on_progress)
                profiles = _timed(profiles, target=target, on_progress=on_progress)
    return Profile(environment=environment, models=tuple(profiles))


def _several(models: Written | Sequence[Written]) -> list[Written]:
    if isinstance(models, str | ArchSpec | Mapping):
        return [models]
    if not models:
        raise UsageError("no network to profile", help="name one, for example levit_128")
    return list(models)


def _at(spec: ArchSpec, resolution: tuple[int, int] | int | None) -> ArchSpec:
    if resolution is None:
        return spec
    sides = (resolution, resolution) if isinstance(resolution, int) else resolution
    return replace(spec, resolution=Grid(*sides))


def _counted(spec: ArchSpec, *, check: bool) -> ModelProfile:
    counted = count(spec)
    stages = [
        StageProfile(
            name=f"stages[{index}]",
            embed=stage.embed.kind,
            block=", ".join(sorted({block.kind for block in stage.blocks})),
            grid=(stage.grid.height, stage.grid.width),
            dim=stage.dim,
            depth=len(stage.blocks),
            work=counted.stages[index].total,
        )
        for index, stage in enumerate(spec.resolved().stages)
    ]
    head = StageProfile(
        name="head",
        embed="",
        block="",
        grid=None,
        dim=spec.stages[-1].dim,
        depth=0,
        work=counted.head,
    )
    return ModelProfile(
        spec=spec,
        count=counted,
        stages=(*stages, head),
        paper=_paper(spec),
        built=_built(spec) if check else None,
    )


def _paper(spec: ArchSpec) -> Paper | None:
    is_known = spec.name in (*published_names(), *ablation_names())
    return paper(spec.name) if is_known and published(spec.name).digest == spec.digest else None


def _built(spec: ArchSpec) -> OperatorCount:
    return count_operators(build(spec, seed=0), torch.zeros(1, 3, *spec.resolution))


def _timed(
    profiles: Sequence[ModelProfile], *, target: Target, on_progress: Progress | None
) -> list[ModelProfile]:
    by_index = {str(index): model.spec for index, model in enumerate(profiles)}
    measured = target.measure_together(by_index, on_progress=on_progress)
    return [
        replace(model, latency=(*model.latency, measured[str(index)]))
        for index, model in enumerate(profiles)
    ]


def _model_document(model: ModelProfile) -> dict[str, Any]:
    return {
        "name": model.spec.name,
        "digest": model.spec.digest,
        "resolution": list(model.spec.resolution),
        "num_classes": model.spec.num_classes,
        "params": model.count.params,
        "macs": model.count.macs,
        "activations": model.count.activations,
        "work": _work_document(model.count.total),
        "paper": asdict(model.paper) if model.paper else None,
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
        "latency": [_latency_document(latency) for latency in model.latency],
        "spec": model.spec.to_document(),
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


def _latency_document(latency: Measurement) -> dict[str, Any]:
    conditions = latency.conditions
    return {
        "device": conditions.device,
        "backend": conditions.backend,
        "precision": conditions.precision,
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
