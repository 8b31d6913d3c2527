"""What latency is taken on: device, threads, constants; one for all candidates of a study."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archbench.data import Data, name_of, normalise
from archbench.errors import NETWORK_FAULTS, ArchbenchError, fault_text
from archbench.evaluate.foreign import Foreign, noise
from archbench.evaluate.proxy import open_data
from archbench.evaluate.quantised import calibration_images, no_calibration
from archbench.exactness import Standard
from archbench.measure.agreement import checked_error, prepared
from archbench.measure.backend import BACKENDS, Runnable, placed
from archbench.measure.device.link import LinkError, asked_again
from archbench.measure.latency.calibration import Anchor, CalibratedBench, Calibration, calibrate
from archbench.measure.latency.latency import measure_latency
from archbench.measure.machine import environment_of, torch_threads
from archbench.measure.machine_cache import PROTOCOL, FormFile, form_file, protocol_of
from archbench.measure.serving import peak_memory_of
from archbench.models import ArchSpec, Deployed, as_spec, build, deploy, fold, load_weights
from archbench.models.part import Grid
from archbench.progress import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement
from archbench.study.throughput import with_batches

Alone = Callable[[], AbstractContextManager[None]]

BUDGET_S = 10.0
SEARCH_BUDGET_S = 3.0  # a candidate of a search: the front is timed again at its end
_SIDE = 64  # of images that tell int8 nothing but the ranges
_CALIBRATED = 8  # images for int8: speed does not depend on the ranges that they show


@dataclass(frozen=True, kw_only=True)
class Target:
    """On what and how latency is measured; the resolution is each spec's own.

    The environment is captured before anything is pinned, the constants are the calibration's with
    the ``anchors`` if there are any, and the details what is to be taken beside the latency:
    ``peak_memory_bytes``. A candidate is timed at further ``batches``, too. For int8 the ``images``
    are the name of data and the side at which they are loaded.
    """

    conditions: Conditions
    environment: Environment
    constants: Mapping[str, Any]
    details: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    images: tuple[str, int] | None = None

    def at(self, precision: str) -> Self:
        """The target of another precision; anchors and constants are the same."""
        return replace(self, conditions=replace(self.conditions, precision=precision))

    @property
    def calibration(self) -> Calibration:
        """The constants with their networks, which a process keeps: preparing them takes long."""
        constants = dict(self.constants)
        anchors = tuple(_anchor(one, target=self) for one in constants.pop("anchors", ()))
        return replace(_calibration(json.dumps(constants)), anchors=anchors)

    def __hash__(self) -> int:
        return hash(self.conditions)  # the constants are a mapping, which has no hash

    def anchored(
        self,
        specs: Sequence[ArchSpec],
        *,
        known: Sequence[Mapping[str, Any]] = (),
        on_progress: Progress | None = None,
    ) -> Self:
        """The target on which networks are timed in turn with two of these, its anchors.

        They are those that are ``known``, else the fastest and the slowest, and their constants
        what they take by the calibration networks. Those that cannot be timed are left out. They
        are there for the state of the machine, so that in int8, too, they run in fp32.

        Raises:
            ArchbenchError: See ``measure``.
        """
        found = list(known)
        if not found:
            is_int8 = self.conditions.precision == "int8"
            target = replace(self.at("fp32") if is_int8 else self, batches=())
            for spec in specs:
                taken = target.measure(spec, on_progress=on_progress)
                if taken.value is not None:
                    told = {"spec": spec.to_document(), "constant_ms": taken.value}
                    interval = {"low_ms": taken.low, "high_ms": taken.high}
                    found.append({**told, **interval, "reason": taken.reason})
            found.sort(key=lambda one: one["constant_ms"])
            del found[1:-1]
        return replace(self, constants={**self.constants, "anchors": found}) if found else self

    @property
    def forms(self) -> FormFile:
        """The forms of layers that were decided on with these constants."""
        return form_file(
            self.conditions,
            environment=self.environment,
            generation=int(self.constants.get("generation", 1)),
        )

    def bench(
        self, *, precision: str | None = None, on_progress: Progress | None = None
    ) -> AbstractContextManager[CalibratedBench]:
        """A bench for these conditions, or for the precision that a network really computes.

        Raises:
            ArchbenchError: See ``Calibration.bench``.
        """
        conditions = replace(self.conditions, precision=precision or self.conditions.precision)
        return self.calibration.bench(
            conditions, environment=self.environment, on_progress=on_progress
        )

    def measure(
        self,
        spec: ArchSpec | Foreign,
        *,
        budget_s: float = SEARCH_BUDGET_S,
        alone: Alone = nullcontext,
        on_progress: Progress | None = None,
    ) -> Measurement:
        """The latency of the deployed form of a candidate with untrained weights, at short notice.

        It knows what passes of the target's further batches take, timed in turn with its own;
        ``alone`` keeps others from working while the passes are timed.

        Raises:
            SpecError: It is illegal.
            ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
        """
        batches = {f"batch {batch}": batch for batch in (self.conditions.batch, *self.batches)}
        forms = dict.fromkeys(batches, self.form(spec))
        measured = self.measure_together(
            forms, batches=batches, budget_s=budget_s, alone=alone, on_progress=on_progress
        )
        first, *others = batches
        return with_batches(measured[first], {batches[name]: measured[name] for name in others})

    def measure_together(
        self,
        specs: Mapping[str, ArchSpec | Foreign],
        *,
        weights: Mapping[str, Path | None] | None = None,
        batches: Mapping[str, int] | None = None,
        budget_s: float = BUDGET_S,
        together: float | None = None,
        alone: Alone = nullcontext,
        on_progress: Progress | None = None,
    ) -> dict[str, Measurement]:
        """The latency of several, each at its own resolution, timed in turn with one another.

        They have the weights of files, or fresh ones, and may have batches of their own. Each takes
        so many seconds, where the machine does not settle before; ``together`` is that of
        ``measure_latency``.

        Raises:
            SpecError: One is illegal.
            ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
        """
        has_peak, batches = "peak_memory_bytes" in self.details, batches or {}
        own = {name: self._seen_by(spec, batch=batches.get(name)) for name, spec in specs.items()}
        networks = _networks(specs, conditions=own, weights=weights or {}, forms=self.forms)
        seen = set(own.values())
        images = {one: replace(self, conditions=one).calibration_batches() for one in seen}
        held = nullcontext if self.conditions.is_remote else alone  # nobody here disturbs there

        def timed() -> dict[str, Measurement]:
            with self.bench(on_progress=on_progress) as bench, held():
                return measure_latency(
                    networks,
                    bench=bench,
                    budget_s=budget_s * len(networks),
                    together=together,
                    conditions=own,
                    images={name: images[one] for name, one in own.items()},
                )

        try:
            measured = asked_again(timed, on_progress=on_progress)
        except LinkError as lost:
            without, here = partial(Measurement.without_value, lost.message), self.environment.id
            measured = {name: without(at, environment_id=here) for name, at in own.items()}
        return {
            name: _detailed(measured[name], network, has_peak=has_peak)
            for name, network in networks.items()
        }

    def _seen_by(self, spec: ArchSpec | Foreign, *, batch: int | None) -> Conditions:
        """The conditions at the resolution of a network, and at its batch where it has one."""
        (height, width), batch = spec.resolution, batch or self.conditions.batch
        return replace(self.conditions, resolution=(height, width), batch=batch)

    def calibration_batches(self) -> list[Tensor]:
        """Training images on which int8 is calibrated, enlarged, for a latency; else none.

        Raises:
            UsageError: No data are named.
            ArchbenchError: The data cannot be had.
        """
        conditions = self.conditions
        if conditions.precision != "int8":
            return []
        if self.images is None:
            raise no_calibration()
        name, side = self.images
        found = calibration_images(open_data(name, resolution=side).train)
        number = conditions.batch * max(1, _CALIBRATED // conditions.batch)
        chosen = normalise(found[torch.arange(number) % len(found)])
        enlarged = F.interpolate(chosen, size=conditions.resolution, mode="bilinear")
        return list(enlarged.split(conditions.batch))

    def form(self, entry: ArchSpec | Foreign) -> ArchSpec | Foreign:
        """What is timed: of a foreign network its deployed form, or it as it is with the reason."""
        if isinstance(entry, ArchSpec):
            return entry
        network, reason = entry.network.eval(), ""
        try:
            with torch.inference_mode():
                output = network(noise(entry.resolution))
            if isinstance(output, Tensor):
                network = _deployed(network, entry.resolution, self.conditions, forms=self.forms)
            else:
                reason = "its output is not a single tensor"
        except (ArchbenchError, *NETWORK_FAULTS) as error:
            reason = fault_text(error)
        form = "as built" if reason else "deployed"
        return replace(entry, network=network, form=form, form_reason=reason)


def calibrated(
    conditions: Conditions,
    *,
    environment: Environment | None = None,
    images: tuple[str, int] | None = None,
    on_progress: Progress | None = None,
) -> Target:
    """The target of these conditions, with this machine's constants (taken now, if never before).

    Raises:
        ArchbenchError: See ``archbench.measure.latency.calibration.calibrate``.
    """
    environment = environment_of(conditions.device, here=environment)
    take = partial(calibrate, conditions, environment=environment, on_progress=on_progress)
    calibration = asked_again(take, on_progress=on_progress)
    kept = ("environment_id", "settings", "constants_ms", "note", "generation")
    constants = {key: getattr(calibration, key) for key in kept}
    return Target(
        conditions=conditions, environment=environment, constants=constants, images=images
    )


def known_anchors(
    header: Mapping[str, Any], *, conditions: Conditions, environment: Environment
) -> Sequence[Mapping[str, Any]]:
    """The anchors of a study that was timed here and so, by the study's header; else none."""
    calibration = header.get("calibration")
    if calibration is None or protocol_of(calibration["settings"]) != PROTOCOL:
        return ()
    now = environment_of(conditions.device, here=environment)
    if conditions.is_remote:  # the header's environment is that of the machine that searched
        is_here = calibration["environment_id"] == now.id
    else:
        begun, backend = Environment(**header["environment"]), conditions.backend
        is_here = begun.what_counts(backend=backend) == now.what_counts(backend=backend)
    is_alike = Conditions.from_document(header["conditions"]) == conditions
    return calibration.get("anchors", ()) if is_here and is_alike else ()


