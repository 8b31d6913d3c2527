"""How does a network become an accuracy curve, whatever interrupts it."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.data import DataSet, Split, normalise
from archbench.errors import NEGATIVE_RESULT, ArchbenchError, StorageError, UsageError
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import Checkpoint, read_checkpoint, within_path, write_checkpoint
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

CHECKPOINT_EVERY_S = 120.0
_LARGEST_SHARE = 0.05  # of the time of a training, for checkpoints within epochs
_STEPS_BETWEEN_CHECKS_ON_GPU = 16  # reading a loss waits for the GPU
_STATE = ("epoch", "step", "seconds")
_WITHIN = (*_STATE, "epoch_step", "loss", "epoch_loss")
_RANDOM = "random/"


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
    if checkpoint:
        training.timed = _Timed(checkpoint, every_s=checkpoint_every_s)
    saved: tuple[Path | None, str | None] = (None, None)
    found = read_checkpoint(checkpoint, sha256=sha256) if checkpoint else None
    if found:
        training.restore(found)
        saved = found.path, found.sha256
        if found.note and on_note:
            on_note(found.note)
        if on_point and on_point(training.points[-1], *saved) is False:
            return training.points
    if checkpoint:
        training.restore_within(checkpoint, on_note=on_note)
    with reproducible(where):
        for rung in recipe.rungs[len(training.points) :]:
            training.go_on(to_epoch=rung)
            if checkpoint:
                saved = checkpoint, training.save(checkpoint)
            if on_point and on_point(training.points[-1], *saved) is False:
                break
    return training.points


@dataclass
class _Timed:
    """Beside which checkpoint others are written within epochs, and how often."""

    path: Path
    every_s: float
    due: float = math.inf

    def next(self, *, now: float, took: float = 0.0) -> None:
        """The next one is due so long after now, and later where one takes long to write."""
        self.due = now + max(self.every_s, took / _LARGEST_SHARE)


@dataclass
class _Training:
    """Where a training stands: epoch, step, seconds and points beside network and optimiser.

    Of the steps ``epoch_step`` are of the present epoch; ``loss`` is the sum since the last point
    but for the present epoch's, which is ``epoch_loss``.
    """

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
    epoch_step: int = 0
    loss: float = 0.0
    epoch_loss: float = 0.0
    timed: _Timed | None = None
    _began: float = 0.0
    _random: dict[str, Tensor] = field(default_factory=dict)  # of the step to go on with

    def go_on(self, *, to_epoch: int) -> None:
        """Trains to the end of an epoch and takes the accuracy there."""
        self._began = self.clock()
        if self.timed:
            self.timed.next(now=self._began)
        while self.epoch < to_epoch:
            self._train_epoch()
            self.loss, self.epoch_loss = self.loss + self.epoch_loss, 0.0
            self.epoch, self.epoch_step = self.epoch + 1, 0
        reached = accuracy(
            self.trainer.network,
            self.dataset.validation,
            device=self.trainer.device,
            memory_format=self.trainer.plan.memory_format,
        )
        self.seconds += self.clock() - self._began
        point = CurvePoint(
            seed=self.seed,
            epoch=self.epoch,
            step=self.step,
            loss=self.loss / (self.step - (self.points[-1].step if self.points else 0)),
            accuracy=reached,
            seconds=self.seconds,
        )
        self.points, self.loss = (*self.points, point), 0.0

    def _train_epoch(self) -> None:
        """Takes the steps of the epoch that are left, and sums their losses."""
        recipe, device = self.trainer.recipe, self.trainer.device
        moves = self.feed.moves(self.epoch)
        self._seed(moves)
        self.trainer.network.train()
        num_steps = self.feed.num_steps * recipe.epochs
        between_checks = _STEPS_BETWEEN_CHECKS_ON_GPU if device.type == "cuda" else 1
        unchecked: list[Tensor] = []
        batches = self.feed.epoch(self.epoch, moves=moves, first_step=self.epoch_step)
        for images, labels in batches:
            share = rate_share(self.step, num_steps=num_steps, warmup=recipe.warmup)
            unchecked.append(self.trainer.step(images, labels, share=share))
            self.step, self.epoch_step = self.step + 1, self.epoch_step + 1
            is_due = self.timed is not None and self.clock() >= self.timed.due
            is_over = self.epoch_step == self.feed.num_steps
            if len(unchecked) == between_checks or is_over or is_due:
                self.epoch_loss += self._checked_sum(unchecked)
                unchecked = []
            if is_due and not is_over:
                self._save_within(moves)
            if self.on_progress:
                self.on_progress(self.step, num_steps)

    def _seed(self, moves: torch.Generator) -> None:
        """Sets what decides dropout and augmentation, at the epoch's begin or where it stood."""
        device = self.trainer.device
        seed = derived_seed("network", self.trainer.recipe.seed, self.seed, self.epoch)
        torch.default_generator.manual_seed(seed)  # of dropout and drop path, on this device alone
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        if self._random:
            moves.set_state(self._random["augmentation"])
            torch.default_generator.set_state(self._random["network"])
            if device.type == "cuda":
                torch.cuda.set_rng_state(self._random["cuda"], device)
            self._random = {}

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
        """Writes all that is needed to go on from a rung, and gives the file's sha256."""
        sha256 = write_checkpoint(
            path, tensors=self.trainer.state(), document=self._document(_STATE)
        )
        within_path(path).unlink(missing_ok=True)
        return sha256

    def _save_within(self, moves: torch.Generator) -> None:
        """Writes what is needed to go on from this very step."""
        assert self.timed is not None, "only a training with a checkpoint has one within"
        now = self.clock()
        self.seconds, self._began = self.seconds + now - self._began, now
        random = {"network": torch.default_generator.get_state(), "augmentation": moves.get_state()}
        if self.trainer.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.trainer.device)
        write_checkpoint(
            within_path(self.timed.path),
            tensors=self.trainer.state() | {_RANDOM + key: state for key, state in random.items()},
            document=self._document(_WITHIN),
            keeps_previous=False,
        )
        end = self.clock()
        self.timed.next(now=end, took=end - now)

    def _document(self, keys: tuple[str, ...]) -> dict[str, object]:
        state: dict[str, object] = {key: getattr(self, key) for key in keys}
        state["points"] = [asdict(point) for point in self.points]
        return {"training": self.identity, "state": state}

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
        random: dict[str, Tensor] = {}
        tensors: dict[str, Tensor] = {}
        for name, tensor in checkpoint.tensors.items():
            kept = random if name.startswith(_RANDOM) else tensors
            kept[name.removeprefix(_RANDOM)] = tensor
        self.trainer.restore(tensors)
        self._random = random
        state = checkpoint.document["state"]
        for key in _WITHIN if random else _STATE:
            setattr(self, key, state[key])
        self.points = tuple(CurvePoint(**point) for point in state["points"])

    def restore_within(self, path: Path, *, on_note: Callable[[str], None] | None) -> None:
        """Goes further to the checkpoint within an epoch, where that is one beyond this rung."""
        try:
            found = read_checkpoint(within_path(path))
        except StorageError as error:
            if on_note:
                on_note(f"{error.message}; going on from the last rung")
            return
        points = [asdict(point) for point in self.points]
        if found and found.document["state"]["points"] == points:
            self.restore(found)


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
