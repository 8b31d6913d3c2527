"""How does a training stand at each step, what of it is kept, and how does it go on?"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from archbench.errors import NEGATIVE_RESULT, ArchbenchError, StorageError, UsageError
from archbench.memory import keep_memory
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import Checkpoint, read_checkpoint, within_path, write_checkpoint
from archbench.train.step import Teacher, reproducible

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


class Trained(Protocol):
    """A network in training with its optimiser, as ``archbench.train.step.Trainer``."""

    network: nn.Module
    device: torch.device

    def state(self) -> Mapping[str, Tensor]:
        """All tensors that the next step depends on, by name."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what ``state`` gave."""


@dataclass
class _Timed:
    """Beside which checkpoint others are written within epochs, and how often."""

    path: Path
    every_s: float
    due: float = math.inf

    def next(self, *, now: float, took: float = 0.0) -> None:
        """The next one is due so long after now, and later where one takes long to write."""
        self.due = now + max(self.every_s, took / _LARGEST_SHARE)


@dataclass(kw_only=True)
class ResumableTraining(ABC):
    """Where a training stands: epoch, step, seconds and points beside network and optimiser.

    An epoch has ``num_steps`` steps of the optimiser, the training so many ``epochs``. Of the steps
    ``epoch_step`` are of the present epoch; ``loss`` is the sum since the last point but for the
    present epoch's, which is ``epoch_loss``. The ``identity`` says which training it is.

    The steps themselves, the accuracy and what is random within an epoch are a subclass's.
    """

    trainer: Trained
    num_steps: int
    epochs: int
    seed: int
    identity: Mapping[str, object]
    clock: Callable[[], float]
    on_progress: Callable[[int, int], None] | None
    on_note: Callable[[str], None] | None
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    points: tuple[CurvePoint, ...] = ()
    epoch_step: int = 0
    loss: float = 0.0
    epoch_loss: float = 0.0
    _timed: _Timed | None = None
    _began: float = 0.0
    _random: dict[str, Tensor] = field(default_factory=dict)  # of the step to go on with

    @abstractmethod
    def steps(self) -> Iterator[Tensor]:
        """Takes the steps that are left of an epoch; of each the loss, and a gradient norm if any.

        They lie on the device, a vector for each step.
        """

    @abstractmethod
    def accuracy(self) -> float:
        """The accuracy on the validation images, 0 to 1."""

    def random_state(self) -> dict[str, Tensor]:
        """What random choices of the epoch depend on, beside its seed and the number of a step."""
        return {}

    def advice(self) -> str:
        """What to do about a loss that is not finite."""
        return "lower the recipe's peak_rate, or train in fp32"

    def run(
        self,
        *,
        rungs: Iterable[int],
        checkpoint: Path | None,
        sha256: str | None = None,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
        on_point: OnPoint | None = None,
    ) -> tuple[CurvePoint, ...]:
        """Goes on from a checkpoint, if there is one, and trains to each rung in turn.

        On the CPU the process keeps the memory of freed tensors from here on, see
        ``archbench.memory``: a step of LeViT-128S took 4 to 12 % less.

        Raises:
            NonFiniteLossError: The loss or gradient of a step is not finite; the step is named.
            UsageError: The checkpoint is of another training.
            StorageError: The checkpoint cannot be written, or only damaged ones are left.
            MissingError: There is no file for the checkpoint on record.
        """
        if self.trainer.device.type == "cpu":
            keep_memory()
        saved: tuple[Path | None, str | None] = (None, None)
        if checkpoint:
            self._timed = _Timed(checkpoint, every_s=checkpoint_every_s)
            found = self.read(checkpoint, sha256=sha256)
            if found:
                self.restore(found)
                saved = found.path, found.sha256
                if found.note and self.on_note:
                    self.on_note(found.note)
                if self.tell(on_point, *saved) is False:
                    return self.points
            self.restore_within(checkpoint)
        with reproducible(self.trainer.device):
            for rung in tuple(rungs)[len(self.points) :]:
                self.go_on(to_epoch=rung)
                if checkpoint:
                    saved = checkpoint, self.save(checkpoint)
                if self.tell(on_point, *saved) is False:
                    break
        return self.points

    def tell(self, on_point: OnPoint | None, path: Path | None, sha256: str | None) -> bool | None:
        """Hands in the last point; False ends the training."""
        return on_point(self.points[-1], path, sha256) if on_point else None

    def go_on(self, *, to_epoch: int) -> None:
        """Trains to the end of an epoch and takes the accuracy there."""
        self._began = self.clock()
        if self._timed:
            self._timed.next(now=self._began)
        while self.epoch < to_epoch:
            self._train_epoch()
            self.loss, self.epoch_loss = self.loss + self.epoch_loss, 0.0
            self.epoch, self.epoch_step = self.epoch + 1, 0
        reached = self.accuracy()
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
        self.trainer.network.train()
        is_gpu = self.trainer.device.type == "cuda"
        between_checks = _STEPS_BETWEEN_CHECKS_ON_GPU if is_gpu else 1
        unchecked: list[Tensor] = []
        for measured in self.steps():
            unchecked.append(measured)
            self.step, self.epoch_step = self.step + 1, self.epoch_step + 1
            is_over = self.epoch_step == self.num_steps
            if len(unchecked) == between_checks or is_over:
                self.epoch_loss += self.checked_sum(torch.stack(unchecked))
                unchecked = []
                if self._timed is not None and self.clock() >= self._timed.due and not is_over:
                    self.save_within()
            if self.on_progress:
                self.on_progress(self.step, self.num_steps * self.epochs)

    def checked_sum(self, measured: Tensor) -> float:
        """The sum of the losses of the last steps, a row each.

        Raises:
            NonFiniteLossError: One is not finite.
        """
        total = 0.0
        for index, (loss, *norm) in enumerate(measured.tolist()):
            for what, value in zip(("loss", "gradient"), (loss, *norm), strict=False):
                if not math.isfinite(value):
                    raise NonFiniteLossError(
                        f"the {what} became {value} in epoch {self.epoch + 1}",
                        place=f"step {self.step - len(measured) + index + 1}",
                        help=self.advice(),
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

    def save_within(self) -> None:
        """Writes what is needed to go on from this very step."""
        assert self._timed is not None, "only a training with a checkpoint has one within"
        now = self.clock()
        self.seconds, self._began = self.seconds + now - self._began, now
        random = {_RANDOM + key: state for key, state in self.random_state().items()}
        write_checkpoint(
            within_path(self._timed.path),
            tensors={**self.trainer.state(), **random},
            document=self._document(_WITHIN),
            keeps_previous=False,
        )
        end = self.clock()
        self._timed.next(now=end, took=end - now)

    def _document(self, keys: tuple[str, ...]) -> dict[str, object]:
        state: dict[str, object] = {key: getattr(self, key) for key in keys}
        state["points"] = [asdict(point) for point in self.points]
        return {"training": self.identity, "state": state}

    def read(self, path: Path, *, sha256: str | None = None) -> Checkpoint | None:
        """The newest sound checkpoint at a path, see ``read_checkpoint``."""
        return read_checkpoint(path, sha256=sha256)

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
        for key in _WITHIN:
            if key in state:
                setattr(self, key, state[key])
        self.points = tuple(CurvePoint(**point) for point in state["points"])

    def restore_within(self, path: Path) -> None:
        """Goes further to the checkpoint within an epoch, where that is one beyond this rung."""
        try:
            found = self.read(within_path(path))
        except StorageError as error:
            if self.on_note:
                self.on_note(f"{error.message}; going on from the last rung")
            return
        points = [asdict(point) for point in self.points]
        if found and found.document["state"]["points"] == points:
            self.restore(found)


def require_teacher(teacher: Teacher | None, *, named: str, help: str) -> None:
    """Refuses a teacher that is not the one of the recipe.

    Raises:
        UsageError: It is another one, or only one of the two is there.
    """
    if (given := teacher.kind if teacher else "none") != named:
        message = f"the recipe names the teacher {named}, and {given} is there"
        raise UsageError(message, place="recipe.teacher", help=help)


@torch.inference_mode()
def share_right(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    device: str | torch.device,
    memory_format: torch.memory_format,
) -> float:
    """The share of images whose largest logit is that of their label, 0 to 1.

    Batches are images (B, 3, H, W), normalised, and labels (B,). The network is evaluated in fp32
    and left in the mode it came in.

    Raises:
        UsageError: There are no images.
    """
    was_training = network.training
    network.eval()
    total, right = 0, torch.zeros((), dtype=torch.int64, device=device)
    try:
        for images, labels in batches:
            there = images.to(device).contiguous(memory_format=memory_format)
            right += (network(there).argmax(dim=1) == labels.to(device)).sum()
            total += len(labels)
    finally:
        network.train(was_training)
    if not total:
        raise UsageError("no images to take the accuracy on", place="data")
    return int(right) / total
