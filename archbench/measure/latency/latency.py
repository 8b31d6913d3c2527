"""How long does a forward pass take on this device, how sure is that, and was it disturbed.

Times drift from process to process, and whatever else the machine does shows in all of them. So
each network is timed in turn with a calibration network whose time here is known; its latency is
the ratio of the two, times that constant. The interval is that of the ratio in this process: two
processes differ by somewhat more, see benchmarks/latency_trust.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from archbench.measure.backend import (
    preparation_details,
    require_backend,
)
from archbench.measure.device import Seat, measurement_lock, require_device, settled
from archbench.measure.gpu import GpuUse, GpuWatch, gpu_watch
from archbench.measure.latency import estimate
from archbench.measure.latency.calibration import (
    Calibration,
    Progress,
    look_at_constants,
    stored_or_taken,
)
from archbench.measure.latency.clock import Clock, Forward, SystemClock
from archbench.measure.latency.reference_networks import Family
from archbench.measure.latency.rounds import (
    WANTED_HALF_WIDTH,
    Bench,
    Candidate,
    Pair,
    Placing,
    WarmUp,
    bench,
    faults_of,
    output_fault,
    placement_rounds,
    ready_candidate,
    run_rounds,
    warm_up,
)
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement, Verdict

# Of the budget, for all candidates together and for all calibrators together.
_WARM_UP_SHARE = 0.125
# How many budgets a network may take that is too slow to get a value within one.
_PATIENCE = 3
_BEST_FIRST: tuple[Verdict, ...] = ("stable", "disturbed", "incomplete")


def measure_latency(
    networks: Mapping[str, nn.Module],
    *,
    conditions: Conditions,
    environment: Environment,
    calibration: Calibration | None = None,
    families: Mapping[str, Family] | None = None,
    budget_s: float = 10.0,
    together: float | None = None,
    on_progress: Progress | None = None,
    clock: Clock | None = None,
    gpu: GpuWatch | None = None,
) -> dict[str, Measurement]:
    """The latency of each network in milliseconds a batch, all of them timed in shared rounds.

    A network that raises or returns what is not finite gets the verdict ``incomplete`` and the
    reason, and the others go on. A disturbed one is timed once more while the budget lasts, which
    its details say.

    Args:
        networks: Name to network, in the form that is to be timed; they stay as they are.
        conditions: Device, threads, batch, resolution and precision. The
            precision of the result is the one that ran, which may be another.
        environment: This machine, see `capture_environment`; captured before anything is pinned.
        calibration: The constants, where they are at hand; else the stored ones, which the first
            measurement on a machine takes in some 2 s.
        families: What kind of work a network does; attention where nothing is said, as hybrids
            mostly do.
        budget_s: Seconds for all networks together, constants apart. The measurement stops
            earlier when every interval is within ±1 %; for networks so slow that five passes do
            not fit, it may take three times as long.
        together: For a comparison, the half width that is wanted of each interval: then nothing is
            repeated, and every round has a pass of each network, so that their samples pair up;
            and where the backend can, all of them are placed anew in memory every so many rounds,
            as ``placement_rounds`` in their details says.
        on_progress: Told about rounds and calibration passes.
        clock: Where time comes from; a test has its own.
        gpu: What tells of other processes on the GPU: its driver on one, by default.

    Returns:
        Name to measurement. Samples are the raw times in milliseconds that the estimate is made
        of: CPU time on one CPU thread, wall time on several, time between events on a GPU. The
        value is their lower mean / ``calibration_ms`` x ``calibration_constant_ms``; of networks
        that were placed anew, the mean over the places of that ratio.

    Raises:
        UsageError: A device, backend, precision or number of threads that cannot be.
        MissingError: This machine has no such device, or lacks what the backend needs.
        IncomparableError: The calibration was taken elsewhere or under other settings.
        StorageError: The measurement lock cannot be had.
    """
    require_device(conditions.device)
    require_backend(conditions)
    clock = clock or SystemClock()
    with measurement_lock(conditions.device), settled(threads=conditions.threads) as seat:
        if calibration is None:
            calibration = stored_or_taken(
                conditions, environment=environment, clock=clock, on_progress=on_progress
            )
        calibration.require(environment, conditions=conditions)
        candidates = [
            ready_candidate(
                name,
                network,
                family=(families or {}).get(name, "attention"),
                conditions=conditions,
            )
            for name, network in networks.items()
        ]
        on = bench(conditions, clock=clock)
        session = _Session(
            conditions=conditions,
            environment=environment,
            calibration=calibration,
            on=on,
            seat=seat,
            until=clock.wall() + budget_s,
            at_last=clock.wall() + budget_s * _PATIENCE,
            warm_up_s=budget_s * _WARM_UP_SHARE,
            together=together,
            on_progress=on_progress,
            gpu=gpu or gpu_watch(conditions.device),
        )
        for candidate in candidates:
            session.warm(candidate, seconds=session.warm_up_s / len(networks))
        session.compete([entry for entry in candidates if not entry.fault])
        disturbed = [entry for entry in candidates if session.is_worth_repeating(entry)]
        if disturbed and together is None and not session.is_over():
            session.compete(disturbed)
        if not session.is_over():
            look_at_constants(calibration, environment=environment, conditions=conditions, on=on)
        return {entry.name: session.measurement(entry) for entry in candidates}


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What one attempt gave."""

    pair: Pair
    verdict: Verdict
    reason: str
    ratio: estimate.Ratio | None = None
    drift: float = 0.0
    off_cpu: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Session:
    """One measurement of several candidates: what they share."""

    conditions: Conditions
    environment: Environment
    calibration: Calibration
    on: Bench
    seat: Seat
    until: float
    at_last: float
    warm_up_s: float
    together: float | None
    on_progress: Progress | None
    gpu: GpuWatch | None

    def is_over(self) -> bool:
        return self.on.clock.wall() >= self.until

    def warm(self, candidate: Candidate, *, seconds: float) -> None:
        """Runs a candidate until it is ready to be timed, or has a fault."""
        if candidate.prepared is None:
            return
        with faults_of(candidate):
            candidate.fault = output_fault(candidate.prepared.run())
            if not candidate.fault:
                candidate.warm = self._warmed(candidate.prepared.run, seconds=seconds)

    def compete(self, candidates: Sequence[Candidate]) -> None:
        """One attempt at each candidate, in shared rounds."""
        pairs, ready = [], {}
        for entry in candidates:
            assert entry.prepared is not None
            assert entry.warm is not None
            ready[entry.name] = entry.prepared
            calibrator = self.calibration.nearest(entry.warm.seconds, family=entry.family)
            pairs.append(
                Pair(
                    name=entry.name,
                    forward=entry.prepared.run,
                    calibrator=calibrator.name,
                    wanted_half_width=self.together or WANTED_HALF_WIDTH,
                )
            )
            entry.attempts.append(pairs[-1])
        sources = {
            name: self.calibration.ready(name, conditions=self.conditions)
            for name in dict.fromkeys(pair.calibrator for pair in pairs)
        }
        calibrators = {name: source.run for name, source in sources.items()}
        known_s = sum(entry.warm.wall_s for entry in candidates if entry.warm)
        for forward in calibrators.values():
            known_s += self._warmed(forward, seconds=self.warm_up_s / len(calibrators)).wall_s
        if self.together is not None:
            stay = placement_rounds(seconds=self.until - self.on.clock.wall(), round_s=known_s)
            for pair in pairs:
                pair.placement_rounds = stay if ready[pair.name].anew else 0
        placing = Placing(
            pairs={pair.name: pair for pair in pairs},
            prepared=ready,
            sources=sources,
            calibrators=calibrators,
        )

        def after_round() -> None:
            if self.on_progress:
                rounds = max(len(pair.timings) for pair in pairs)
                self.on_progress("timing", rounds, max(pair.looks[-1] for pair in pairs))
            placing.after_round()

        throttled = self.on.clock.throttled()
        if self.gpu:
            self.gpu.look()
        run_rounds(
            pairs,
            calibrators,
            on=self.on,
            until=self.until,
            at_last=self.at_last,
            after_round=after_round,
            together=self.together is not None,
        )
        use = self.gpu.look() if self.gpu else GpuUse()
        for pair in pairs:
            pair.throttled = self.on.clock.throttled() - throttled
            pair.gpu = use

    def _warmed(self, forward: Forward, *, seconds: float) -> WarmUp:
        until = min(self.until, self.on.clock.wall() + seconds)
        return warm_up(forward, on=self.on, until=until)

    def is_worth_repeating(self, candidate: Candidate) -> bool:
        return bool(candidate.attempts) and self._best(candidate).verdict == "disturbed"

    def measurement(self, candidate: Candidate) -> Measurement:
        """The candidate's record: of its better attempt, with the samples of all."""
        record = partial(self._record, candidate)
        if not candidate.attempts:
            return record(samples=(), verdict="incomplete", reason=candidate.fault)
        best = self._best(candidate)
        samples = tuple(
            self.on.seconds(timing) * 1e3 for pair in candidate.attempts for timing in pair.timings
        )
        if best.ratio is None:
            return record(samples=samples, verdict=best.verdict, reason=best.reason)
        assert candidate.prepared is not None
        if complaint := candidate.prepared.complaint():
            return record(samples=samples, verdict="incomplete", reason=complaint)
        constant = self.calibration.constants_ms[best.pair.calibrator]
        return record(
            samples=samples,
            value=best.ratio.value * constant,
            low=best.ratio.low * constant,
            high=best.ratio.high * constant,
            verdict=best.verdict,
            reason=best.reason,
            details=self._details(candidate, best=best),
        )

    def _best(self, candidate: Candidate) -> _Outcome:
        """The better verdict; of equal ones the narrower interval, then the later attempt."""
        outcomes = [self._outcome(pair) for pair in reversed(candidate.attempts)]
        return min(outcomes, key=_worth)

    def _outcome(self, pair: Pair) -> _Outcome:
        if pair.fault:
            return _Outcome(pair=pair, verdict="incomplete", reason=pair.fault)
        if not pair.has_value:
            needed, number = estimate.NEEDED_FORWARDS, len(pair.timings)
            reason = f"only {number} of {needed} needed forward passes fitted into the budget"
            return _Outcome(pair=pair, verdict="incomplete", reason=reason)
        ratio = pair.ratio(on=self.on)
        if not ratio.value:
            reason = "it takes less time than the clock can tell"
            return _Outcome(pair=pair, verdict="incomplete", reason=reason)
        drift = estimate.drift([self.on.seconds(timing) for timing in pair.calibration])
        # On a GPU the thread waits for the device: that is no disturbance.
        is_cpu = self.conditions.device == "cpu"
        off_cpu = estimate.off_cpu_share([*pair.timings, *pair.calibration]) if is_cpu else None
        verdict, reason = estimate.verdict(
            forwards=len(pair.timings),
            off_cpu=off_cpu,
            drift=drift,
            half_width=ratio.half_width,
            throttled=pair.throttled,
            gpu=pair.gpu.disturbance,
        )
        return _Outcome(
            pair=pair, verdict=verdict, reason=reason, ratio=ratio, drift=drift, off_cpu=off_cpu
        )

    def _details(self, candidate: Candidate, *, best: _Outcome) -> dict[str, float | int | str]:
        pair, on, warm = best.pair, self.on, candidate.warm
        assert best.ratio is not None
        assert warm is not None
        assert candidate.prepared is not None
        walls_ms = [timing.wall * 1e3 for timing in pair.timings]
        constant = self.calibration.constants_ms[pair.calibrator]
        details: dict[str, float | int | str] = {
            "wall_median_ms": estimate.quantile(walls_ms, 0.5),
            "wall_p95_ms": estimate.quantile(walls_ms, 0.95),
            "forwards": len(pair.timings),
            "placement_rounds": pair.placement_rounds,
            "images_per_second": self.conditions.batch / (best.ratio.value * constant) * 1e3,
            "calibrator": pair.calibrator,
            "calibration_ms": estimate.lower_mean(
                [on.seconds(timing) * 1e3 for timing in pair.calibration]
            ),
            "calibration_constant_ms": constant,
            "calibration_drift": best.drift,
            "warm_up_forwards": warm.forwards,
            "warm_up_settled": "yes" if warm.settled else "no",
            "pinned_to": ", ".join(map(str, self.seat.cores)) or self.seat.note,
        }
        details |= preparation_details(candidate.prepared)
        if candidate.prepared.precision != self.conditions.precision:
            details["precision_asked"] = self.conditions.precision
        if best.off_cpu is not None:
            details["off_cpu_share"] = best.off_cpu
            details["run_delay_share"] = estimate.delay_share(pair.timings)
        details |= self.calibration.details()
        if pair.gpu.note:
            details["gpu_note"] = pair.gpu.note
        if len(candidate.attempts) > 1:
            first = candidate.attempts[0]
            details["repeats"] = len(candidate.attempts) - 1
            details["repeated_because"] = self._outcome(first).reason
            details["first_sample_used"] = 0 if pair is first else len(first.timings)
        return details

    def _record(
        self,
        candidate: Candidate,
        *,
        samples: tuple[float, ...],
        verdict: Verdict,
        reason: str,
        value: float | None = None,
        low: float | None = None,
        high: float | None = None,
        details: Mapping[str, float | int | str] | None = None,
    ) -> Measurement:
        found = candidate.prepared
        precision = found.precision if found else self.conditions.precision
        return Measurement(
            metric="latency",
            unit="ms",
            samples=samples,
            value=value,
            low=low,
            high=high,
            conditions=replace(self.conditions, precision=precision),
            environment_id=self.environment.id,
            verdict=verdict,
            reason=reason,
            details=details or {},
        )


def _worth(outcome: _Outcome) -> tuple[int, float]:
    width = outcome.ratio.half_width if outcome.ratio else math.inf
    return _BEST_FIRST.index(outcome.verdict), width