def deployed(
    spec: ArchSpec,
    conditions: Conditions,
    *,
    weights: Path | None = None,
    forms: FormFile | None = None,
) -> nn.Module:
    """The form of a network that is timed, compared with the one that is trained.

    Its weights are those of a file, interpolated where they are of another resolution, or fresh.
    Forms that were decided on before are taken, and what is decided now is kept with them; without
    a file of them all forms are raced.

    Raises:
        WeightsError: The weights do not fit.
    """
    network = build(spec, seed=0)
    if weights is not None:
        load_weights(network, weights, interpolate=True)
    return _deployed(network, spec.resolution, conditions, forms=forms)


def _networks(
    specs: Mapping[str, ArchSpec | Foreign],
    *,
    conditions: Mapping[str, Conditions],
    weights: Mapping[str, Path | None],
    forms: FormFile,
) -> dict[str, nn.Module]:
    """What is timed, by name; of a network that comes again a copy, whose layers run alike."""
    made: dict[tuple[object, ...], nn.Module] = {}
    networks: dict[str, nn.Module] = {}
    for name, spec in specs.items():
        file, batch = weights.get(name), conditions[name].batch
        key = (spec.network if isinstance(spec, Foreign) else spec.digest, file, batch)
        if key in made:
            networks[name] = copy.deepcopy(made[key])
        elif isinstance(spec, Foreign):
            networks[name] = made[key] = spec.network
        else:
            networks[name] = made[key] = deployed(spec, conditions[name], weights=file, forms=forms)
    return networks


