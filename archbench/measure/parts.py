"""How long does each part of a network take, in it or alone, and what does the machine allow?

Alone and repeated, a piece finds its weights in the nearest cache, which inside a network the
other pieces have taken over: sums of such hot times are wrong by 11 %.
"""

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from archbench.cache_folder import cache_folder
from archbench.errors import StorageError
from archbench.exactness import tensors_of
from archbench.measure import machine_cache
from archbench.measure.backend import dtype_of
from archbench.measure.latency.calibration import CalibratedBench
from archbench.measure.latency.clock import Bench, Clock, Forward, Timing, measuring
from archbench.measure.latency.estimate import lower_mean
from archbench.progress import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

_LEAST_ROUNDS, _MOST_ROUNDS = 5, 150
_LIMITS = ("gflops", "memory_gbs", "cache_gbs", "operator_us")
_ROWS, _WIDTH = 512, 1024
_FAR_BYTES = {"cpu": 2**28, "cuda": 2**30}  # larger than any last cache of today
_NEAR_BYTES = {"cpu": 2**18, "cuda": 2**23}
# More than the second-level cache of a core and less than a third-level one, where a network of
# this size leaves its weights; on a GPU more than its one cache.
_EVICTED_BYTES = {"cpu": 4 * 2**20, "cuda": 128 * 2**20}
_LEAST_MS = 1e-6
_CALIBRATOR_SECONDS = 2e-3  # the calibration network of about that size


