"""How long does each part of a network take, inside the running network?"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from archbench.errors import StorageError
from archbench.measure.backend import dtype_of
from archbench.measure.device import measurement_lock, require_device, settled
from archbench.measure.latency.calibration import Calibration, Progress, settings_of
from archbench.measure.latency.clock import Clock, SystemClock, Timing
from archbench.measure.latency.constants import cache_folder
from archbench.measure.latency.estimate import lower_mean, off_cpu_share
from archbench.measure.latency.rounds import Bench, bench, warm_up
from archbench.study.environment import Environment
from archbench.study.file import write_atomically
from archbench.study.measurement import Conditions

_LEAST_ROUNDS, _MOST_ROUNDS = 5, 150


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Times in milliseconds, calibrated as latencies are.

    Attributes:
        parts: Part to time.
        whole: The network as it is.
        watched: The network while its parts were timed; the difference is what watching costs.
        rounds: Passes of each.
        off_cpu: Share of the time without a core; None on a GPU.
    """

    parts: Mapping[str, float]
    whole: float
    watched: float
    rounds: int
    off_cpu: float | None


def time_spans(
    network: nn.Module,
    example: Tensor,
    *,
    parts: Mapping[str, nn.Module],
    conditions: Conditions,
    environment: Environment,
    calibration: Calibration,
    budget_s: float = 4.0,
    clock: Clock | None = None,
    on_progress: Progress | None = None,
) -> Spans:
    """The time of each part, of passes that take turns with passes without any hook.

    On one CPU thread CPU time counts, else the time that passes; a GPU is waited for before and
    behind each part, which hides what it would have run at once.

    Args:
        network: In evaluation, where it is to be timed.
        example: What it takes.
        parts: Modules of the network by any names, none inside another; each runs once.
        conditions: Device and threads.
        environment: This machine.
        calibration: Its constants.
        budget_s: Seconds for all passes.
        clock: Where time comes from; a test has its own.
        on_progress: Told how many rounds are done.

    Raises:
        MissingError: This machine has no such device.
        IncomparableError: The calibration was taken elsewhere or under other settings.
        StorageError: The measurement lock cannot be had.
    """
    require_device(conditions.device)
    clock = clock or SystemClock()
    with measurement_lock(conditions.device), settled(threads=conditions.threads):
        calibration.require(environment, conditions=conditions)
        on = bench(conditions, clock=clock)

        def plain() -> object:
            with torch.inference_mode():
                return network(example)

        until = clock.wall() + budget_s
        warm = warm_up(plain, on=on, until=until)
        calibrator = calibration.nearest(warm.seconds, family="attention").name
        reference = calibration.forward(calibrator, conditions=conditions)
        warm_up(reference, on=on, until=until)
        taken: dict[str, list[float]] = {name: [] for name in parts}
        timings: dict[str, list[Timing]] = {"reference": [], "plain": [], "watched": []}
        order, rounds = random.Random(0), 0
        while rounds < _LEAST_ROUNDS or (rounds < _MOST_ROUNDS and clock.wall() < until):
            for what in order.sample(list(timings), len(timings)):
                if what == "watched":
                    with _watched(parts, taken, read=_reader(on, conditions.device)):
                        timings[what].append(on.watch(plain))
                else:
                    timings[what].append(on.watch(plain if what == "plain" else reference))
            rounds += 1
            if on_progress:
                on_progress("timing parts", rounds, _MOST_ROUNDS)
    means = {
        what: lower_mean([on.seconds(timing) for timing in found])
        for what, found in timings.items()
    }
    unit = calibration.constants_ms[calibrator] / means["reference"]
    return Spans(
        parts={name: lower_mean(seconds) * unit for name, seconds in taken.items()},
        whole=means["plain"] * unit,
        watched=means["watched"] * unit,
        rounds=rounds,
        off_cpu=off_cpu_share(timings["plain"]) if conditions.device == "cpu" else None,
    )


