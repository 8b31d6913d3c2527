"""What does a network cost: exact arithmetic, and its latency on the devices of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from archbench.errors import UncountedOperatorError, UsageError, fault_text
from archbench.evaluate.foreign import Foreign, fetch_all, noise, opened
from archbench.evaluate.side_by_side import (
    Unavailable,
    choose,
    flips,
    speed_to_eager,
)
from archbench.evaluate.target import Target, calibrated, foreign_form
from archbench.measure.device import capture_environment
from archbench.measure.device import devices as machine_devices
from archbench.measure.latency.rounds import NETWORK_FAULTS
from archbench.measure.macs import OperatorCount, count_operators
from archbench.models import ArchSpec, ablation_names, build, count, paper, published_names
from archbench.models.arithmetic import Count, Work
from archbench.models.catalogue import Paper, published
from archbench.models.network import Written
from archbench.progress import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement

SCHEMA = "archbench.profile/1"
_COUNTED = ("params", "macs", "activations")


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """What one network costs.

    Attributes:
        spec: As it was profiled.
        count: Its arithmetic.
        stages: The same, stage by stage and the head; plain values.
        paper: What its paper prints, where it is as published.
        built: fvcore's count of the built network, where that was asked for.
        latency: One measurement for each device and batch; none where none was asked for.
        weights: The published weights that it was timed with, a file; None for fresh ones.
    """

    spec: ArchSpec
    count: Count
    stages: tuple[dict[str, Any], ...]
    paper: Paper | None = None
    built: OperatorCount | None = None
    latency: tuple[Measurement, ...] = ()
    weights: Path | None = None

    @property
    def agrees(self) -> bool | None:
        """Whether both counts agree to the unit; None where only one was taken."""
        if self.built is None:
            return None
        return all(getattr(self.count, what) == getattr(self.built, what) for what in _COUNTED)


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
    form: Foreign | None = None
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
            "flips": flips(self._latencies()),
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
        "built": {
            "counter": "fvcore",
            **{what: getattr(model.built, what) for what in _COUNTED},
            "agrees": model.agrees,
        }
        if model.built
        else None,
        "stages": list(model.stages),
        "form": "deployed",
        "form_reason": "",
        "latency": [_latency_document(each, among=model.latency) for each in model.latency],
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
        "form": model.form.form if model.form else None,
        "form_reason": model.form.form_reason if model.form else "",
        "latency": [_latency_document(each, among=model.latency) for each in model.latency],
        "spec": None,
    }


def _work_document(work: Work) -> dict[str, int]:
    kinds = ("convolution", "linear", "attention", "mlp")
    return {f"{kind}_macs": getattr(work, kind) for kind in kinds}


def _latency_document(latency: Measurement, *, among: Sequence[Measurement]) -> dict[str, Any]:
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
        "speed_to_eager": speed_to_eager(latency, among),
    }


BUDGET_S = 2.0
"""For each network: a person waits, and the interval says how sure the answer is."""


def profile(
    models: Written | Foreign | Sequence[Written | Foreign],
    *,
    batches: Sequence[int] = (1,),
    resolution: tuple[int, int] | int | None = None,
    threads: int = 1,
    devices: Sequence[str] | None = None,
    precision: str | Sequence[str] = "fp32",
    backend: str | Sequence[str] = "eager",
    latency: bool = True,
    check: bool = False,
    pretrained: bool = False,
    on_progress: Progress | None = None,
) -> Profile:
    """Parameters, MACs and activations of networks, and how long their deployed form takes.

    Networks of one resolution are timed in turn with one another.

    Args:
        models: Published names, specs, plain documents, or names of other networks such as
            ``timm:resnet50``, ``torchvision:swin_t`` and ``module:my_package.my_model:build``; one
            of them or several.
        batches: Images per forward pass.
        resolution: Height and width in pixels, or a side; each network's own by default.
        threads: CPU threads of one forward pass.
        devices: ``cpu``, ``cuda``; all that this machine has by default.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``int8``; one or several.
        backend: What runs the network, an entry of ``archbench/measure/backends``; one or
            several, or ``all`` that are here.
        latency: Whether to measure it at all.
        check: Whether to build each network and count it with fvcore, too: a forward pass each.
        pretrained: Whether to take published weights; fetched, where they are not kept yet.
        on_progress: Told what is being done, how much of it, and of how much.

    Raises:
        UsageError: A name is unknown, there is nothing to profile, or no weights are published.
        MissingError: The weights could not be fetched.
        SpecError: A network is illegal, also at the resolution asked for.
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    if isinstance(models, str | ArchSpec | Mapping | Foreign):
        models = [models]
    if not models:
        raise UsageError("no network to profile", help="name one, for example levit_128")
    networks = [opened(written, resolution=resolution) for written in models]
    weights = fetch_all(networks if pretrained else (), on_progress=on_progress)
    environment = capture_environment()
    profiles = [
        _foreign_counted(entry)
        if isinstance(entry, Foreign)
        else replace(_counted(entry, check=check), weights=weights.get(entry))
        for entry in networks
    ]
    left_out: list[Unavailable] = []
    for device in devices or machine_devices() if latency else ():
        for batch in batches:
            asked = Conditions(device=device, batch=batch, threads=threads)
            chosen, unavailable = choose(backend, precision, conditions=asked)
            left_out += unavailable
            for conditions in chosen:
                target = calibrated(conditions, environment=environment, on_progress=on_progress)
                profiles = _timed(profiles, target=target, on_progress=on_progress)
    return Profile(
        environment=environment,
        models=tuple(profiles),
        unavailable=tuple(dict.fromkeys(left_out)),
    )


