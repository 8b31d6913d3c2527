"""How does a network learn by a full recipe, on one device or several, whatever interrupts it?"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from archbench.data.stream import Stream
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import Checkpoint
from archbench.train.full_recipe import FullRecipe
from archbench.train.full_step import FullTrainer
from archbench.train.processes import from_first, mean_of, rank
from archbench.train.resumable import (
    CHECKPOINT_EVERY_S,
    NonFiniteLossError,
    OnPoint,
    ResumableTraining,
    require_teacher,
    share_right,
)
from archbench.train.step import Teacher, signature

_T = TypeVar("_T")


def train_fully(
    network: nn.Module,
    stream: Stream,
    *,
    recipe: FullRecipe,
    seed: int,
    device: str | torch.device = "cpu",
    teacher: Teacher | None = None,
    checkpoint: Path | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    on_point: OnPoint | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[CurvePoint, ...]:
    """Trains a network in place by a full recipe, and gives its accuracy after each epoch.

    The network comes with fresh or given weights and ends with those that the recipe evaluates. The
    batches of the stream are ``recipe.step_batch(world)`` images each; what does not fill the last
    step of an epoch makes a smaller one. On the CPU the result is a function of the arguments'
    values and the number of threads, bit for bit, however often it was interrupted.

    The checkpoint is a file, renewed after each epoch, from which an interrupted training goes on;
    beside it lies one within an epoch, ``checkpoint_every_s`` seconds of training or more after
    another. The arguments ``on_point``, ``on_progress``, ``on_note`` and ``clock`` are as in
    ``archbench.train.loop.train``; in ``on_point`` the network has the weights that are evaluated.
    A loss that is not finite ends the training; the last checkpoint, whose weights are finite, is
    kept. An accuracy that has not risen for the recipe's ``patience`` ends it, too.

    Where the caller has initialised ``torch.distributed`` (torchrun), each process calls this with
    its own part of the stream. Gradients are averaged; the first process evaluates, calls
    ``on_point``, ``on_progress`` and ``on_note`` and writes the one checkpoint, and the others
    wait. Batch norm is as in ``FullTrainer``, so the first process's network is the one to keep. A
    training may go on with another number of processes, if not bit for bit.

    Raises:
        NonFiniteLossError: The loss of a step or a weight is not finite; the step is named.
        UsageError: Data, batch and network do not fit, the teacher is not the one of the recipe, or
            the checkpoint is of another training.
        StorageError: The checkpoint cannot be written, or only damaged ones are left.
        MissingError: The recipe needs timm, which is not installed.
    """
    require_teacher(teacher, named=recipe.teacher, help="give the one that the recipe names")
    trainer = FullTrainer(
        network,
        recipe=recipe,
        num_classes=stream.num_classes,
        seed=seed,
        device=torch.device(device),
        answers=teacher.answers if teacher else None,
    )
    identity = {
        "recipe": recipe.document(),
        "seed": seed,
        "data": stream.digest,
        "resolution": stream.resolution,
        "network": signature(trainer.network),
        **({"teacher": teacher.sha256} if teacher else {}),
    }
    training = _Training(
        trainer=trainer,
        stream=stream,
        num_steps=math.ceil(stream.train.num_steps / recipe.accumulate),
        epochs=recipe.epochs,
        seed=seed,
        identity=identity,
        clock=clock,
        on_progress=on_progress if rank() == 0 else None,
        on_note=on_note if rank() == 0 else None,
    )
    points = training.run(
        rungs=range(1, recipe.epochs + 1),
        checkpoint=checkpoint,
        checkpoint_every_s=checkpoint_every_s,
        on_point=on_point,
    )
    trainer.exchange()
    return points


@dataclass(kw_only=True)
class _Training(ResumableTraining):
    """A training by a full recipe on a stream of images; ``kept`` is the step last kept."""

    trainer: FullTrainer
    stream: Stream
    kept: int = 0

    def steps(self) -> Iterator[Tensor]:
        recipe, num_batches = self.trainer.recipe, self.stream.train.num_steps
        first = self.epoch_step * recipe.accumulate
        batches = self.stream.train.epoch(self.epoch, first_step=first)
        rate = recipe.learning_rate(self.epoch)
        for begin in range(first, num_batches, recipe.accumulate):
            parts = min(recipe.accumulate, num_batches - begin)
            loss = self.trainer.step(batches, number=self.step, parts=parts, rate=rate)
            yield loss[None]

    def checked_sum(self, measured: Tensor) -> float:
        return super().checked_sum(mean_of(measured))

    def advice(self) -> str:
        saver = {"fp16": ", or set recipe.precision=bf16", "bf16": ", or set recipe.precision=fp32"}
        kept = f"; the checkpoint after step {self.kept:,} is kept" if self.kept else ""
        return f"lower recipe.rate{saver.get(self.trainer.recipe.precision, '')}{kept}"

    def accuracy(self) -> float:
        with self.trainer.evaluated():
            return self._from_first(self._accuracy)

    def _accuracy(self) -> float:
        batches = ((images, labels) for images, labels, _ in self.stream.validation.batches())
        trainer = self.trainer
        layout = trainer.memory_format
        return share_right(trainer.network, batches, device=trainer.device, memory_format=layout)

    def tell(self, on_point: OnPoint | None, path: Path | None, sha256: str | None) -> bool | None:
        told = super().tell
        with self.trainer.evaluated():
            goes_on = self._from_first(lambda: told(on_point, path, sha256))
        return False if self._has_stopped_rising() else goes_on

    def _has_stopped_rising(self) -> bool:
        patience = self.trainer.recipe.patience
        best = max(self.points, key=lambda point: point.accuracy).epoch  # the first of equals
        is_over = 0 < patience <= self.epoch - best
        if is_over and self.on_note:
            self.on_note(
                f"ended after epoch {self.epoch}: the accuracy has not risen since epoch {best}"
            )
        return is_over

    def save(self, path: Path) -> str:
        written = super().save
        sha256 = self._from_first(lambda: self._when_finite(lambda: written(path)))
        self.kept = self.step
        return sha256

    def save_within(self) -> None:
        if rank() == 0:
            self._when_finite(super().save_within)
            self.kept = self.step

    def _when_finite(self, write: Callable[[], _T]) -> _T:
        """Writes a checkpoint, but none from which a training could only go on to fail."""
        for name, tensor in self.trainer.state().items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise NonFiniteLossError(
                    f"{name} is not finite in epoch {self.epoch}",
                    place=f"step {self.step}",
                    help=self.advice(),
                )
        return write()

    def read(self, path: Path, *, sha256: str | None = None) -> Checkpoint | None:
        found = super().read
        return self._from_first(lambda: found(path, sha256=sha256))

    def restore(self, checkpoint: Checkpoint) -> None:
        super().restore(checkpoint)
        self.kept = self.step

    def _from_first(self, make: Callable[[], _T]) -> _T:
        return from_first(make, device=self.trainer.device)
