"""What does a network cost: exact arithmetic, and its latency on the backends of this machine."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from archbench.data import Data
from archbench.errors import NETWORK_FAULTS, UncountedOperatorError, UsageError, fault_text
from archbench.evaluate.foreign import Foreign, noise, opened, several
from archbench.evaluate.quantised import no_calibration
from archbench.evaluate.target import Target, calibrated, images_of
from archbench.measure.backend import BACKENDS, absence, can_compute, require_backend
from archbench.measure.machine import devices as machine_devices
from archbench.measure.machine import environment_of
from archbench.measure.macs import count_operators
from archbench.models import ArchSpec, ablation_names, build, catalogue, count, published_names
from archbench.models.arithmetic import Work
from archbench.models.network import Written
from archbench.models.weights.hub import fetch_weights
from archbench.progress import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement

SCHEMA = "archbench.profile/1"
ALL = "all"
REFERENCE = "eager"
_COUNTED = ("params", "macs", "activations")


@dataclass(frozen=True, kw_only=True)
class ModelProfile:
    """What one network costs, ours or one of another library or of the user.

    ``counts`` is all of its document that is not timed: ours from its spec, others as fvcore counts
    them, with the reason where it cannot; the ``agrees`` of what was ``built`` says whether
    fvcore's count agrees to the unit. ``weights`` is the file of published weights, None for fresh
    ones.
    """

    network: ArchSpec | Foreign  # as it was profiled
    counts: Mapping[str, Any]
    weights: Path | None = None
    form: ArchSpec | Foreign | None = None  # what was timed last; None where nothing was
    latency: tuple[Measurement, ...] = ()  # for each device and batch

    def document(self) -> dict[str, Any]:
        """A network of a JSON document of the schema ``archbench.profile/1``."""
        is_ours, form = isinstance(self.network, ArchSpec), self.form
        return {
            **self.counts,
            "form": form.form if isinstance(form, Foreign) else "deployed" if is_ours else None,
            "form_reason": form.form_reason if isinstance(form, Foreign) else "",
            "latency": [_latency_document(each, among=self.latency) for each in self.latency],
            "spec": self.network.to_document() if isinstance(self.network, ArchSpec) else None,
        }


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What some networks cost on one machine, and which backends were left out, see `choose`."""

    environment: Environment
    models: tuple[ModelProfile, ...]
    unavailable: tuple[Mapping[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        """The profile as a JSON document of the schema ``archbench.profile/1``."""
        named: dict[str, tuple[Measurement, ...]] = {}  # of two with one name the first
        for model in self.models:
            named.setdefault(model.network.name, model.latency)
        return {
            "schema": SCHEMA,
            "environment": self.environment.document(),
            "models": [model.document() for model in self.models],
            "unavailable": [dict(entry) for entry in self.unavailable],
            "flips": flips(named),
        }


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
    devices: str | Sequence[str] | None = None,
    precision: str | Sequence[str] = "fp32",
    backend: str | Sequence[str] = "eager",
    latency: bool = True,
    check: bool = False,
    pretrained: bool = False,
    data: Data | None = None,
    on_progress: Progress | None = None,
) -> Profile:
    """Parameters, MACs and activations of networks, and how long their deployed form takes.

    ``models`` are one or several of published names, specs, plain documents, modules of torch,
    or names of other networks such as ``timm:resnet50``, ``torchvision:swin_t`` and
    ``module:my_package.my_model:build``. Networks of one ``resolution`` (height and width in
    pixels, or a side; their own by default) are timed in turn with one another, at each of
    ``batches`` images per forward pass, on all ``devices`` of this machine by default, in one or
    several of the precisions ``fp32``, ``bf16``, ``fp16`` and ``int8`` and of the entries of
    ``archbench/measure/backends`` (``all`` here).

    ``latency`` is whether to time at all, ``check`` whether to build each network and count it with
    fvcore, too: a forward pass each, and ``pretrained`` whether to take published weights; fetched,
    where they are not kept yet. For int8 networks are calibrated on images of ``data``.

    Raises:
        UsageError: A name is unknown, there is nothing to profile, no weights are published, or
            int8 is asked for without data.
        MissingError: The weights could not be fetched.
        SpecError: A network is illegal, also at the resolution asked for.
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    wanted = several(models)
    if not wanted:
        raise UsageError("no network to profile", help="name one, for example levit_128")
    networks = [opened(written, resolution=resolution) for written in wanted]
    files: list[Path | None] = [None for _ in networks]
    for index, entry in enumerate(networks if pretrained else ()):
        if isinstance(entry, Foreign):
            raise UsageError("no published weights are taken for it", place=entry.name)
        files[index] = fetch_weights(entry, on_progress=on_progress).path
    asked_for = _listed(devices) if devices else list(machine_devices())
    environment = environment_of(asked_for[0])
    profiles = [
        ModelProfile(
            network=entry,
            counts=_foreign_counts(entry)
            if isinstance(entry, Foreign)
            else _counts(entry, check=check, weights=file),
            weights=file,
        )
        for entry, file in zip(networks, files, strict=True)
    ]
    left_out: list[dict[str, str]] = []
    for device in asked_for if latency else ():
        for batch in batches:
            asked = Conditions(device=device, batch=batch, threads=threads)
            chosen, unavailable = choose(backend, precision, conditions=asked)
            left_out += [entry for entry in unavailable if entry not in left_out]
            if data is None and any(one.precision == "int8" for one in chosen):
                raise no_calibration()
            for conditions in chosen:
                target = calibrated(
                    conditions,
                    environment=environment,
                    images=images_of(data),
                    on_progress=on_progress,
                )
                profiles = _timed(profiles, target=target, on_progress=on_progress)
    return Profile(environment=environment, models=tuple(profiles), unavailable=tuple(left_out))


def _counts(spec: ArchSpec, *, check: bool, weights: Path | None) -> dict[str, Any]:
    counted, trained, built = count(spec), count(spec, training=True).total, None
    if check:
        found = count_operators(build(spec, seed=0), torch.zeros(1, 3, *spec.resolution))
        counts = {what: getattr(found, what) for what in _COUNTED}
        agrees = all(getattr(trained, what) == counts[what] for what in _COUNTED)
        built = {"counter": "fvcore", **counts, "agrees": agrees}
    stages = [
        {
            "name": f"stages[{index}]",
            "embed": stage.embed.kind,
            "block": ", ".join(sorted({block.kind for block in stage.blocks})),
            "grid": [stage.grid.height, stage.grid.width],
            "dim": stage.dim,
            "depth": len(stage.blocks),
            **_work(work.total),
        }
        for index, (stage, work) in enumerate(
            zip(spec.resolved().stages, counted.stages, strict=True)
        )
    ]
    head = {"name": "head", "embed": "", "block": "", "grid": None, "dim": spec.stages[-1].dim}
    is_known = spec.name in (*published_names(), *ablation_names())
    is_published = is_known and catalogue.published(spec.name).digest == spec.digest
    return {
        "name": spec.name,
        "origin": "archbench",
        "digest": spec.digest,
        "resolution": list(spec.resolution),
        "num_classes": spec.num_classes,
        **_work(counted.total),
        "training": _work(trained) if trained != counted.total else None,
        "paper": asdict(catalogue.entry(spec.name).paper) if is_published else None,
        "weights": str(weights) if weights else None,
        "built": built,
        "stages": [*stages, {**head, "depth": 0, **_work(counted.head)}],
    }


def _work(work: Work) -> dict[str, Any]:
    kinds = ("convolution", "linear", "attention", "mlp")
    by_kind = {f"{kind}_macs": getattr(work, kind) for kind in kinds}
    return {**{what: getattr(work, what) for what in _COUNTED}, "work": by_kind}


def _foreign_counts(foreign: Foreign) -> dict[str, Any]:
    """The count of a foreign network with the keys of ours; None where it has no such thing."""
    counted, reason = None, ""
    try:
        counted = count_operators(foreign.network, noise(foreign.resolution))
    except UncountedOperatorError as error:
        reason = f"{error.place}: {error.message}" if error.place else error.message
    except NETWORK_FAULTS as error:
        reason = fault_text(error)
    return {
        "name": foreign.name,
        "origin": foreign.origin,
        "digest": None,
        "resolution": list(foreign.resolution),
        "num_classes": None,
        "params": sum(parameter.numel() for parameter in foreign.network.parameters()),
        "macs": counted.macs if counted else None,
        "activations": counted.activations if counted else None,
        "uncounted": reason,
        "operators": dict(counted.by_operator) if counted else None,
        **dict.fromkeys(("work", "training", "paper", "weights", "built")),
        "stages": [],
    }


def _timed(
    profiles: Sequence[ModelProfile], *, target: Target, on_progress: Progress | None
) -> list[ModelProfile]:
    forms = {str(index): target.form(model.network) for index, model in enumerate(profiles)}
    measured = target.measure_together(
        forms,
        weights={str(index): model.weights for index, model in enumerate(profiles)},
        budget_s=BUDGET_S,
        on_progress=on_progress,
    )
    return [
        replace(model, form=forms[name], latency=(*model.latency, measured[name]))
        for name, model in zip(forms, profiles, strict=True)
    ]


def choose(
    backends: str | Sequence[str], precisions: str | Sequence[str], *, conditions: Conditions
) -> tuple[list[Conditions], list[dict[str, str]]]:
    """The conditions to measure under, eager first, and what was left out.

    Of ``all`` backends what cannot be had is left out; of those that are named it is refused. Told
    are backend, device and precision (empty where the backend cannot be had at all), the reason,
    and the help that brings it.

    Raises:
        UsageError: A name is unknown, or two do not go together, or nothing is left.
        MissingError: A backend that was asked for by its name is not there.
    """
    names, kinds = _listed(backends), _listed(precisions)
    is_all = ALL in names
    if is_all:
        names = [REFERENCE, *(name for name in BACKENDS.names if name != REFERENCE)]
    chosen: list[Conditions] = []
    left_out: list[dict[str, str]] = []
    device = conditions.device

    def leave_out(name: str, kind: str, reason: str, help: str) -> None:
        left = {"backend": name, "device": device, "precision": kind}
        left_out.append({**left, "reason": reason, "help": help})

    for name in names:
        missing = absence(name, device=device) if is_all else None
        if missing:
            leave_out(name, "", missing.message, missing.help or "")
            continue
        for kind in kinds:
            asked = replace(conditions, backend=name, precision=kind)
            # With a list of precisions each backend computes those of them that it has.
            if can_compute(asked) or not (is_all or len(kinds) > 1):
                require_backend(asked)
                chosen.append(asked)
            else:
                known = ", ".join(BACKENDS.load(name).PRECISIONS[device])
                reason = f"it does not compute {kind} on {device}"
                leave_out(name, kind, reason, f"it has {known}")
    if not chosen:
        raise UsageError(
            f"no backend computes {', '.join(kinds)} on {device}",
            place="precision",
            help="; ".join(f"{left['backend']}: {left['help']}" for left in left_out),
        )
    return chosen, left_out


def _listed(names: str | Sequence[str]) -> list[str]:
    """One or several names, each once; what is none is refused where it is looked up."""
    is_one = isinstance(names, str) or not isinstance(names, Iterable)
    return [cast(str, names)] if is_one else list(dict.fromkeys(names))


def speed_to_eager(latency: Measurement, among: Sequence[Measurement]) -> float | None:
    """How many times as fast as eager in fp32, at the same batch on the same device.

    Both are multiples of calibration networks timed in the same way, so that the state of the
    machine at either time cancels. None where eager was not measured, or without a value.
    """
    asked = latency.conditions
    for entry in among:
        here = entry.conditions
        is_eager = here.backend == REFERENCE and here.precision in ("fp32", "tf32")
        if is_eager and (here.device, here.batch) == (asked.device, asked.batch):
            return entry.value / latency.value if entry.value and latency.value else None
    return None


def flips(models: Mapping[str, Sequence[Measurement]]) -> list[dict[str, Any]]:
    """The pairs of networks of which each is faster under another backend, their intervals apart.

    Each names the networks, device and batch; ``first_wins`` are the backends, with precision,
    under which the first is faster, ``second_wins`` those under which the second is.
    """
    found: list[dict[str, Any]] = []
    for (first, mine), (second, theirs) in itertools.combinations(models.items(), 2):
        wins: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
        for one, other in zip(mine, theirs, strict=True):
            conditions = one.conditions
            label = f"{conditions.backend} {conditions.precision}"
            sides = wins.setdefault((conditions.device, conditions.batch), ([], []))
            if _is_faster(one, other):
                sides[0].append(label)
            elif _is_faster(other, one):
                sides[1].append(label)
        for (device, batch), (first_wins, second_wins) in wins.items():
            if first_wins and second_wins:
                place = {"first": first, "second": second, "device": device, "batch": batch}
                found.append({**place, "first_wins": first_wins, "second_wins": second_wins})
    return found


def _is_faster(one: Measurement, other: Measurement) -> bool:
    return one.high is not None and other.low is not None and one.high < other.low