def _deployed(
    network: nn.Module, resolution: Grid, conditions: Conditions, *, forms: FormFile | None
) -> nn.Module:
    """The form that the backend takes: of the fastest layers here, or the portable one."""
    example = noise(resolution, batch=conditions.batch)
    if BACKENDS.load(conditions.backend).FORM == "portable":
        return fold(network)
    network, standard = network.eval(), None
    with torch_threads(conditions.threads):
        if conditions.precision != "fp32":
            standard = Standard(network, example)
            network = fold(network)  # folding needs the precise weights
        ready, images = placed(network, example, conditions=conditions)
        made = deploy(ready, images, known=forms.decided() if forms else None)
        if forms:
            forms.add(made.decided())
    if standard is not None:  # the error that counts is that against full precision
        with torch.inference_mode():
            output = made(images)
        error = checked_error(
            standard, output, precision=conditions.precision, backend=conditions.backend
        )
        made.error = error
    return made


def _detailed(measurement: Measurement, network: nn.Module, *, has_peak: bool) -> Measurement:
    """With what was chosen when the network was deployed, and with its peak memory if wanted."""
    details = dict(measurement.details)
    if isinstance(network, Deployed):
        details |= {
            "forms": ", ".join(f"{form} {number}" for form, number in network.summary().items()),
            "forms_raced": network.raced(),
            "keeps_memory": int(network.keeps_memory),
            "deployment_error": network.error,
        }
    if has_peak and measurement.value is not None:
        peak, name = peak_memory_of(network, conditions=measurement.conditions), "peak_memory_bytes"
        details |= {f"{name}_missing": peak.reason} if peak.value is None else {name: peak.value}
    return replace(measurement, details=details)


def images_of(data: Data | None) -> tuple[str, int] | None:
    """The ``images`` of a target, at a side that is enough for a latency; None without data."""
    return None if data is None else (name_of(data, resolution=_SIDE), _SIDE)


@lru_cache(maxsize=4)
def _calibration(constants: str) -> Calibration:
    return Calibration(**json.loads(constants))


def _anchor(kept: Mapping[str, Any], *, target: Target) -> Anchor:
    spec = as_spec(kept["spec"])
    height, width = spec.resolution
    conditions = replace(target.conditions, resolution=(height, width))
    alike = replace(target, conditions=conditions, details=())  # whatever else is timed there
    return Anchor(
        name=f"anchor_{spec.digest[:8]}",
        constant_ms=kept["constant_ms"],
        ready=partial(_ready, spec, alike),
    )


@lru_cache(maxsize=8)
def _ready(spec: ArchSpec, target: Target, precision: str) -> Runnable:
    """An anchor as candidates are run, at a precision; see ``Target.anchored`` for int8."""
    precision = "fp32" if precision == "int8" else precision
    conditions = replace(target.conditions, precision=precision)
    network = deployed(spec, conditions, forms=target.forms)
    images = noise(spec.resolution, batch=conditions.batch)
    return prepared(network, images, conditions=conditions)
