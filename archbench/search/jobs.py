"""What workers do: a trial, a training, and the steps beside them; and where their files lie."""

import statistics
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from archbench.errors import NEGATIVE_RESULT, NETWORK_FAULTS, ArchbenchError, fault_text
from archbench.evaluate.foreign import planned_network
from archbench.evaluate.proxy import Proxy
from archbench.evaluate.target import Target, calibrated
from archbench.measure.machine import capture_environment
from archbench.models import as_spec
from archbench.progress import of_waits
from archbench.search.scheduler import (
    HoldOthers,
    LetOthersGo,
    OnTarget,
    Place,
    Question,
    Send,
    progress_to,
)
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement
from archbench.study.objective import OBJECTIVES
from archbench.study.trial import CurvePoint, Failure, QuantisedAccuracy, TrialState

Document = Mapping[str, Any]


class NoLatencyError(ArchbenchError):
    """A candidate whose latency could not be had."""

    exit_code = NEGATIVE_RESULT


@dataclass(frozen=True, kw_only=True)
class RungReached(Question):
    """A point of the curve, and the checkpoint that is durable since; answered once stored."""

    point: CurvePoint
    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class MayGoOn(Question):
    """Whether a trial is to be trained beyond a rung: answered by why not, in words, or nothing."""

    seed: int
    epoch: int


@dataclass(frozen=True, kw_only=True)
class TimedAgain:
    """A further timing of another trial, which says how far runs differ."""

    number: int
    latency: Measurement


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that was not as it should be, in words."""

    text: str


@dataclass(frozen=True, kw_only=True)
class WeightsInherited:
    """The share of a network's parameters that came from the ancestor, 0 to 1."""

    share: float


