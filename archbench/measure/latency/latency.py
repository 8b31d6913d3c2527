"""How long does a forward pass take on this device, how sure is that, and was it disturbed?

Times drift from process to process, and whatever else the machine does shows in all of them. So
each network is timed in turn with a calibration network whose time here is known; its latency is
the ratio of the two, times that constant. The interval is that of the ratio in this process: two
processes differ by somewhat more, see benchmarks/latency_trust.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch
from torch import Tensor, nn

from archbench.errors import NETWORK_FAULTS, InexactError, fault_text
from archbench.exactness import tensors_of
from archbench.measure.agreement import prepared
from archbench.measure.backend import Runnable
from archbench.measure.gpu import GpuWatch, gpu_watch
from archbench.measure.latency.calibration import CalibratedBench, check_drift
from archbench.measure.latency.clock import Forward, Watch
from archbench.measure.latency.estimate import quantile
from archbench.measure.latency.rounds import (
    WANTED_HALF_WIDTH,
    Attempt,
    Placed,
    WarmUp,
    placement_rounds,
    run_rounds,
    warm_up,
)
from archbench.study.measurement import Conditions, Measurement, Verdict

# Of the budget, for all candidates together and for all calibrators together.
_WARM_UP_SHARE = 0.125
# How many budgets a network may take that is too slow to get a value within one.
_PATIENCE = 3


def measure_latency(
    networks: Mapping[str, nn.Module | Runnable],
    *,
    bench: CalibratedBench,
    budget_s: float = 10.0,
    together: float | None = None,
    gpu: GpuWatch | None = None,
    conditions: Mapping[str, Conditions] = MappingProxyType({}),
    images: Mapping[str, Sequence[Tensor]] = MappingProxyType({}),
) -> dict[str, Measurement]:
    """The latency of each network in milliseconds a batch, all of them timed in shared rounds.

    Networks are in the form that is to be timed, or ready to be run, and stay as they are. One that
    raises or returns what is not finite gets the verdict ``incomplete`` and the reason, and the
    others go on. A disturbed one is timed once more while the budget lasts, which its details say.
    The bench's conditions hold, or for those of some names ``conditions`` of their own, which have
    another batch or resolution. A result has the precision that ran. For int8 networks are
    calibrated on ``images``, batches (B, 3, H, W) of their conditions' shape.

    The budget is for all networks together, constants apart, and by the clock that counts, so that
    on one CPU thread a loaded machine only makes it longer. The measurement stops earlier when
    every interval is within ±1 %; for networks so slow that five passes do not fit, it may take
    three times as long. For a comparison ``together`` is the half width that is wanted of each
    interval: then nothing is repeated, and every round has a pass of each network, so that their
    samples pair up; and where the backend can, all of them are placed anew in memory every so many
    rounds, as ``placement_rounds`` in their details says.

    Samples are the raw times in milliseconds that the estimate is made of: CPU time on one CPU
    thread, wall time on several, time between events on a GPU. The value is their lower mean /
    ``calibration_ms`` x ``calibration_constant_ms``; of networks that were placed anew, the mean
    over the places of that ratio.

    Raises:
        UsageError: A backend or precision that cannot be.
        MissingError: This machine lacks what the backend needs.
    """
    watch = gpu or bench.others or gpu_watch(bench.conditions.device)
    own = {name: conditions.get(name, bench.conditions) for name in networks}
    session = _Session(bench=bench, conditions=own, together=together, others=watch)
    for name, network in networks.items():
        with session.faults_of(name):
            session.networks[name] = (
                network
                if isinstance(network, Runnable)
                else _prepared(network, conditions=own[name], images=images.get(name, ()))
            )
    session.run(budget_s=budget_s, share=1 / max(1, len(networks)))
    return {name: session.measurement(name) for name in networks}


def _prepared(network: nn.Module, *, conditions: Conditions, images: Sequence[Tensor]) -> Runnable:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(conditions.batch, 3, *conditions.resolution, generator=generator)
    example = images[0] if images else noise
    return prepared(network, example, conditions=conditions, images=images or None)


@dataclass(kw_only=True)
class _Session:
    """One measurement of several networks, by name; a network with a fault takes no part."""

    bench: CalibratedBench
    conditions: Mapping[str, Conditions]
    together: float | None
    others: Watch | None
    networks: dict[str, Runnable] = field(default_factory=dict)
    warm: dict[str, WarmUp] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    until: float = 0.0
    warm_up_s: float = 0.0

    @contextmanager
    def faults_of(self, name: str) -> Iterator[None]:
        """What is raised within is the network's fault, unless the device is lost."""
        try:
            yield
        except torch.AcceleratorError:
            raise
        except InexactError as error:
            self.faults[name] = str(error)
        except NETWORK_FAULTS as error:
            self.faults[name] = fault_text(error)

    def run(self, *, budget_s: float, share: float) -> None:
        """Times all networks, and once more those that were disturbed, while the budget lasts."""
        now = self.bench.now
        self.warm_up_s = budget_s * _WARM_UP_SHARE
        self.until, at_last = now() + budget_s, now() + budget_s * _PATIENCE
        for name, network in self.networks.items():
            with self.faults_of(name):
                if all(bool(torch.isfinite(one).all()) for one in tensors_of(network.run())):
                    self.warm[name] = self._warmed(network.run, seconds=self.warm_up_s * share)
                else:
                    self.faults[name] = "its output is not finite"
        self._time_in_rounds(list(self.warm), at_last=at_last)
        disturbed = [name for name in self.warm if self._best(name).verdict == "disturbed"]
        if disturbed and self.together is None and now() < self.until:
            self._time_in_rounds(disturbed, at_last=at_last)
        if now() < self.until:
            check_drift(self.bench)

    def _warmed(self, forward: Forward, *, seconds: float) -> WarmUp:
        until = min(self.until, self.bench.now() + seconds)
        return warm_up(forward, bench=self.bench, until=until)

    def _time_in_rounds(self, names: Sequence[str], *, at_last: float) -> None:
        """One attempt at each network, in shared rounds."""
        bench, references = self.bench, self.bench.calibration.references
        attempts = {
            name: Attempt(
                network=self.networks[name],
                pass_s=self.warm[name].seconds,
                references=references(self.warm[name].seconds),
                wanted_half_width=self.together or WANTED_HALF_WIDTH,
            )
            for name in names
        }
        calibrators, round_s = self._warm_calibrators(attempts.values())
        round_s += sum(self.warm[name].round_s for name in names)
        if self.together is not None:
            stay = placement_rounds(seconds=self.until - bench.now(), round_s=round_s)
            for attempt in attempts.values():
                attempt.placement_rounds = stay if attempt.network.relocated else 0
        throttled = bench.clock.throttled()
        if self.others:
            self.others.use()
        run_rounds(
            list(attempts.values()),
            calibrators,
            bench=bench,
            until=self.until,
            at_last=at_last,
            together=self.together is not None,
        )
        use = self.others.use() if self.others else {"disturbance": "", "note": ""}
        throttled = bench.clock.throttled() - throttled
        for name, attempt in attempts.items():
            attempt.judge(bench=bench, throttled=throttled, others=use["disturbance"])
            attempt.note = use["note"]
            self.attempts.setdefault(name, []).append(attempt)

    def _warm_calibrators(self, attempts: Iterable[Attempt]) -> tuple[dict[str, Placed], float]:
        """The calibration networks in use, warm, and the seconds of one round of each."""
        names = dict.fromkeys(name for attempt in attempts for name in attempt.references)
        calibrators = {name: Placed(network=self.bench.ready(name)) for name in names}
        seconds = self.warm_up_s / max(1, len(calibrators))
        round_s = 0.0
        for entry in calibrators.values():
            warm = self._warmed(entry.forward, seconds=seconds)
            entry.pass_s, round_s = warm.seconds, round_s + warm.round_s
        return calibrators, round_s

    def _best(self, name: str) -> Attempt:
        """The better of the attempts; of equal ones the later."""
        return min(reversed(self.attempts[name]), key=lambda attempt: attempt.rank)

    def measurement(self, name: str) -> Measurement:
        """The network's record: of its better attempt, with the samples of all."""
        bench, network = self.bench, self.networks.get(name)
        attempts = self.attempts.get(name, [])
        timings = [timing for attempt in attempts for timing in attempt.timings]
        value = low = high = None
        verdict: Verdict = "incomplete"
        reason, details = self.faults.get(name, ""), {}
        if network is not None and attempts:
            best = self._best(name)
            reason = best.reason
            if best.found is not None and (complaint := network.complaint()):
                reason = complaint
            elif best.found is not None:
                ratio, constant = best.found, bench.calibration.constant_ms(best.references)
                value, low, high = (x * constant for x in (ratio.value, ratio.low, ratio.high))
                verdict, details = best.verdict, self._details(name, best=best, value=value)
        precision = network.precision if network else bench.conditions.precision
        return Measurement(
            metric="latency",
            unit="ms",
            samples=tuple(bench.seconds(timing) * 1e3 for timing in timings),
            value=value,
            low=low,
            high=high,
            conditions=replace(self.conditions[name], precision=precision),
            environment_id=bench.environment.id,
            verdict=verdict,
            reason=reason,
            details=details,
        )

    def _details(self, name: str, *, best: Attempt, value: float) -> dict[str, float | int | str]:
        bench, network, warm = self.bench, self.networks[name], self.warm[name]
        calibration, pinning = bench.calibration, bench.pinning
        walls_ms = [timing.wall * 1e3 for timing in best.timings]
        details: dict[str, float | int | str] = {
            "wall_median_ms": quantile(walls_ms, 0.5),
            "wall_p95_ms": quantile(walls_ms, 0.95),
            "forwards": len(best.timings),
            "placement_rounds": best.placement_rounds,
            "images_per_second": self.conditions[name].batch / value * 1e3,
            "calibrator": _in_words(best.references),
            "calibration_ms": bench.mean_ms(best.calibration),
            "calibration_constant_ms": calibration.constant_ms(best.references),
            "calibration_drift": best.drift,
            "warm_up_forwards": warm.forwards,
            "warm_up_settled": "yes" if warm.settled else "no",
            "pinned_to": ", ".join(map(str, pinning.cores)) or pinning.note,
            **network.details,
            "preparation_s": network.seconds,
        }
        if network.error is not None:
            details["backend_error"] = network.error
        if network.precision != bench.conditions.precision:
            details["precision_asked"] = bench.conditions.precision
        if best.off_cpu is not None:
            details["off_cpu_share"] = best.off_cpu
            waited_ms = sum(timing.delay * 1e3 for timing in best.timings)
            details["run_delay_share"] = waited_ms / sum(walls_ms)
        details |= calibration.details()
        if best.note:
            details["board" if bench.conditions.is_remote else "gpu_note"] = best.note
        first, *repeats = self.attempts[name]
        if repeats:
            details["repeats"] = len(repeats)
            details["repeated_because"] = first.reason
            details["first_sample_used"] = 0 if best is first else len(first.timings)
        return details


def _in_words(references: Mapping[str, float]) -> str:
    """For example ``attention_small_1``, or ``0.70 anchor_869f9109, 0.30 anchor_1c03b1aa``."""
    if len(references) == 1:
        return next(iter(references))
    return ", ".join(f"{weight:.2f} {name}" for name, weight in references.items())
