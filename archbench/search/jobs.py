"""What a worker does with a candidate: time it, hold it against the limit, train it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import NEGATIVE_RESULT, ArchbenchError
from archbench.search.job import Question
from archbench.study.measurement import Measurement
from archbench.study.trial import CurvePoint, TrialState

if TYPE_CHECKING:
    from archbench.evaluate import Proxy, Target
    from archbench.search.job import Send


class NoLatencyError(ArchbenchError):
    """A candidate whose latency could not be had."""

    exit_code = NEGATIVE_RESULT


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A training's checkpoint."""

    seed: int
    path: Path
    sha256: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A point of the curve, whose checkpoint is durable."""

    point: CurvePoint
    saved: Saved


@dataclass(frozen=True, kw_only=True)
class MayGoOn(Question):
    """Whether a trial is to be trained beyond a rung: answered by why not, in words, or nothing."""

    seed: int
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that was not as it should be, in words."""

    text: str


@dataclass(frozen=True, kw_only=True)
class TrialEnd:
    """How a trial ended that did not fail."""

    state: TrialState
    proxy_accuracy: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """One trial, from wherever it stood.

    Attributes:
        number: Of the trial.
        spec: The candidate as a document.
        proxy: What its accuracy is taken on.
        target: What its latency is taken on; None where latency is neither objective nor limit.
        latency: Its latency, where it has been measured before.
        latency_limit_ms: What it may take at most, or None.
        folder: For checkpoints and weights.
        saved: Checkpoints on record by seed.
        asks: Whether the owner is asked at each rung before the last if it goes on.
    """

    number: int
    spec: Mapping[str, Any]
    proxy: Proxy
    target: Target | None
    latency: Measurement | None
    latency_limit_ms: float | None
    folder: Path
    saved: Mapping[int, Saved]
    asks: bool = False

    def run(self, send: Send) -> TrialEnd:
        """Sends the latency, the rungs and notes, and gives the end.

        Raises:
            NoLatencyError: The latency could not be had.
            ArchbenchError: See ``archbench.evaluate``.
        """
        from archbench.evaluate import as_spec

        spec = as_spec(self.spec)
        latency = self.latency
        if latency is None and self.target is not None:
            latency = self.target.measure(spec)
            send(latency)
        if latency is not None and latency.value is None:
            raise NoLatencyError(f"no latency could be had: {latency.reason}")
        reason = over_limit(latency, limit_ms=self.latency_limit_ms)
        if reason:
            return TrialEnd(state="over_limit", reason=reason)
        accuracies = []
        for seed in range(self.proxy.num_seeds):
            accuracy, reason = self._train(spec, seed=seed, send=send)
            if reason:
                return TrialEnd(state="pruned", reason=reason)
            accuracies.append(accuracy)
        return TrialEnd(state="complete", proxy_accuracy=statistics.fmean(accuracies))

    def _train(self, spec: Any, *, seed: int, send: Send) -> tuple[float, str]:
        """The accuracy at the last rung reached, and why it was stopped there, if it was."""
        reason = ""

        def tell(point: CurvePoint, path: Path, sha256: str) -> bool:
            nonlocal reason
            saved = Saved(seed=seed, path=path, sha256=sha256, epoch=point.epoch)
            send(Rung(point=point, saved=saved))
            if self.asks and not self._is_last(seed=seed, epoch=point.epoch):
                reason = send(MayGoOn(seed=seed, epoch=point.epoch))
            return not reason

        saved = self.saved.get(seed)
        accuracy = self.proxy.train(
            spec,
            seed=seed,
            checkpoint=checkpoint_path(self.folder, self.number, seed=seed),
            sha256=saved.sha256 if saved else None,
            weights=weights_path(self.folder, self.number, seed=seed),
            on_point=tell,
            on_note=lambda text: send(Note(text=text)),
        )
        return accuracy, reason

    def _is_last(self, *, seed: int, epoch: int) -> bool:
        return seed == self.proxy.num_seeds - 1 and epoch == self.proxy.recipe.epochs


def over_limit(latency: Measurement | None, *, limit_ms: float | None) -> str:
    """Why a latency is too long, in words; empty where it is not."""
    if latency is None or latency.value is None or limit_ms is None or latency.value <= limit_ms:
        return ""
    return f"latency {latency.value:.3g} ms is over the limit of {limit_ms:g} ms"


def checkpoint_path(folder: Path, number: int, *, seed: int) -> Path:
    """Where a running training keeps what it needs to go on."""
    return folder / f"trial-{number:05d}-seed-{seed}.checkpoint.safetensors"


def weights_path(folder: Path, number: int, *, seed: int) -> Path:
    """Where a finished training's weights lie."""
    return folder / f"trial-{number:05d}-seed-{seed}.safetensors"


def numbers_with_files(folder: Path) -> set[int]:
    """Trials of which any file lies in the folder."""
    return {int(file.name.split("-")[1]) for file in folder.glob("trial-*-seed-*")}


def remove_files(folder: Path, number: int, *, keep_weights: bool) -> None:
    """Deletes what a trial that is over needs no more."""
    for file in folder.glob(f"trial-{number:05d}-seed-*"):
        is_weights = ".checkpoint." not in file.name
        if not (is_weights and keep_weights):
            file.unlink(missing_ok=True)
