"""What does a network cost: exact arithmetic, and its latency on the devices of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch

from archbench.errors import UncountedOperatorError, UsageError, fault_text
from archbench.evaluate.foreign import Foreign, opened
from archbench.evaluate.pretrained import fetch_all
from archbench.evaluate.profiled import ForeignProfile, ModelProfile, Profile, StageProfile
from archbench.evaluate.side_by_side import Unavailable, choose
from archbench.evaluate.target import ForeignForm, Target, calibrated, foreign_form
from archbench.measure.device import capture_environment
from archbench.measure.device import devices as machine_devices
from archbench.measure.latency.rounds import NETWORK_FAULTS
from archbench.measure.macs import OperatorCount, count_operators
from archbench.models import ArchSpec, ablation_names, build, count, paper, published_names
from archbench.models.catalogue import Paper, published
from archbench.models.network import Written
from archbench.study.measurement import Conditions

Progress = Callable[[str, int, int], None]

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
    networks = [opened(written, resolution=resolution) for written in _several(models)]
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


def _several(models: Written | Foreign | Sequence[Written | Foreign]) -> list[Written | Foreign]:
    if isinstance(models, str | ArchSpec | Mapping | Foreign):
        return [models]
    if not models:
        raise UsageError("no network to profile", help="name one, for example levit_128")
    return list(models)


def _foreign_counted(foreign: Foreign) -> ForeignProfile:
    """The count of a network that others wrote, which need not be countable."""
    params = sum(parameter.numel() for parameter in foreign.network.parameters())
    try:
        counted = count_operators(foreign.network, foreign.example())
    except UncountedOperatorError as error:
        reason = f"{error.place}: {error.message}" if error.place else error.message
        return ForeignProfile(foreign=foreign, params=params, counted=None, uncounted=reason)
    except NETWORK_FAULTS as error:
        reason = fault_text(error)
        return ForeignProfile(foreign=foreign, params=params, counted=None, uncounted=reason)
    return ForeignProfile(foreign=foreign, params=params, counted=counted)


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
    profiles: Sequence[ModelProfile | ForeignProfile],
    *,
    target: Target,
    on_progress: Progress | None,
) -> list[ModelProfile | ForeignProfile]:
    profiles = [_formed(model, target=target) for model in profiles]
    by_index: dict[str, ArchSpec | ForeignForm] = {}
    for index, model in enumerate(profiles):
        timed = model.form if isinstance(model, ForeignProfile) else model.spec
        assert timed is not None
        by_index[str(index)] = timed
    weights = {str(i): m.weights for i, m in enumerate(profiles) if isinstance(m, ModelProfile)}
    measured = target.measure_together(
        by_index, weights=weights, budget_s=BUDGET_S, on_progress=on_progress
    )
    return [
        replace(model, latency=(*model.latency, measured[str(index)]))
        for index, model in enumerate(profiles)
    ]


def _formed(
    model: ModelProfile | ForeignProfile, *, target: Target
) -> ModelProfile | ForeignProfile:
    if isinstance(model, ModelProfile):
        return model
    form = foreign_form(model.foreign, conditions=target.conditions, forms=target.forms)
    return replace(model, form=form)
