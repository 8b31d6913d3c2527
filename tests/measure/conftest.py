"""A clock that only the networks move, and a machine to measure on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from archbench.digest import sha256_of
from archbench.measure.latency.calibration import CalibratedBench, Calibration
from archbench.measure.latency.clock import Bench, stopwatch
from archbench.measure.latency.reference_networks import Calibrator
from archbench.measure.machine import Pinning
from archbench.measure.machine_cache import settings_of
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

Milliseconds = Callable[[int], float]
MakeBench = Callable[..., CalibratedBench]


class FakeClock:
    """Time that passes only where a network says so."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = self.delay_s = 100.0
        self.throttle_count = 7

    def wall(self) -> float:
        return self.wall_s

    def cpu(self) -> float:
        return self.cpu_s

    def delay(self) -> float:
        return self.delay_s

    def throttled(self) -> int:
        return self.throttle_count

    def advance(self, *, cpu_ms: float, waiting_ms: float = 0.0) -> None:
        self.cpu_s += cpu_ms / 1e3
        self.wall_s += (cpu_ms + waiting_ms) / 1e3
        self.delay_s += waiting_ms / 1e3


class Ticking(nn.Module):
    """A network whose passes take the times it is told, each a function of the pass's number."""

    def __init__(
        self,
        clock: FakeClock,
        cpu_ms: float | Milliseconds,
        *,
        waiting_ms: float | Milliseconds = 0.0,
        name: str = "",
        log: list[str] | None = None,
        output: Callable[[int], object] = lambda number: torch.zeros(1, 10),
    ) -> None:
        super().__init__()
        self.clock, self.cpu_ms, self.waiting_ms = clock, cpu_ms, waiting_ms
        self.name, self.log, self.output = name, log, output
        self.passes = self.copies = 0
        self.eval()

    def __deepcopy__(self, memo: dict[int, object]) -> Ticking:
        """Itself, as it has but one clock; how often it was copied counts."""
        self.copies += 1
        return self

    def forward(self, images: Tensor) -> object:
        number, self.passes = self.passes, self.passes + 1
        if self.log is not None:
            self.log.append(self.name)
        self.clock.advance(
            cpu_ms=self.cpu_ms(number) if callable(self.cpu_ms) else self.cpu_ms,
            waiting_ms=self.waiting_ms(number) if callable(self.waiting_ms) else self.waiting_ms,
        )
        return self.output(number)


def bench_of(clock: FakeClock, conditions: Conditions | None = None) -> Bench:
    """What a measurement is timed with, on a clock that only the networks move."""
    return Bench(
        conditions=conditions or Conditions(),
        clock=clock,
        watch=stopwatch("cpu", clock=clock),
        pinning=Pinning(cores=(), note=""),
    )


def calibrator(name: str, network: Ticking) -> Calibrator:
    """A calibration network that ticks."""
    return Calibrator(name=name, family="attention", build=lambda: network, shape=(1, 3, 8, 8))


def signed_again(text: str) -> str:
    """The text of a machine's file with the checksum of what it holds now, if it can be read."""
    try:
        document = json.loads(text)
        del document["sha256"]
    except (ValueError, TypeError):
        return text
    return json.dumps({**document, "sha256": sha256_of(document)})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def environment() -> Environment:
    return Environment(
        cpu="abacus", cores=2, memory_bytes=2**30, gpu=None, system="none", python="3", packages={}
    )


@pytest.fixture
def conditions() -> Conditions:
    return Conditions(resolution=(8, 8))


@pytest.fixture
def bench(clock: FakeClock, environment: Environment, conditions: Conditions) -> MakeBench:
    """Makes a bench on the fake clock, with calibration networks that take the milliseconds given.

    By default it has one that takes 2 ms; the constant of each is 10.
    """

    def make(*networks: Ticking, constants_ms: tuple[float, ...] | None = None) -> CalibratedBench:
        used = networks or (Ticking(clock, 2.0, name="calibrator"),)
        named = {network.name or f"calibrator_{i}": network for i, network in enumerate(used)}
        calibration = Calibration(
            environment_id=environment.id,
            settings=settings_of(conditions),
            constants_ms=dict(zip(named, constants_ms or [10.0] * len(used), strict=True)),
            calibrators=tuple(calibrator(name, network) for name, network in named.items()),
        )
        timed = vars(bench_of(clock, conditions))
        return CalibratedBench(**timed, environment=environment, calibration=calibration)

    return make


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test waits for a measurement outside it, nor leaves constants behind."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("ARCHBENCH_CACHE", str(tmp_path / "cache"))
