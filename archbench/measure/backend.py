"""What can run a network here, in which precision, and does it compute what eager computes?

A backend is a file of ``archbench/measure/backends``. It holds

- ``PRECISIONS``: for each device that it runs on, the precisions that it can be asked for;
- ``FORM``: ``deployed`` where it runs the form whose layers were chosen on this machine,
  ``portable`` where it takes the folded network and chooses for itself;
- ``absence(device)``: what is not there that it needs, or None;
- ``prepare(network, example, *, conditions)``: the network ready to be run, as `Prepared`.

What holds for all of them is done here once: the refusals, the time that preparing takes, and the
comparison with eager.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from archbench.errors import InexactError, MissingError, UsageError, unknown_name
from archbench.measure.placement import evaluating, is_placed
from archbench.registry import Registry
from archbench.study.measurement import Conditions

BACKENDS = Registry("archbench.measure.backends", "backend")
PRECISIONS = ("fp32", "bf16", "fp16", "int8")

LIMITS = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 2e-2, "bf16": 1e-1, "int8": 0.5}
"""Largest difference from eager in fp32, over the largest output, by the precision that ran.

bf16 keeps 8 bits, and random networks of this grammar lose up to three of them; what int8 loses
depends on the weights. The limits tell a wrong network from a rounded one, no more."""

Seconds = Callable[[], float]


def _nothing() -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A network that a backend can run.

    Attributes:
        run: One forward pass; gives the outputs, which the next pass may overwrite.
        precision: What its products are computed in, whatever was asked for.
        details: What was done, for the record.
        complaint: After the passes: why they are not to be trusted; empty where they are.
        anew: Gives a pass of a copy of the network that lies elsewhere in memory, as drawn; None
            where the backend cannot.
        seconds: What preparing took: copying, exporting, compiling and the first pass.
        error: Largest difference from eager in fp32, over the largest output; None where the
            network ran as it was given, so that there is nothing to compare.
    """

    run: Callable[[], object]
    precision: str
    details: Mapping[str, float | int | str] = field(default_factory=dict)
    complaint: Callable[[], str] = _nothing
    anew: Callable[[random.Random], Callable[[], object]] | None = None
    seconds: float = 0.0
    error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Absence:
    """Why a backend cannot be used here.

    Attributes:
        reason: What is missing.
        help: What brings it.
    """

    reason: str
    help: str


def absence(name: str, *, device: str) -> Absence | None:
    """Why a backend cannot be used on a device of this machine; None where it can.

    Raises:
        UsageError: There is no backend of this name.
    """
    backend = BACKENDS.load(name)
    if device not in backend.PRECISIONS:
        others = ", ".join(backend.PRECISIONS)
        return Absence(reason=f"it does not run on {device}", help=f"it runs on {others}")
    found: Absence | None = backend.absence(device)
    return found


def form(name: str) -> str:
    """Which form of a network the backend takes: ``deployed`` or ``portable``."""
    return str(BACKENDS.load(name).FORM)


def can_compute(conditions: Conditions) -> bool:
    """Whether the backend can be asked for this precision on this device."""
    known = BACKENDS.load(conditions.backend).PRECISIONS
    return conditions.precision in known.get(conditions.device, ())


def require_backend(conditions: Conditions) -> None:
    """Refuses conditions that the backend cannot meet here.

    Raises:
        UsageError: Backend or precision are unknown, or the two do not go together.
        MissingError: What the backend needs is not there.
    """
    name, precision, device = conditions.backend, conditions.precision, conditions.device
    BACKENDS.load(name)
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS, place=f"backend {name}")
    if missing := absence(name, device=device):
        raise MissingError(missing.reason, place=f"backend {name}", help=missing.help)
    if not can_compute(conditions):
        able = [
            other for other in BACKENDS.names if can_compute(replace(conditions, backend=other))
        ]
        known = ", ".join(BACKENDS.load(name).PRECISIONS[device])
        others = f"; {precision} on {device}: {', '.join(able)}" if able else ""
        raise UsageError(
            f"it does not compute {precision} on {device}",
            place=f"backend {name}",
            help=f"use {known}{others}",
        )


