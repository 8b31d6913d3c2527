"""How long does a forward pass take on this device, how sure is that, and was it disturbed.

Times drift from process to process, and whatever else the machine does shows in all of them. So
each network is timed in turn with a calibration network whose time here is known; its latency is
the ratio of the two, times that constant. The interval is that of the ratio in this process: two
processes differ by somewhat more, see benchmarks/latency_trust.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from archbench.errors import InexactError, fault_text
from archbench.measure.backend import Runnable, prepared, require_backend
from archbench.measure.gpu import GpuUse, GpuWatch, gpu_watch
from archbench.measure.latency.calibration import (
    CalibratedBench,
    Progress,
    check_drift,
)
from archbench.measure.latency.clock import Forward, delay_share
from archbench.measure.latency.estimate import NEEDED_FORWARDS, Ratio, drift, quantile, verdict
from archbench.measure.latency.reference_networks import Family
from archbench.measure.latency.rounds import (
    NETWORK_FAULTS,
    WANTED_HALF_WIDTH,
    Attempt,
    Placed,
    WarmUp,
    placement_rounds,
    run_rounds,
    warm_up,
)
from archbench.study.measurement import Conditions, Measurement, Verdict

Details = dict[str, float | int | str]

# Of the budget, for all candidates together and for all calibrators together.
_WARM_UP_SHARE = 0.125
# How many budgets a network may take that is too slow to get a value within one.
_PATIENCE = 3
_BEST_FIRST: tuple[Verdict, ...] = ("stable", "disturbed", "incomplete")


def measure_latency(
    networks: Mapping[str, nn.Module],
    *,
    bench: CalibratedBench,
    families: Mapping[str, Family] | None = None,
    budget_s: float = 10.0,
    together: float | None = None,
    on_progress: Progress | None = None,
    gpu: GpuWatch | None = None,
) -> dict[str, Measurement]:
    """The latency of each network in milliseconds a batch, all of them timed in shared rounds.

    A network that raises or returns what is not finite gets the verdict ``incomplete`` and the
    reason, and the others go on. A disturbed one is timed once more while the budget lasts, which
    its details say.

    Args:
        networks: Name to network, in the form that is to be timed; they stay as they are.
        bench: What to time with, under which conditions. The precision of the result is the one
            that ran, which may be another than that of the conditions.
        families: What kind of work a network does; attention where nothing is said, as hybrids
            mostly do.
        budget_s: Seconds for all networks together, constants apart. The measurement stops
            earlier when every interval is within ±1 %; for networks so slow that five passes do
            not fit, it may take three times as long.
        together: For a comparison, the half width that is wanted of each interval: then nothing is
            repeated, and every round has a pass of each network, so that their samples pair up;
            and where the backend can, all of them are placed anew in memory every so many rounds,
            as ``placement_rounds`` in their details says.
        on_progress: Told about rounds.
        gpu: What tells of other processes on the GPU: its driver on one, by default.

    Returns:
        Name to measurement. Samples are the raw times in milliseconds that the estimate is made
        of: CPU time on one CPU thread, wall time on several, time between events on a GPU. The
        value is their lower mean / ``calibration_ms`` x ``calibration_constant_ms``; of networks
        that were placed anew, the mean over the places of that ratio.

    Raises:
        UsageError: A backend or precision that cannot be.
        MissingError: This machine lacks what the backend needs.
    """
    conditions = bench.conditions
    require_backend(conditions)
    timed = [
        _made_ready(name, network, conditions=conditions, family=(families or {}).get(name))
        for name, network in networks.items()
    ]
    began = bench.clock.wall()
    session = _Session(
        bench=bench,
        until=began + budget_s,
        at_last=began + budget_s * _PATIENCE,
        warm_up_s=budget_s * _WARM_UP_SHARE,
        together=together,
        on_progress=on_progress,
        gpu=gpu or gpu_watch(conditions.device),
    )
    for entry in timed:
        session.warm(entry, seconds=session.warm_up_s / len(networks))
    session.compete([entry for entry in timed if not entry.fault])
    disturbed = [entry for entry in timed if session.is_worth_repeating(entry)]
    if disturbed and together is None and not session.is_over():
        session.compete(disturbed)
    if not session.is_over():
        check_drift(bench)
    return {entry.name: session.measurement(entry) for entry in timed}


@dataclass(kw_only=True)
class _Timed:
    """A network that is to be timed.

    Attributes:
        name: Any.
        family: What kind of work it does.
        network: The network ready to be run, if it could be made so.
        warm: What its first passes showed.
        fault: Why it takes no part; mostly empty.
        attempts: Its timings, attempt by attempt.
    """

    name: str
    family: Family
    network: Runnable | None = None
    warm: WarmUp | None = None
    fault: str = ""
    attempts: list[Attempt] = field(default_factory=list)


def _made_ready(
    name: str, network: nn.Module, *, conditions: Conditions, family: Family | None
) -> _Timed:
    """The network ready to be run on images that are always the same, or with its fault."""
    entry = _Timed(name=name, family=family or "attention")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(conditions.batch, 3, *conditions.resolution, generator=generator)
    with _faults_of(entry):
        entry.network = prepared(network, images, conditions=conditions)
    return entry


@contextmanager
def _faults_of(entry: _Timed) -> Iterator[None]:
    """What is raised within is the network's fault, unless the device is lost to this process."""
    try:
        yield
    except torch.AcceleratorError:
        raise
    except InexactError as error:
        entry.fault = str(error)
    except NETWORK_FAULTS as error:
        entry.fault = fault_text(error)