@dataclass(frozen=True, kw_only=True)
class TrialEnd:
    """How a trial ended; see ``Store.finish``."""

    state: TrialState
    proxy_accuracy: float | None = None
    reason: str = ""
    failure: Failure | None = None
    quantised: tuple[QuantisedAccuracy, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InInt8:
    """What became of a design in int8, beside the precision in which it was proposed."""

    end: TrialEnd
    latency: Measurement | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TimeJob:
    """One timing of a network, with untrained weights, beside which nothing works."""

    number: int
    spec: Document
    target: Target
    place: ClassVar[Place] = "target"

    def run(self, send: Send) -> Measurement:
        """Holds up others meanwhile, and gives the latency; see ``Target.measure``."""
        told, alone = of_waits(progress_to(send)), partial(_others_held, send)
        return self.target.measure(planned_network(self.spec), alone=alone, on_progress=told)


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """One training of a network with one seed, from wherever it stood."""

    place: ClassVar[Place] = "training"
    number: int
    spec: Document
    proxy: Proxy
    seed: int
    checkpoint: Path
    sha256: str | None = None  # of the checkpoint; without it whatever lies there is taken
    weights: Path | None = None  # where they are kept, if they are
    int8: Conditions | None = None  # under which the weights are quantised, if they are

    def run(self, send: Send) -> float:
        """Sends rungs and notes, and gives the accuracy at the last rung; see ``Proxy.train``.

        What it reaches in int8 is sent, too, where it is to be quantised.
        """
        accuracy, _ = self.train(send)
        if self.int8 is not None:
            send(self.quantise())
        return accuracy

    def train(self, send: Send, *, asks: bool = False, is_last: bool = True) -> tuple[float, str]:
        """The accuracy at the last rung reached, and why it was ended there, if it was.

        Where it ``asks``, it does at each rung, but not at the last one where that ``is_last``.
        """
        reason = ""

        def tell(point: CurvePoint, path: Path, sha256: str) -> bool:
            nonlocal reason
            send(RungReached(point=point, path=path, sha256=sha256))
            if asks and not (is_last and point.epoch == self.proxy.recipe.epochs):
                reason = send(MayGoOn(seed=self.seed, epoch=point.epoch))
            return not reason

        accuracy = self.proxy.train(
            planned_network(self.spec),
            seed=self.seed,
            checkpoint=self.checkpoint,
            sha256=self.sha256,
            weights=self.weights,
            on_point=tell,
            on_note=lambda text: send(Note(text=text)),
            on_inherited=lambda share: send(WeightsInherited(share=share)),
        )
        return accuracy, reason

    def quantise(self) -> QuantisedAccuracy:
        """What the weights of the ended training reach in int8; see ``Proxy.quantised``."""
        assert self.int8 is not None
        assert self.weights is not None
        return self.proxy.quantised(
            as_spec(self.spec), seed=self.seed, weights=self.weights, conditions=self.int8
        )


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """One trial, from wherever it stood: timed, held against the limit, trained.

    Trainings that say so are quantised at their end. Then the trial is itself in int8, where its
    target is; or it is in floats, and in int8 the design is a trial of its own, which the job tells
    the owner of.
    """

    place: ClassVar[Place] = "training"
    number: int
    trainings: Sequence[TrainJob]
    target: Target | None  # None where latency is neither objective nor limit
    latency: Measurement | None
    limits: Mapping[str, float]  # what of a timing must be known, to the most that it may be
    again: Mapping[int, Document] = field(default_factory=dict)  # trials to be timed beside it
    asks: bool = False  # the owner, at each rung before the last, whether it goes on
    has_both: bool = False  # whether the design is a trial of its own in int8, too

    def run(self, send: Send) -> TrialEnd:
        """Sends latencies, rungs and notes, and gives the end.

        Raises:
            NoLatencyError: The latency could not be had.
        """
        latency, in_int8, asks = self._timed(send), None, self.asks
        reason = over_limit(latency, limits=self.limits)
        if reason and self.has_both and self.target is not None:
            in_int8 = self._measure(self.target.at("int8"), send)
            reason = over_limit(in_int8, limits=self.limits) and reason
            asks = False  # the pruner knows what it costs in floats alone
        if reason:
            return TrialEnd(state="over_limit", reason=reason)
        accuracies = []
        for training in self.trainings:
            is_last = training is self.trainings[-1]
            accuracy, reason = training.train(send, asks=asks, is_last=is_last)
            if reason:
                return TrialEnd(state="pruned", reason=reason)
            accuracies.append(accuracy)
        if self.has_both:
            send(self._in_int8(in_int8, send))
        elif self.trainings[0].int8 is not None:
            return self._quantised()
        return TrialEnd(state="complete", proxy_accuracy=statistics.fmean(accuracies))

    def _timed(self, send: Send) -> Measurement | None:
        latency = self.latency
        if latency is None and self.target is not None:
            latency = self._measure(self.target, send)
            send(latency)
            for number, spec in self.again.items():
                again = self._measure(self.target, send, spec=spec)
                send(TimedAgain(number=number, latency=again))
        if latency is not None:
            self._require_timed(latency)
        return latency

    def _measure(self, target: Target, send: Send, *, spec: Document | None = None) -> Measurement:
        make = partial(TimeJob, spec=spec or self.trainings[0].spec, target=target)
        taken: Measurement = send(OnTarget(make=make))
        return taken

    def _quantised(self) -> TrialEnd:
        found = tuple(training.quantise() for training in self.trainings)
        mean = statistics.fmean(one.accuracy for one in found)
        return TrialEnd(state="complete", proxy_accuracy=mean, quantised=found)

    def _in_int8(self, latency: Measurement | None, send: Send) -> InInt8:
        """What becomes of the trained design in int8; a fault there is not that of the trial."""
        begin = time.monotonic()
        try:
            if latency is None and self.target is not None:
                latency = self._measure(self.target.at("int8"), send)
            if latency is not None:
                self._require_timed(latency)
            reason = over_limit(latency, limits=self.limits)
            over = TrialEnd(state="over_limit", reason=reason)
            end = over if reason else self._quantised()
        except (NoLatencyError, *NETWORK_FAULTS) as error:
            told = error.message if isinstance(error, NoLatencyError) else fault_text(error)
            end = TrialEnd(state="failed", failure=Failure(kind="error", message=told))
        return InInt8(end=end, latency=latency, seconds=time.monotonic() - begin)

    def _require_timed(self, latency: Measurement) -> None:
        """Refuses a timing that lacks a number that is wanted of it."""
        if latency.value is None:
            raise NoLatencyError(f"no latency could be had: {latency.reason}")
        for one in map(OBJECTIVES.__getitem__, self.limits):
            if one.timed is None or one.timed(latency) is None:
                why = latency.details.get(f"{one.detail}_missing") or "the timing lacks it"
                raise NoLatencyError(f"no {one.label} could be had: {why}")


def environment_there(send: Send) -> Environment:
    """Machine and software of the worker."""
    return capture_environment()


def time_each(
    send: Send, *, specs: Mapping[str, Document], target: Target, int8: Container[str] = ()
) -> dict[str, Measurement]:
    """Name to latency, of networks that are timed one by one, each as a trial is.

    Those that ``int8`` names are timed in int8, whatever the target's precision.
    """
    told = of_waits(progress_to(send))
    return {
        name: (target.at("int8") if name in int8 else target).measure(
            planned_network(spec), on_progress=told
        )
        for name, spec in specs.items()
    }


def time_forms(
    send: Send,
    *,
    specs: Mapping[str, Document],
    conditions: Conditions,
    environment: Environment,
    budget_s: float,
) -> dict[str, Measurement]:
    """Digest to latency of the deployed form, of networks that are timed in turn.

    Of the conditions the resolution is each network's own; ``budget_s`` seconds are for each,
    where the machine does not settle before.
    """
    tell = progress_to(send)
    target = calibrated(conditions, environment=environment, on_progress=tell)
    networks = {digest: as_spec(spec) for digest, spec in specs.items()}
    return target.measure_together(networks, budget_s=budget_s, on_progress=tell)


def held_out_accuracy(
    send: Send,
    *,
    spec: Document,
    proxy: Proxy,
    weights: Sequence[Path],
    int8: Conditions | None = None,
) -> float:
    """The accuracy on the held-out test split, 0 to 1: the mean over trainings.

    It is that of the networks in int8 where conditions are given under which they are quantised.
    """
    tested = partial(proxy.test, as_spec(spec), quantised=int8)
    return statistics.fmean(tested(weights=file) for file in weights)


def train_again(send: Send, *, job: TrainJob) -> float:
    """The accuracy of a training that was taken before, made anew for its weights."""
    accuracy, _ = job.train(lambda payload: None)
    return accuracy if job.int8 is None else job.quantise().accuracy


@contextmanager
def _others_held(send: Send) -> Iterator[None]:
    """Holds up the other workers while the block runs."""
    send(HoldOthers())
    try:
        yield
    finally:
        send(LetOthersGo())


def over_limit(latency: Measurement | None, *, limits: Mapping[str, float]) -> str:
    """Which number of a timing is over its limit, in words; empty where none is."""
    for name, most in limits.items():
        one = OBJECTIVES[name]
        value = one.timed(latency) if latency and one.timed else None
        if value is not None and one.direction == "min" and value > most:
            told = f"{one.label} {value:.3g} {one.unit}"
            return f"{told} is over the limit of {most:g} {one.unit}"
    return ""


def checkpoint_path(folder: Path, number: int, *, seed: int) -> Path:
    """Where a running training keeps what it needs to go on."""
    return folder / f"trial-{number:05d}-seed-{seed}.checkpoint.safetensors"


def weights_path(folder: Path, number: int, *, seed: int) -> Path:
    """Where a finished training's weights lie."""
    return folder / f"trial-{number:05d}-seed-{seed}.safetensors"