def time_parts(
    network: nn.Module,
    example: Tensor,
    *,
    parts: Mapping[str, nn.Module],
    bench: CalibratedBench,
    budget_s: float = 4.0,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Milliseconds of each part, of passes that take turns with passes without any hook.

    With them come those of the network as it is and while its parts were watched, and of what is
    between them; all are calibrated as latencies are.

    On one CPU thread CPU time counts, else the time that passes; a GPU is waited for before and
    behind each part, which hides what it would have run at once. The network is in evaluation,
    where it is to be timed; of its parts, by any names, none is inside another and each runs once.
    """
    began, taken = 0.0, {name: list[float]() for name in parts}

    def read() -> float:
        if bench.conditions.device == "cuda":
            torch.cuda.synchronize()
        return bench.clock.cpu() if bench.by_cpu_time else bench.clock.wall()

    def enter(name: str) -> None:
        nonlocal began
        began = read()

    def leave(name: str) -> None:
        taken[name].append(read() - began)

    def plain() -> object:
        with torch.inference_mode():
            return network(example)

    until = bench.now() + budget_s
    constant_ms, reference = bench.nearest_reference(plain, until=until)
    timings: dict[str, list[Timing]] = {"reference": [], "plain": [], "watched": []}
    order, rounds = random.Random(0), 0
    while rounds < _LEAST_ROUNDS or (rounds < _MOST_ROUNDS and bench.now() < until):
        for what in order.sample(list(timings), len(timings)):
            forward = reference if what == "reference" else plain
            bench.lead(forward, pass_s=bench.seconds(timings[what][-1]) if rounds else 0.0)
            with _hooked(parts if what == "watched" else {}, enter, leave):
                timings[what].append(bench.watch(forward))
        rounds += 1
        bench.tell("timing parts, rounds", rounds, _MOST_ROUNDS)
    means_ms = bench.means_ms(timings)
    unit = constant_ms / means_ms["reference"]
    parts_ms = {name: lower_mean(seconds) * 1e3 * unit for name, seconds in taken.items()}
    whole_ms = means_ms["plain"] * unit
    return parts_ms, {
        "whole_ms": whole_ms,
        "watched_ms": means_ms["watched"] * unit,
        "between_ms": whole_ms - sum(parts_ms.values()),
        "rounds": rounds,
        "off_cpu_share": bench.off_cpu(timings["plain"]),
    }


@contextmanager
def _hooked(
    parts: Mapping[str, nn.Module], enter: Callable[[str], None], leave: Callable[[str], None]
) -> Iterator[None]:
    """Calls the two functions with the name of a part whenever it begins or ends a pass."""
    with ExitStack() as stack:
        for name, module in parts.items():
            begins, ends = module.register_forward_pre_hook, module.register_forward_hook
            stack.enter_context(begins(lambda *_, name=name: enter(name)))
            stack.enter_context(ends(lambda *_, name=name: leave(name)))
        yield


@dataclass(frozen=True, kw_only=True)
class Multiple:
    """A time as a multiple of that of a calibration network: the ratio of the lower means."""

    calibrator: str
    ratio: float


@dataclass(frozen=True, kw_only=True)
class ColdTime(Multiple):
    """The time of a piece with cold caches: its weights are not in the nearest ones.

    The ``ratio`` is that behind other work, whose code is in the caches instead of its own;
    ``again`` that behind an equal piece, whose code is its own: only the weights are others.
    """

    again: float


def evictor(device: str) -> Callable[[], object]:
    """A function that fills the caches with other data."""
    return torch.ones(_EVICTED_BYTES[device] // 4, device=device).sum


def cold_times(
    pieces: Mapping[str, tuple[Forward, Tensor]], *, bench: CalibratedBench, rounds: int = 30
) -> dict[str, ColdTime]:
    """The time of each piece with cold caches, in an order drawn anew each round.

    Before a pass the caches are filled with other data, then a calibration network runs: such a
    pass finds neither weights nor code, as the first of a stack of blocks does. Then the caches
    are filled once more, and a second pass finds its code and no weights, as the blocks
    behind it do. The sums of 84 networks, each block as it stands, differed by 2.6 % from what
    they took whole once scaled; with the first kind of pass for all blocks by 3.8 %. A round
    takes some 5 ms for each piece beside its own time.

    The pieces are, by any names, one pass of each with what it takes, which in a network the piece
    before has just written.
    """
    order, names = random.Random(0), list(pieces)
    evict = bench.evict or evictor(bench.conditions.device)
    calibrator = bench.calibration.nearest(_CALIBRATOR_SECONDS)
    reference = bench.ready(calibrator).run
    compared: list[Timing] = []
    first, again = ({name: list[Timing]() for name in names} for _ in range(2))

    def passed(name: str) -> Timing:
        forward, example = pieces[name]
        example.sum()
        return bench.watch(forward)

    with torch.inference_mode():
        for _ in range(rounds + 1):  # the first one warms up, and does not count
            for name in order.sample(names, len(names)):
                evict()
                compared.append(bench.watch(reference))
                first[name].append(passed(name))
                evict()
                again[name].append(passed(name))
    unit = max(bench.mean_ms(compared[len(names) :]), _LEAST_MS)
    return {
        name: ColdTime(
            calibrator=calibrator,
            ratio=bench.mean_ms(first[name][1:]) / unit,
            again=bench.mean_ms(again[name][1:]) / unit,
        )
        for name in names
    }


def traffic(
    network: nn.Module, example: Tensor, *, parts: Mapping[str, nn.Module]
) -> dict[str, dict[str, int]]:
    """The traffic of each part in one pass; what runs outside of all of them is under ``""``.

    Of ``operators`` count those that are no views; of what they read and write, all that does not
    depend on the input are ``weight_bytes``, and all that does ``activation_bytes``.

    The rule: every operator reads each of its inputs once and writes its outputs once; views move
    nothing, and neither does making an empty tensor. A fused operator counts what enters and
    leaves it. So it is the form that is given which is counted, here and now. No part lies inside
    another.
    """
    counter = _Counter(example, parts)
    with (
        torch.inference_mode(),
        _hooked(parts, counter.enter, lambda _: counter.enter("")),
        counter,
    ):
        network(example)
    return counter.sums


class _Counter(TorchDispatchMode):
    """Counts every operator, and knows which tensors were computed from the input."""

    def __init__(self, example: Tensor, parts: Iterable[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.part = ""
        counts = ("operators", "weight_bytes", "activation_bytes")
        self.sums = {name: dict.fromkeys(counts, 0) for name in ("", *parts)}
        # Held until the end: a freed tensor lends its identity to others.
        self.moving: dict[int, Tensor] = {id(example): example}

    def enter(self, part: str) -> None:
        self.part = part

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        inputs, outputs = tensors_of((args, kwargs)), tensors_of(output)
        if not inputs or any(id(tensor) in self.moving for tensor in inputs):
            self.moving |= {id(tensor): tensor for tensor in outputs}
        if not func.is_view and "empty" not in func.__name__:
            sums = self.sums[self.part]
            sums["operators"] += 1
            for tensor in inputs:
                kind = "activation_bytes" if id(tensor) in self.moving else "weight_bytes"
                sums[kind] += tensor.nbytes
            sums["activation_bytes"] += sum(tensor.nbytes for tensor in outputs)
        return output


def bounds_ms(
    limits: Mapping[str, Any], traffic: Mapping[str, int], *, macs: int
) -> dict[str, float]:
    """The milliseconds that each limit of a roofline alone would take; a MAC is two flops.

    Weights come from memory, since all others were read before they are wanted again;
    activations were written just before, so they come from the cache.
    """
    far = traffic["weight_bytes"] / limits["memory_gbs"]
    near = traffic["activation_bytes"] / limits["cache_gbs"]
    return {
        "compute": 2 * macs / limits["gflops"] / 1e6,
        "memory": (far + near) / 1e6,
        "overhead": traffic["operators"] * limits["operator_us"] / 1e3,
    }


def roofline(
    conditions: Conditions,
    *,
    environment: Environment,
    clock: Clock | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """The limits for these conditions: stored ones, or taken now, in some 2 s, and stored.

    What compute and memory reach at most, as torch reaches it (Williams, Waterman and Patterson
    2009, doi:10.1145/1498765.1498785); the best of several passes counts. Batch and resolution do
    not matter. ``gflops`` are 10^9 floating-point operations a second, a multiply-add being two;
    ``memory_gbs`` 10^9 bytes a second from a memory larger than all caches, ``cache_gbs`` from a
    near cache; ``operator_us`` what an operator on almost nothing takes, called as a module.

    Raises:
        UsageError: Device, precision or threads that cannot be.
        MissingError: This machine has no such device.
        StorageError: The measurement lock cannot be had.
    """
    settings = machine_cache.settings_of(conditions)
    identity = {"schema": "archbench.roofline/1", "environment": environment.id, "of": settings}
    name, note = f"{environment.id}-{machine_cache.digest_of(identity)}.json", ""
    path = cache_folder() / "roofline" / name
    file = machine_cache.MachineFile(path=path, identity=identity)
    try:
        if document := file.read():
            stored = {**document["limits"], "note": ""}
            if all(0 < stored[name] < math.inf for name in _LIMITS):
                return stored
            raise ValueError("a limit is not a number")
    except machine_cache.UNREADABLE as error:
        note = f"{file.path} could not be read ({error}): limits taken anew"
    with measuring(conditions, clock=clock, on_progress=on_progress) as bench:
        found = _taken(bench, environment=environment, note=note)
    # Where they cannot be kept they are taken again next time; nothing that is said now is wrong.
    with suppress(OSError, StorageError):
        file.write({"limits": found})
    return found


def _taken(bench: Bench, *, environment: Environment, note: str) -> dict[str, Any]:
    device = bench.conditions.device
    kind = dtype_of(bench.conditions.precision, place="precision")
    layer, value = nn.Hardswish(), torch.ones(8, device=device)
    products = [_best(bench, run, passes=30) for run in _products(device, kind)]
    return {
        "gflops": 2 * _ROWS * _WIDTH * _WIDTH / min(products) / 1e9,
        "memory_gbs": _bandwidth(bench, _FAR_BYTES[device], passes=8),
        "cache_gbs": _bandwidth(bench, _NEAR_BYTES[device], passes=300),
        "operator_us": _best(bench, lambda: layer(value), passes=300) * 1e6,
        "environment_id": environment.id,
        "note": note,
    }


def _products(device: str, kind: torch.dtype) -> list[Callable[[], object]]:
    """A large product: as torch does it, and with packed weights where it can pack them."""
    rows = torch.ones(_ROWS, _WIDTH, device=device, dtype=kind)
    weight = torch.ones(_WIDTH, _WIDTH, device=device, dtype=kind)
    found: list[Callable[[], object]] = [lambda: rows @ weight]
    if device == "cpu" and kind != torch.float16 and torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)  # noqa: SLF001
        run = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001
        found.append(lambda: run(rows, packed, None, "none", [], ""))
    return found


def _bandwidth(bench: Bench, size: int, *, passes: int) -> float:
    """10^9 bytes a second of the better of a copy and a sum; both tensors hold half of the size."""
    left, right = (torch.ones(size // 8, device=bench.conditions.device) for _ in range(2))
    copy_s = _best(bench, lambda: right.copy_(left), passes=passes)
    sum_s = _best(bench, lambda: torch.add(left, right, alpha=0.5, out=right), passes=passes)
    return max(2 * left.nbytes / copy_s, 3 * left.nbytes / sum_s) / 1e9


def _best(bench: Bench, run: Callable[[], object], *, passes: int) -> float:
    with torch.inference_mode():
        run()
        return max(min(bench.seconds(bench.watch(run)) for _ in range(passes)), 1e-9)
