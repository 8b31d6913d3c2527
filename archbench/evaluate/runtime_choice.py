"""Which of the installed runtimes runs a network fastest, computing what eager computes?

These are runtimes that networks ship in and that take one in about a second. What compiles a
network (torch.compile, AOTInductor, TensorRT) or converts it for a phone (ncnn, LiteRT, ExecuTorch)
takes up to a minute for each, which a search pays for each candidate: it is asked for by its name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from archbench.evaluate.target import calibrated
from archbench.measure.backend import BACKENDS, absence, can_compute, require_backend
from archbench.models import ArchSpec
from archbench.progress import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions


def serving_backends(conditions: Conditions, *, precisions: Sequence[str]) -> list[str]:
    """The backends to choose from on a device: installed, with all of the precisions; eager first.

    Raises:
        UsageError: None has the precisions.
    """
    asked = [replace(conditions, precision=precision) for precision in precisions]
    names = [
        name
        for name in BACKENDS.names
        if getattr(BACKENDS.load(name), "SERVES", False)
        and absence(name, device=conditions.device) is None
        and all(can_compute(replace(one, backend=name)) for one in asked)
    ]
    for one in asked if not names else ():
        require_backend(replace(one, backend="eager"))
    return sorted(names, key="eager".__ne__)


def time_backend(
    spec: ArchSpec,
    conditions: Conditions,
    *,
    precisions: Sequence[str],
    environment: Environment | None = None,
    images: tuple[str, int] | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """What a network takes in the backend of the conditions, in the first of the precisions.

    The entry has no latency, and the reason why, where the network cannot be timed in one of them,
    above all where the output is not eager's. The images are those of a ``Target``, for int8.

    Raises:
        ArchbenchError: See ``archbench.measure.latency.latency.measure_latency``.
    """
    target = calibrated(conditions, environment=environment, images=images, on_progress=on_progress)
    taken = [target.at(one).measure(spec, on_progress=on_progress) for one in precisions]
    faults = [one.reason for one in taken if one.value is None]
    if faults:
        return choice(conditions.backend, reason=faults[0])
    return choice(conditions.backend, taken[0].value)


def fastest_backend(
    spec: ArchSpec, conditions: Conditions, *, on_progress: Progress | None = None
) -> str:
    """The one of ``serving_backends`` in which a network is fastest, whatever the conditions name.

    Raises:
        ArchbenchError: See ``serving_backends`` and ``time_backend``.
    """
    precisions = (conditions.precision,)
    names = serving_backends(conditions, precisions=precisions)
    if len(names) == 1:
        return names[0]
    found = [
        time_backend(
            spec, replace(conditions, backend=name), precisions=precisions, on_progress=on_progress
        )
        for name in names
    ]
    return str(fastest_first(found)[0]["backend"])


def choice(backend: str, latency_ms: float | None = None, *, reason: str = "") -> dict[str, Any]:
    """An entry of what was found of a backend, as the header of a study keeps it."""
    return {"backend": backend, "latency_ms": latency_ms, "reason": reason}


def fastest_first(found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries by latency; those without one come last, as they came."""
    return sorted(found, key=lambda one: (one["latency_ms"] is None, one["latency_ms"] or 0.0))
