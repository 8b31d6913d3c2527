"""How does a network become an accuracy curve, whatever interrupts it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from archbench.data import DataSet
from archbench.errors import NEGATIVE_RESULT, ArchbenchError, UsageError
from archbench.study.trial import CurvePoint
from archbench.train.accuracy import accuracy
from archbench.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from archbench.train.determinism import reproducible, seed_network_randomness
from archbench.train.feed import Feed
from archbench.train.plan import Plan
from archbench.train.randomness import derived_seed, rate_share
from archbench.train.recipe import Recipe
from archbench.train.step import Trainer

if TYPE_CHECKING:
    from archbench.train.teacher import Teacher

OnPoint = Callable[[CurvePoint, Path | None, str | None], bool | None]

_STEPS_BETWEEN_CHECKS_ON_GPU = 16  # reading a loss waits for the GPU


class NonFiniteLossError(ArchbenchError):
    """A training that diverged: its loss or gradient became infinite or not a number."""

    exit_code = NEGATIVE_RESULT


def train(
    network: nn.Module,
    dataset: DataSet,
    *,
    recipe: Recipe,
    seed: int,
    plan: Plan,
    width: int,
    device: str | torch.device = "cpu",
    teacher: Teacher | None = None,
    checkpoint: Path | None = None,
    sha256: str | None = None,
    on_point: OnPoint | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[CurvePoint, ...]:
    """Trains a network in place and gives its accuracy on the validation split at each rung.

    On the CPU the result is a function of the arguments' values, bit for bit for a number of
    threads, and the same whether or not it was interrupted and gone on with. On a GPU it is not:
    some kernels add in any order.

    Args:
        network: Freshly initialised; a checkpoint's weights replace its own. In train mode it may
            give several logits, over whose losses is averaged; with a teacher the first learn the
            label and the last the teacher's answer.
        dataset: Its test split is not touched.
        recipe: How it is trained.
        seed: Number of this training among those of the network, for the curve; it decides order
            and augmentation together with the recipe's own seed, and any dropout.
        plan: Precision and memory format, see ``choose_plan``.
        width: Channels of the widest stage, for the learning rate.
        device: Where it is trained.
        teacher: The one that the recipe names, see ``archbench.train.teacher``.
        checkpoint: A file, renewed at each rung, from which an interrupted training goes on.
        sha256: Of the checkpoint on record, which then is the one to go on from.
        on_point: Called after a rung with its point, the checkpoint and its sha256, when the
            checkpoint is durable. False ends the training there. On going on, the last point
            before the interruption is handed in again, as its call may not have ended.
        on_progress: Called after each step with the steps done and those in all.
        on_note: Told in words when a damaged checkpoint was passed over.
        clock: Seconds from a monotonic clock; time in ``on_point`` does not count.

    Raises:
        NonFiniteLossError: The loss or gradient of a step is not finite; the step is named.
        UsageError: Data and network do not fit, the teacher is not the one of the recipe, or the
            checkpoint is of another training.
        StorageError: The checkpoint cannot be written, or only damaged ones are left.
        MissingError: There is no file for the checkpoint on record.
    """
    training = _Training(
        network,
        dataset,
        recipe=recipe,
        seed=seed,
        plan=plan,
        width=width,
        device=device,
        teacher=teacher,
    )
    saved: tuple[Path | None, str | None] = (None, None)
    found = read_checkpoint(checkpoint, sha256=sha256) if checkpoint else None
    if found:
        training.restore(found)
        saved = found.path, found.sha256
        if found.note and on_note:
            on_note(found.note)
        if on_point and on_point(training.points[-1], *saved) is False:
            return training.points
    with reproducible(training.device):
        for rung in recipe.rungs[len(training.points) :]:
            training.go_on(to_epoch=rung, clock=clock, on_progress=on_progress)
            if checkpoint:
                saved = checkpoint, training.save(checkpoint)
            if on_point and on_point(training.points[-1], *saved) is False:
                break
    return training.points


class _Training:
    """Where a training stands: epoch, step, seconds and points beside network and optimiser."""

    def __init__(
        self,
        network: nn.Module,
        dataset: DataSet,
        *,
        recipe: Recipe,
        seed: int,
        plan: Plan,
        width: int,
        device: str | torch.device,
        teacher: Teacher | None,
    ) -> None:
        _check_teacher(teacher, recipe=recipe)
        self.device = torch.device(device)
        self.points: tuple[CurvePoint, ...] = ()
        self._epoch, self._step, self._seconds = 0, 0, 0.0
        self._feed = Feed(dataset, recipe=recipe, seed=seed, device=self.device)
        self._trainer = Trainer(
            network,
            recipe=recipe,
            width=width,
            num_classes=dataset.num_classes,
            precision=plan.precision,
            memory_format=plan.memory_format,
            device=self.device,
            answers=teacher.answers if teacher else None,
        )
        self._dataset, self._recipe, self._seed, self._plan = dataset, recipe, seed, plan
        self._identity = {
            "recipe": recipe.document(),
            "seed": seed,
            "width": width,
            "plan": f"{plan.precision} {plan.memory_format}",
            "data": dataset.digest,
            "network": self._trainer.signature(),
            **({"teacher": teacher.sha256} if teacher else {}),
        }

    def go_on(
        self,
        *,
        to_epoch: int,
        clock: Callable[[], float],
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        """Trains to the end of an epoch and takes the accuracy there."""
        begin = clock()
        first_step, total = self._step, 0.0
        while self._epoch < to_epoch:
            total += self._train_epoch(on_progress)
            self._epoch += 1
        reached = accuracy(
            self._trainer.network,
            self._dataset.validation,
            device=self.device,
            memory_format=self._plan.memory_format,
        )
        self._seconds += clock() - begin
        point = CurvePoint(
            seed=self._seed,
            epoch=self._epoch,
            step=self._step,
            loss=total / (self._step - first_step),
            accuracy=reached,
            seconds=self._seconds,
        )
        self.points = (*self.points, point)

    def _train_epoch(self, on_progress: Callable[[int, int], None] | None) -> float:
        """The sum of the epoch's losses."""
        seed = derived_seed("network", self._recipe.seed, self._seed, self._epoch)
        seed_network_randomness(seed, device=self.device)
        self._trainer.network.train()
        num_steps = self._feed.num_steps * self._recipe.epochs
        between_checks = _STEPS_BETWEEN_CHECKS_ON_GPU if self.device.type == "cuda" else 1
        total = 0.0
        unchecked: list[Tensor] = []
        for index, (images, labels) in enumerate(self._feed.epoch(self._epoch), 1):
            share = rate_share(self._step, num_steps=num_steps, warmup=self._recipe.warmup)
            unchecked.append(self._trainer.step(images, labels, share=share))
            self._step += 1
            if len(unchecked) == between_checks or index == self._feed.num_steps:
                total += self._checked_sum(unchecked)
                unchecked = []
            if on_progress:
                on_progress(self._step, num_steps)
        return total

    def _checked_sum(self, measured: list[Tensor]) -> float:
        total = 0.0
        for index, (loss, norm) in enumerate(torch.stack(measured).tolist()):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = "gradient" if math.isfinite(loss) else "loss"
                raise NonFiniteLossError(
                    f"the {what} became {norm if math.isfinite(loss) else loss} in epoch "
                    f"{self._epoch + 1}",
                    place=f"step {self._step - len(measured) + index + 1}",
                    help="lower the recipe's peak_rate, or train in fp32",
                )
            total += loss
        return total

    def save(self, path: Path) -> str:
        """Writes all that is needed to go on, and gives the file's sha256."""
        document = {
            "training": self._identity,
            "state": {
                "epoch": self._epoch,
                "step": self._step,
                "seconds": self._seconds,
                "points": [asdict(point) for point in self.points],
            },
        }
        return write_checkpoint(path, tensors=self._trainer.state(), document=document)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Puts everything back to where the checkpoint was written.

        Raises:
            UsageError: It is of another training; the first difference is named.
        """
        theirs = checkpoint.document["training"]
        for key, mine in self._identity.items():
            if theirs.get(key) != mine:
                raise UsageError(
                    f"the checkpoint is of another training: {key} was {theirs.get(key)}, not "
                    f"{mine}",
                    place=str(checkpoint.path),
                    help="delete it, or train as it was begun",
                )
        self._trainer.restore(checkpoint.tensors)
        state = checkpoint.document["state"]
        self._epoch, self._step = state["epoch"], state["step"]
        self._seconds = state["seconds"]
        self.points = tuple(CurvePoint(**point) for point in state["points"])


def _check_teacher(teacher: Teacher | None, *, recipe: Recipe) -> None:
    given = teacher.kind if teacher else "none"
    if given != recipe.teacher:
        raise UsageError(
            f"the recipe names the teacher {recipe.teacher}, and {given} is there",
            place="recipe.teacher",
            help="get it from archbench.train.teacher.teacher_for",
        )