def prepared(
    network: nn.Module,
    example: Tensor,
    *,
    conditions: Conditions,
    wall: Seconds = time.perf_counter,
    own_cpu: Seconds = time.thread_time,
    all_cpu: Seconds = time.process_time,
) -> Prepared:
    """A network ready to be run by the backend of the conditions, compared with eager.

    Args:
        network: It stays as it is.
        example: Images (B, 3, H, W) in fp32, on the CPU.
        conditions: What to run it under.
        wall: The clock for the seconds of preparing.
        own_cpu: CPU time of this thread.
        all_cpu: CPU time of the whole process.

    Raises:
        UsageError: Backend or precision cannot be.
        MissingError: What the backend needs is not there.
        InexactError: The output differs from eager's by more than the limit, or one thread's work
            is done where this thread's CPU time cannot see it.
    """
    require_backend(conditions)
    backend = BACKENDS.load(conditions.backend)
    began = wall()
    found: Prepared = backend.prepare(network, example, conditions=conditions)
    if conditions.backend == "eager" and is_placed(network, conditions=conditions):
        return replace(found, seconds=wall() - began)
    output = found.run()
    if conditions.device == "cuda":
        torch.cuda.synchronize()
    seconds = wall() - began
    error = difference(_eager(network, example), output)
    require_close(error, precision=found.precision, backend=conditions.backend)
    if conditions.device == "cpu" and conditions.threads == 1:
        _require_own_thread(found.run, backend=conditions.backend, own=own_cpu, all_=all_cpu)
    return replace(found, seconds=seconds, error=error)


def preparation_details(found: Prepared) -> dict[str, float | int | str]:
    """What a measurement's record says of how the network was made ready."""
    details: dict[str, float | int | str] = {**found.details, "preparation_s": found.seconds}
    if found.error is not None:
        details["backend_error"] = found.error
    return details


def difference(expected: object, got: object) -> float:
    """Largest difference of two outputs, over the largest expected one; of all their tensors."""
    pairs = list(zip(_tensors(expected), _tensors(got), strict=True))
    tiny = torch.finfo(torch.float32).tiny
    scale = max((float(one.abs().max()) for one, _ in pairs), default=0.0)
    largest = [float((one - other.reshape(one.shape)).abs().max()) for one, other in pairs]
    # A comparison with what is not a number must not pass as a small one.
    return max((value if value == value else float("inf") for value in largest), default=0.0) / max(
        scale, tiny
    )


def require_close(error: float, *, precision: str, backend: str) -> None:
    """Refuses an output that another precision does not explain.

    Raises:
        InexactError: It is beyond the limit of the precision.
    """
    if error > LIMITS[precision]:
        raise InexactError(
            f"its output differs from eager's by {error:.1e} of the largest one, and "
            f"{precision} explains {LIMITS[precision]:.0e}",
            place=f"backend {backend}",
            help="use another backend or precision for this network",
        )


def library(name: str, *, extra: str) -> Absence | None:
    """The absence of a library that an extra brings; None where it is installed."""
    if importlib.util.find_spec(name):
        return None
    return Absence(reason=f"{name} is not installed", help=f"pip install 'archbench[{extra}]'")


def compiler() -> Absence | None:
    """The absence of a C++ compiler; None where there is one."""
    if any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name):
        return None
    return Absence(
        reason="there is no C++ compiler", help="install g++, or name one in the variable CXX"
    )


def _eager(network: nn.Module, example: Tensor) -> object:
    """The output of the network as it is, in evaluation."""
    tensor = next((t for t in network.parameters() if t.is_floating_point()), example)
    with evaluating(network), torch.inference_mode():
        return network(example.to(tensor.device, tensor.dtype))


def _tensors(output: object) -> list[Tensor]:
    leaves = pytree.tree_leaves(output)
    return [leaf.detach().float().cpu() for leaf in leaves if isinstance(leaf, Tensor)]


def _require_own_thread(
    run: Callable[[], object], *, backend: str, own: Seconds, all_: Seconds
) -> None:
    """One thread is timed by its CPU time, so the work must be done in it."""
    began, everyone = own(), all_()
    run()
    mine, total = own() - began, all_() - everyone
    if mine < total / 2:
        raise InexactError(
            f"it works in threads of its own: of its CPU time this one spends {mine / total:.0%}",
            place=f"backend {backend}",
            help="measure it on two threads or more, where the time that passes counts",
        )
