"""How does a network become an accuracy curve, whatever interrupts it."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.data import DataSet, Split, normalise
from archbench.errors import NEGATIVE_RESULT, ArchbenchError, UsageError
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from archbench.train.recipe import MemoryFormat, Plan, Recipe
from archbench.train.step import (
    Feed,
    Teacher,
    Trainer,
    derived_seed,
    rate_share,
    reproducible,
    torch_memory_format,
)

OnPoint = Callable[[CurvePoint, Path | None, str | None], bool | None]

_STEPS_BETWEEN_CHECKS_ON_GPU = 16  # reading a loss waits for the GPU
_STATE = ("epoch", "step", "seconds")


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

    The network is freshly initialised; a checkpoint's weights replace its own. In train mode it may
    give several logits, over whose losses is averaged; with a teacher, the one that the recipe
    names, the first learn the label and the last the teacher's answer. The test split is not
    touched. The seed is the number of this training among those of the network; it decides order
    and augmentation together with the recipe's own seed, and any dropout. The width, channels of
    the widest stage, decides the learning rate.

    The checkpoint is a file, renewed at each rung, from which an interrupted training goes on: from
    the one of the ``sha256``, if that is on record; ``on_note`` is told in words when a damaged one
    was passed over. ``on_point`` gets the point of a rung, its checkpoint and the sha256, when the
    checkpoint is durable; False ends the training there. On going on, the last point before the
    interruption is handed in again, as its call may not have ended. ``on_progress`` gets the steps
    done and those in all. The clock is monotonic; time in ``on_point`` does not count.

    Raises:
        NonFiniteLossError: The loss or gradient of a step is not finite; the step is named.
        UsageError: Data and network do not fit, the teacher is not the one of the recipe, or the
            checkpoint is of another training.
        StorageError: The checkpoint cannot be written, or only damaged ones are left.
        MissingError: There is no file for the checkpoint on record.
    """
    if (given := teacher.kind if teacher else "none") != recipe.teacher:
        raise UsageError(
            f"the recipe names the teacher {recipe.teacher}, and {given} is there",
            place="recipe.teacher",
            help="get it from archbench.train.teacher.teacher_for",
        )
    where = torch.device(device)
    feed = Feed(dataset, recipe=recipe, seed=seed, device=where)
    trainer = Trainer(
        network,
        recipe=recipe,
        width=width,
        num_classes=dataset.num_classes,
        plan=plan,
        device=where,
        answers=teacher.answers if teacher else None,
    )
    identity = {
        "recipe": recipe.document(),
        "seed": seed,
        "width": width,
        "plan": plan.name,
        "data": dataset.digest,
        "network": trainer.signature(),
        **({"teacher": teacher.sha256} if teacher else {}),
    }
    training = _Training(trainer, feed, dataset, seed, identity, clock, on_progress)
    saved: tuple[Path | None, str | None] = (None, None)
    found = read_checkpoint(checkpoint, sha256=sha256) if checkpoint else None
    if found:
        training.restore(found)
        saved = found.path, found.sha256
        if found.note and on_note:
            on_note(found.note)
        if on_point and on_point(training.points[-1], *saved) is False:
            return training.points
    with reproducible(where):
        for rung in recipe.rungs[len(training.points) :]:
            training.go_on(to_epoch=rung)
            if checkpoint:
                saved = checkpoint, training.save(checkpoint)
            if on_point and on_point(training.points[-1], *saved) is False:
                break
    return training.points