def _foreign_counted(foreign: Foreign) -> ForeignProfile:
    """The count of a network that others wrote, which need not be countable."""
    params = sum(parameter.numel() for parameter in foreign.network.parameters())
    counted, reason = None, ""
    try:
        counted = count_operators(foreign.network, noise(foreign.resolution))
    except UncountedOperatorError as error:
        reason = f"{error.place}: {error.message}" if error.place else error.message
    except NETWORK_FAULTS as error:
        reason = fault_text(error)
    return ForeignProfile(foreign=foreign, params=params, counted=counted, uncounted=reason)


def _counted(spec: ArchSpec, *, check: bool) -> ModelProfile:
    counted = count(spec)
    stages = [
        _stage(
            f"stages[{index}]",
            work=counted.stages[index].total,
            embed=stage.embed.kind,
            block=", ".join(sorted({block.kind for block in stage.blocks})),
            grid=[stage.grid.height, stage.grid.width],
            dim=stage.dim,
            depth=len(stage.blocks),
        )
        for index, stage in enumerate(spec.resolved().stages)
    ]
    head = _stage("head", work=counted.head, dim=spec.stages[-1].dim)
    return ModelProfile(
        spec=spec,
        count=counted,
        stages=(*stages, head),
        paper=_paper(spec),
        built=count_operators(build(spec, seed=0), torch.zeros(1, 3, *spec.resolution))
        if check
        else None,
    )


def _stage(
    name: str,
    *,
    work: Work,
    dim: int,
    embed: str = "",
    block: str = "",
    grid: list[int] | None = None,
    depth: int = 0,
) -> dict[str, Any]:
    """The arithmetic of one stage; of the head, which has neither map nor blocks."""
    return {
        "name": name,
        "embed": embed,
        "block": block,
        "grid": grid,
        "dim": dim,
        "depth": depth,
        "params": work.params,
        "macs": work.macs,
        "activations": work.activations,
        "work": _work_document(work),
    }


def _paper(spec: ArchSpec) -> Paper | None:
    is_known = spec.name in (*published_names(), *ablation_names())
    return paper(spec.name) if is_known and published(spec.name).digest == spec.digest else None


def _timed(
    profiles: Sequence[ModelProfile | ForeignProfile],
    *,
    target: Target,
    on_progress: Progress | None,
) -> list[ModelProfile | ForeignProfile]:
    timed: dict[str, ArchSpec | Foreign] = {}
    weights: dict[str, Path | None] = {}
    for index, model in enumerate(profiles):
        if isinstance(model, ModelProfile):
            timed[str(index)], weights[str(index)] = model.spec, model.weights
        else:
            timed[str(index)] = foreign_form(
                model.foreign, conditions=target.conditions, forms=target.forms
            )
    measured = target.measure_together(
        timed, weights=weights, budget_s=BUDGET_S, on_progress=on_progress
    )
    found: list[ModelProfile | ForeignProfile] = []
    for index, model in enumerate(profiles):
        latency, form = (*model.latency, measured[str(index)]), timed[str(index)]
        if isinstance(model, ForeignProfile) and isinstance(form, Foreign):
            found.append(replace(model, latency=latency, form=form))
        else:
            found.append(replace(model, latency=latency))
    return found