def _reader(on: Bench, device: str) -> Callable[[], float]:
    if device == "cuda":

        def synchronised() -> float:
            torch.cuda.synchronize()
            return on.clock.wall()

        return synchronised
    return on.clock.cpu if on.by_cpu_time else on.clock.wall


@contextmanager
def _watched(
    parts: Mapping[str, nn.Module], taken: Mapping[str, list[float]], *, read: Callable[[], float]
) -> Iterator[None]:
    """Adds the seconds of each part's passes to its list."""
    handles = []
    begun: dict[str, float] = {}
    for name, module in parts.items():

        def enter(module: nn.Module, inputs: Any, name: str = name) -> None:
            begun[name] = read()

        def leave(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            taken[name].append(read() - begun[name])

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What a part runs in one pass.

    Attributes:
        operators: Those that are no views.
        weight_bytes: Read of weights and of what was made of them once and for all.
        activation_bytes: Read and written of all else.
    """

    operators: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0


def traffic(
    network: nn.Module, example: Tensor, *, parts: Mapping[str, nn.Module]
) -> dict[str, Traffic]:
    """The traffic of each part in one pass; what runs outside of all of them is under ``""``.

    Args:
        network: In evaluation.
        example: What it takes.
        parts: Modules of the network by any names, none inside another.
    """
    counter = _Counter(example)
    with torch.inference_mode(), _told(counter, parts), counter:
        network(example)
    return {
        name: Traffic(
            operators=operators, weight_bytes=weight_bytes, activation_bytes=activation_bytes
        )
        for name, (operators, weight_bytes, activation_bytes) in counter.sums.items()
    }


class _Counter(TorchDispatchMode):
    """Sees every operator; knows which tensors follow from the input."""

    def __init__(self, example: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.part = ""
        self.sums: dict[str, list[int]] = {"": [0, 0, 0]}
        # Held until the end: a freed tensor lends its identity to others.
        self.moving: dict[int, Tensor] = {id(example): example}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        inputs = _tensors((args, kwargs))
        outputs = _tensors(output)
        follows = not inputs or any(id(tensor) in self.moving for tensor in inputs)
        if follows:
            self.moving |= {id(tensor): tensor for tensor in outputs}
        if not func.is_view and "empty" not in func.__name__:
            sums = self.sums.setdefault(self.part, [0, 0, 0])
            sums[0] += 1
            for tensor in inputs:
                sums[2 if id(tensor) in self.moving else 1] += _bytes(tensor)
            sums[2] += sum(map(_bytes, outputs))
        return output


@contextmanager
def _told(counter: _Counter, parts: Mapping[str, nn.Module]) -> Iterator[None]:
    """Tells the counter which part runs."""
    handles = []
    for name, module in parts.items():

        def enter(module: nn.Module, inputs: Any, name: str = name) -> None:
            counter.part = name

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            counter.part = ""

        counter.sums[name] = [0, 0, 0]
        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


SCHEMA = "archbench.roofline/1"

_ROWS, _WIDTH = 512, 1024
_FAR_BYTES = {"cpu": 2**28, "cuda": 2**30}  # larger than any last cache of today
_NEAR_BYTES = {"cpu": 2**18, "cuda": 2**23}
_PASSES = {"compute": 30, "memory": 8, "cache": 300, "operator": 300}


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """Limits of one machine under one set of conditions.

    Attributes:
        gflops: 10^9 floating-point operations a second, a multiply-add being two.
        memory_gbs: 10^9 bytes a second read and written, from a memory larger than all caches.
        cache_gbs: Likewise from a near cache.
        operator_us: Microseconds of an operator on almost nothing, called as a module.
        environment_id: The machine and software.
        note: What is to be said of it; mostly empty.
    """

    gflops: float
    memory_gbs: float
    cache_gbs: float
    operator_us: float
    environment_id: str
    note: str = ""

    def bounds_ms(
        self, *, flops: float, weight_bytes: float, activation_bytes: float, operators: int
    ) -> dict[str, float]:
        """The milliseconds that each limit alone asks for.

        Weights come from memory, since all others were read before they are wanted again;
        activations were written just before, so they come from the cache.
        """
        moved = weight_bytes / self.memory_gbs + activation_bytes / self.cache_gbs
        return {
            "compute": flops / self.gflops / 1e6,
            "memory": moved / 1e6,
            "overhead": operators * self.operator_us / 1e3,
        }


def roofline(
    conditions: Conditions,
    *,
    environment: Environment,
    folder: Path | None = None,
    clock: Clock | None = None,
) -> Roofline:
    """The limits for these conditions: stored ones, or taken now and stored.

    Args:
        conditions: Batch and resolution do not matter.
        environment: This machine.
        folder: Where they are kept, the user's cache folder by default.
        clock: Where time comes from; a test has its own.

    Raises:
        UsageError: Device, precision or threads that cannot be.
        MissingError: This machine has no such device.
        StorageError: The measurement lock cannot be had.
    """
    require_device(conditions.device)
    identity = {"schema": SCHEMA, "environment": environment.id, "of": settings_of(conditions)}
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    path = (folder or cache_folder().parent / "roofline") / f"{environment.id}-{name}.json"
    note = ""
    try:
        if path.exists():
            return _stored(path, identity)
    except (OSError, ValueError, TypeError, LookupError) as error:
        note = f"{path} could not be read ({error}): limits taken anew"
    with measurement_lock(conditions.device), settled(threads=conditions.threads):
        found = _taken(
            conditions,
            on=bench(conditions, clock=clock or SystemClock()),
            environment=environment,
            note=note,
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {**identity, "limits": asdict(found)}
        write_atomically(path, json.dumps(content, indent=2).encode())
    except (OSError, StorageError):
        # They are taken again next time; nothing that is said now is wrong.
        return found
    return found


def _stored(path: Path, identity: dict[str, Any]) -> Roofline:
    document = json.loads(path.read_text())
    if any(document[key] != value for key, value in identity.items()):
        raise ValueError("it belongs to other conditions")
    found = Roofline(**{**document["limits"], "note": ""})
    limits = (found.gflops, found.memory_gbs, found.cache_gbs, found.operator_us)
    if not all(0 < limit < math.inf for limit in limits):
        raise ValueError("a limit is no number")
    return found


def _taken(conditions: Conditions, *, on: Bench, environment: Environment, note: str) -> Roofline:
    kind = dtype_of(conditions.precision, place="precision")
    device = conditions.device
    flops = 2 * _ROWS * _WIDTH * _WIDTH
    products = [_best(on, run, _PASSES["compute"]) for run in _products(device, kind)]
    far, near = _FAR_BYTES[device], _NEAR_BYTES[device]
    return Roofline(
        gflops=flops / min(products) / 1e9,
        memory_gbs=_bandwidth(on, device, far, passes=_PASSES["memory"]),
        cache_gbs=_bandwidth(on, device, near, passes=_PASSES["cache"]),
        operator_us=_best(on, _operator(device), _PASSES["operator"]) * 1e6,
        environment_id=environment.id,
        note=note,
    )


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


def _bandwidth(on: Bench, device: str, size: int, *, passes: int) -> float:
    """10^9 bytes a second of the better of a copy and a sum; both tensors hold half of the size."""
    left = torch.ones(size // 8, device=device)
    right = torch.ones(size // 8, device=device)
    copied = 2 * left.nbytes / _best(on, lambda: right.copy_(left), passes)
    added = (
        3 * left.nbytes / _best(on, lambda: torch.add(left, right, alpha=0.5, out=right), passes)
    )
    return max(copied, added) / 1e9


def _operator(device: str) -> Callable[[], object]:
    layer = nn.Hardswish()
    value = torch.ones(8, device=device)
    return lambda: layer(value)


def _best(on: Bench, run: Callable[[], object], passes: int) -> float:
    with torch.inference_mode():
        run()
        return max(min(on.seconds(on.watch(run)) for _ in range(passes)), 1e-9)