@dataclass
class _Training:
    """Where a training stands: epoch, step, seconds and points beside network and optimiser."""

    trainer: Trainer
    feed: Feed
    dataset: DataSet
    seed: int
    identity: dict[str, object]
    clock: Callable[[], float]
    on_progress: Callable[[int, int], None] | None
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    points: tuple[CurvePoint, ...] = ()

    def go_on(self, *, to_epoch: int) -> None:
        """Trains to the end of an epoch and takes the accuracy there."""
        begin, first_step, total = self.clock(), self.step, 0.0
        while self.epoch < to_epoch:
            total += self._train_epoch()
            self.epoch += 1
        reached = accuracy(
            self.trainer.network,
            self.dataset.validation,
            device=self.trainer.device,
            memory_format=self.trainer.plan.memory_format,
        )
        self.seconds += self.clock() - begin
        point = CurvePoint(
            seed=self.seed,
            epoch=self.epoch,
            step=self.step,
            loss=total / (self.step - first_step),
            accuracy=reached,
            seconds=self.seconds,
        )
        self.points = (*self.points, point)

    def _train_epoch(self) -> float:
        """The sum of the epoch's losses."""
        recipe, device = self.trainer.recipe, self.trainer.device
        seed = derived_seed("network", recipe.seed, self.seed, self.epoch)
        torch.default_generator.manual_seed(seed)  # of dropout and drop path, on this device alone
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        self.trainer.network.train()
        num_steps = self.feed.num_steps * recipe.epochs
        between_checks = _STEPS_BETWEEN_CHECKS_ON_GPU if device.type == "cuda" else 1
        total = 0.0
        unchecked: list[Tensor] = []
        for index, (images, labels) in enumerate(self.feed.epoch(self.epoch), 1):
            share = rate_share(self.step, num_steps=num_steps, warmup=recipe.warmup)
            unchecked.append(self.trainer.step(images, labels, share=share))
            self.step += 1
            if len(unchecked) == between_checks or index == self.feed.num_steps:
                total += self._checked_sum(unchecked)
                unchecked = []
            if self.on_progress:
                self.on_progress(self.step, num_steps)
        return total

    def _checked_sum(self, measured: list[Tensor]) -> float:
        total = 0.0
        for index, (loss, norm) in enumerate(torch.stack(measured).tolist()):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = "gradient" if math.isfinite(loss) else "loss"
                raise NonFiniteLossError(
                    f"the {what} became {norm if math.isfinite(loss) else loss} in epoch "
                    f"{self.epoch + 1}",
                    place=f"step {self.step - len(measured) + index + 1}",
                    help="lower the recipe's peak_rate, or train in fp32",
                )
            total += loss
        return total

    def save(self, path: Path) -> str:
        """Writes all that is needed to go on, and gives the file's sha256."""
        state: dict[str, object] = {key: getattr(self, key) for key in _STATE}
        state["points"] = [asdict(point) for point in self.points]
        document = {"training": self.identity, "state": state}
        return write_checkpoint(path, tensors=self.trainer.state(), document=document)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Puts everything back to where the checkpoint was written.

        Raises:
            UsageError: It is of another training; the first difference is named.
        """
        theirs = checkpoint.document["training"]
        for key, mine in self.identity.items():
            if theirs.get(key) != mine:
                raise UsageError(
                    f"the checkpoint is of another training: {key} was {theirs.get(key)}, not "
                    f"{mine}",
                    place=str(checkpoint.path),
                    help="delete it, or train as it was begun",
                )
        self.trainer.restore(checkpoint.tensors)
        state = checkpoint.document["state"]
        self.epoch, self.step, self.seconds = (state[key] for key in _STATE)
        self.points = tuple(CurvePoint(**point) for point in state["points"])


@torch.inference_mode()
def accuracy(
    network: nn.Module,
    split: Split,
    *,
    batch: int = 128,
    device: str | torch.device = "cpu",
    memory_format: MemoryFormat = "contiguous",
) -> float:
    """The share of images whose largest logit is that of their label, 0 to 1.

    The network is evaluated in fp32 and left in the mode it came in.

    Raises:
        UsageError: The split is empty.
    """
    if len(split) == 0:
        raise UsageError("no images to take the accuracy on", place="data")
    was_training, layout = network.training, torch_memory_format(memory_format)
    network.eval()
    total = torch.zeros((), dtype=torch.int64, device=device)
    try:
        for start in range(0, len(split), batch):
            images = normalise(split.images[start : start + batch].to(device))
            labels = split.labels[start : start + batch].to(device)
            logits = network(images.contiguous(memory_format=layout))
            total += (logits.argmax(dim=1) == labels).sum()
    finally:
        network.train(was_training)
    return int(total) / len(split)