def _output_fault(output: object) -> str:
    """Why an output is no result; empty where it is one."""
    tensors = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    is_finite = all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
    return "" if is_finite else "its output is not finite"


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What one attempt gave."""

    attempt: Attempt
    verdict: Verdict
    reason: str
    ratio: Ratio | None = None
    drift: float = 0.0
    off_cpu: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Session:
    """One measurement of several networks: what they share."""

    bench: CalibratedBench
    until: float
    at_last: float
    warm_up_s: float
    together: float | None
    on_progress: Progress | None
    gpu: GpuWatch | None

    def is_over(self) -> bool:
        return self.bench.clock.wall() >= self.until

    def warm(self, entry: _Timed, *, seconds: float) -> None:
        """Runs a network until it is ready to be timed, or has a fault."""
        if entry.network is None:
            return
        with _faults_of(entry):
            entry.fault = _output_fault(entry.network.run())
            if not entry.fault:
                entry.warm = self._warmed(entry.network.run, seconds=seconds)

    def compete(self, entries: Sequence[_Timed]) -> None:
        """One attempt at each network, in shared rounds."""
        attempts = [self._attempt(entry) for entry in entries]
        calibrators = {
            name: Placed(
                network=self.bench.calibration.ready(name, conditions=self.bench.conditions)
            )
            for name in dict.fromkeys(attempt.calibrator for attempt in attempts)
        }
        round_s = sum(entry.warm.wall_s for entry in entries if entry.warm)
        for calibrator in calibrators.values():
            seconds = self.warm_up_s / len(calibrators)
            round_s += self._warmed(calibrator.forward, seconds=seconds).wall_s
        if self.together is not None:
            stay = placement_rounds(seconds=self.until - self.bench.clock.wall(), round_s=round_s)
            for attempt in attempts:
                attempt.placement_rounds = stay if attempt.network.anew else 0

        def after_round() -> None:
            if self.on_progress:
                rounds = max(len(attempt.timings) for attempt in attempts)
                self.on_progress("timing", rounds, max(one.looks[-1] for one in attempts))

        throttled = self.bench.clock.throttled()
        if self.gpu:
            self.gpu.use()
        run_rounds(
            attempts,
            calibrators,
            bench=self.bench,
            until=self.until,
            at_last=self.at_last,
            after_round=after_round,
            together=self.together is not None,
        )
        use = self.gpu.use() if self.gpu else GpuUse()
        for attempt in attempts:
            attempt.throttled = self.bench.clock.throttled() - throttled
            attempt.gpu = use

    def _attempt(self, entry: _Timed) -> Attempt:
        assert entry.network is not None
        assert entry.warm is not None
        attempt = Attempt(
            network=entry.network,
            calibrator=self.bench.calibration.nearest(entry.warm.seconds, family=entry.family).name,
            wanted_half_width=self.together or WANTED_HALF_WIDTH,
        )
        entry.attempts.append(attempt)
        return attempt

    def _warmed(self, forward: Forward, *, seconds: float) -> WarmUp:
        until = min(self.until, self.bench.clock.wall() + seconds)
        return warm_up(forward, bench=self.bench, until=until)

    def is_worth_repeating(self, entry: _Timed) -> bool:
        return bool(entry.attempts) and self._best(entry).verdict == "disturbed"

    def measurement(self, entry: _Timed) -> Measurement:
        """The network's record: of its better attempt, with the samples of all."""
        conditions = self.bench.conditions
        found = Measurement(
            metric="latency",
            unit="ms",
            samples=tuple(
                self.bench.seconds(timing) * 1e3
                for attempt in entry.attempts
                for timing in attempt.timings
            ),
            value=None,
            low=None,
            high=None,
            conditions=replace(
                conditions,
                precision=entry.network.precision if entry.network else conditions.precision,
            ),
            environment_id=self.bench.environment.id,
            verdict="incomplete",
            reason=entry.fault,
        )
        if not entry.attempts:
            return found
        assert entry.network is not None
        best = self._best(entry)
        if best.ratio is None:
            return replace(found, verdict=best.verdict, reason=best.reason)
        if complaint := entry.network.complaint():
            return replace(found, reason=complaint)
        constant = self.bench.calibration.constants_ms[best.attempt.calibrator]
        return replace(
            found,
            value=best.ratio.value * constant,
            low=best.ratio.low * constant,
            high=best.ratio.high * constant,
            verdict=best.verdict,
            reason=best.reason,
            details=self._details(entry, best=best, ratio=best.ratio),
        )

    def _best(self, entry: _Timed) -> _Outcome:
        """The better verdict; of equal ones the narrower interval, then the later attempt."""
        return min((self._outcome(one) for one in reversed(entry.attempts)), key=_worth)

    def _outcome(self, attempt: Attempt) -> _Outcome:
        number, needed, reason = len(attempt.timings), NEEDED_FORWARDS, attempt.fault
        if not reason and not attempt.has_value:
            reason = f"only {number} of {needed} needed forward passes fitted into the budget"
        ratio = None if reason else attempt.ratio(bench=self.bench)
        if ratio is None or not ratio.value:
            reason = reason or "it takes less time than the clock can tell"
            return _Outcome(attempt=attempt, verdict="incomplete", reason=reason)
        moved = drift([self.bench.seconds(timing) for timing in attempt.calibration])
        off_cpu = self.bench.off_cpu([*attempt.timings, *attempt.calibration])
        found, reason = verdict(
            forwards=number,
            off_cpu=off_cpu,
            drift=moved,
            half_width=ratio.half_width,
            throttled=attempt.throttled,
            gpu=attempt.gpu.disturbance,
        )
        return _Outcome(
            attempt=attempt, verdict=found, reason=reason, ratio=ratio, drift=moved, off_cpu=off_cpu
        )

    def _details(self, entry: _Timed, *, best: _Outcome, ratio: Ratio) -> Details:
        attempt, network, warm = best.attempt, entry.network, entry.warm
        assert network is not None
        assert warm is not None
        conditions, pinning = self.bench.conditions, self.bench.pinning
        walls_ms = [timing.wall * 1e3 for timing in attempt.timings]
        constant = self.bench.calibration.constants_ms[attempt.calibrator]
        details: Details = {
            "wall_median_ms": quantile(walls_ms, 0.5),
            "wall_p95_ms": quantile(walls_ms, 0.95),
            "forwards": len(attempt.timings),
            "placement_rounds": attempt.placement_rounds,
            "images_per_second": conditions.batch / (ratio.value * constant) * 1e3,
            "calibrator": attempt.calibrator,
            "calibration_ms": self.bench.mean_ms(attempt.calibration),
            "calibration_constant_ms": constant,
            "calibration_drift": best.drift,
            "warm_up_forwards": warm.forwards,
            "warm_up_settled": "yes" if warm.settled else "no",
            "pinned_to": ", ".join(map(str, pinning.cores)) or pinning.note,
            **network.details,
            "preparation_s": network.seconds,
        }
        if network.error is not None:
            details["backend_error"] = network.error
        if network.precision != conditions.precision:
            details["precision_asked"] = conditions.precision
        if best.off_cpu is not None:
            details["off_cpu_share"] = best.off_cpu
            details["run_delay_share"] = delay_share(attempt.timings)
        details |= self.bench.calibration.details()
        if attempt.gpu.note:
            details["gpu_note"] = attempt.gpu.note
        if len(entry.attempts) > 1:
            first = entry.attempts[0]
            details["repeats"] = len(entry.attempts) - 1
            details["repeated_because"] = self._outcome(first).reason
            details["first_sample_used"] = 0 if attempt is first else len(first.timings)
        return details


def _worth(outcome: _Outcome) -> tuple[int, float]:
    width = outcome.ratio.half_width if outcome.ratio else math.inf
    return _BEST_FIRST.index(outcome.verdict), width
