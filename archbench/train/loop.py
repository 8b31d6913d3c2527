"""How does a network become an accuracy curve, whatever interrupts it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.data import DataSet, Split, normalise
from archbench.study.trial import CurvePoint
from archbench.train.recipe import MemoryFormat, Plan, Recipe
from archbench.train.resumable import (
    CHECKPOINT_EVERY_S,
    OnPoint,
    ResumableTraining,
    require_teacher,
    share_right,
)
from archbench.train.step import (
    Feed,
    Teacher,
    Trainer,
    class_weights,
    derived_seed,
    rate_share,
    seed_network,
    signature,
    torch_memory_format,
)


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
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
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
    was passed over. Beside it lies one within an epoch, ``checkpoint_every_s`` seconds of training
    or more after another, for rungs that are far apart. ``on_point`` gets the point of a rung, its
    checkpoint and the sha256, when the checkpoint is durable; False ends the training there. On
    going on, the last point before the interruption is handed in again, as its call may not have
    ended. ``on_progress`` gets the steps done and those in all. The clock is monotonic; time in
    ``on_point`` does not count.

    Raises:
        NonFiniteLossError: The loss or gradient of a step is not finite; the step is named.
        UsageError: Data and network do not fit, the teacher is not the one of the recipe, or the
            checkpoint is of another training.
        StorageError: The checkpoint cannot be written, or only damaged ones are left.
        MissingError: There is no file for the checkpoint on record.
    """
    help_ = "get it from archbench.train.teacher.teacher_for"
    require_teacher(teacher, named=recipe.teacher, help=help_)
    where = torch.device(device)
    feed = Feed(dataset, recipe=recipe, seed=seed, device=where)
    labels, num_classes = dataset.train.labels, dataset.num_classes
    trainer = Trainer(
        network,
        recipe=recipe,
        width=width,
        num_classes=num_classes,
        plan=plan,
        device=where,
        answers=teacher.answers if teacher else None,
        class_weights=class_weights(labels, num_classes=num_classes) if recipe.balance else None,
    )
    identity = {
        "recipe": recipe.document(),
        "seed": seed,
        "width": width,
        "plan": plan.name,
        "data": dataset.digest,
        "network": signature(trainer.network),
        **({"teacher": teacher.sha256} if teacher else {}),
    }
    training = _Training(
        trainer=trainer,
        feed=feed,
        dataset=dataset,
        num_steps=feed.num_steps,
        epochs=recipe.epochs,
        seed=seed,
        identity=identity,
        clock=clock,
        on_progress=on_progress,
        on_note=on_note,
    )
    return training.run(
        rungs=recipe.rungs,
        checkpoint=checkpoint,
        sha256=sha256,
        checkpoint_every_s=checkpoint_every_s,
        on_point=on_point,
    )


@dataclass(kw_only=True)
class _Training(ResumableTraining):
    """A training by a short recipe on a data set in memory."""

    trainer: Trainer
    feed: Feed
    dataset: DataSet
    _moves: torch.Generator | None = None

    def steps(self) -> Iterator[Tensor]:
        recipe, num_steps = self.trainer.recipe, self.num_steps * self.epochs
        self._moves = moves = self.feed.moves(self.epoch)
        self._seed(moves)
        for images, labels in self.feed.epoch(self.epoch, moves=moves, first_step=self.epoch_step):
            share = rate_share(self.step, num_steps=num_steps, warmup=recipe.warmup)
            yield self.trainer.step(images, labels, share=share)

    def accuracy(self) -> float:
        return accuracy(
            self.trainer.network,
            self.dataset.validation,
            device=self.trainer.device,
            memory_format=self.trainer.plan.memory_format,
        )

    def random_state(self) -> dict[str, Tensor]:
        assert self._moves is not None, "within an epoch there are some"
        states = {
            "network": torch.default_generator.get_state(),
            "augmentation": self._moves.get_state(),
        }
        if self.trainer.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.trainer.device)
        return states

    def _seed(self, moves: torch.Generator) -> None:
        """Sets what decides dropout and augmentation, at the epoch's begin or where it stood."""
        device = self.trainer.device
        seed = derived_seed("network", self.trainer.recipe.seed, self.seed, self.epoch)
        seed_network(seed, device=device)
        if self._random:
            moves.set_state(self._random["augmentation"])
            torch.default_generator.set_state(self._random["network"])
            if device.type == "cuda":
                torch.cuda.set_rng_state(self._random["cuda"], device)
            self._random = {}


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
    batches = (
        (normalise(split.images[at : at + batch].to(device)), split.labels[at : at + batch])
        for at in range(0, len(split), batch)
    )
    layout = torch_memory_format(memory_format)
    return share_right(network, batches, device=device, memory_format=layout)
