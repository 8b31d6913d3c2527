"""How is a network trained, and how are its steps computed: each choice in one record."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from archbench.bounds import BOUNDS
from archbench.errors import UsageError

TEACHERS = ("none", "convolutional")
Precision = Literal["fp32", "bf16"]
MemoryFormat = Literal["contiguous", "channels_last"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What of a training a curve depends on, besides the network, the data and the plan.

    AdamW, linear warm-up and a cosine to zero over the steps of the last rung, label smoothing,
    gradient clipping, random shifts. Decay is for the weights of linears and convolutions alone:
    norms, biases, position tables and class tokens are spared.

    Rungs are the epochs after which the accuracy is taken, ascending; training ends at the last.
    The rate is ``peak_rate`` at the end of the warm-up, a share of all steps, for a network of
    ``reference_width``. Label smoothing spreads a share of the target over all classes; ``clip`` is
    the largest norm of the whole gradient, ``shift`` the largest random shift as a share of the
    resolution. Where the data allow it, as photos do and digits do not, images are mirrored at
    random. An epoch has so many ``images``, the next ones of all, which are shuffled anew each time
    they are through; None is all of them. Where it is to ``balance``, rarer classes count more in
    the loss. The seed decides, with the training's own, the order of the images and their
    augmentation. For the teacher, whose answers are learnt beside the labels with a share of the
    loss, see ``archbench.train.teacher``.

    Raises:
        UsageError: A value is outside its range.
    """

    rungs: tuple[int, ...] = (4, 8)
    batch: int = 32
    peak_rate: float = 3e-3
    reference_width: int = 32
    rate_power: float = 0.5
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.05
    clip: float = 1.0
    shift: float = 0.125
    images: int | None = None
    balance: bool = False
    seed: int = 0
    teacher: str = "none"
    teacher_share: float = 0.5

    def __post_init__(self) -> None:
        ascending = all(a < b for a, b in zip((0, *self.rungs), self.rungs, strict=False))
        most, largest = BOUNDS["epochs"][1], BOUNDS["batch"][1]
        ends = bool(self.rungs) and self.rungs[-1] <= most
        epochs = f"ascending epochs from 1 to {most:,}, for example 4, 8"
        _check("rungs", self.rungs, ends and ascending, epochs)
        _check("batch", self.batch, 2 <= self.batch <= largest, f"2 to {largest:,}")
        _check("images", self.images, self.images is None or self.images >= 2, "2 or more")
        _check("reference_width", self.reference_width, self.reference_width >= 1, "1 or more")
        for name, value in vars(self).items():
            if name in {"peak_rate", "clip"}:
                _check(name, value, 0 < value < math.inf, "a finite number above 0")
            elif name in {"rate_power", "weight_decay"}:
                _check(name, value, 0 <= value < math.inf, "a finite number, 0 or more")
            elif name in {"warmup", "label_smoothing", "shift"}:
                _check(name, value, 0 <= value < 1, "from 0 up to, not including, 1")
        _check("teacher", self.teacher, self.teacher in TEACHERS, f"one of {', '.join(TEACHERS)}")
        share = self.teacher_share
        _check("teacher_share", share, 0 <= share <= 1, "a number from 0 to 1")

    @property
    def epochs(self) -> int:
        """Epochs of the whole training."""
        return self.rungs[-1]

    def epoch_images(self, num_images: int) -> int:
        """Images of an epoch, where there are so many to train on."""
        return min(self.images or num_images, num_images)

    def learning_rate(self, width: int) -> float:
        """The peak learning rate of a network whose widest stage has this many channels.

        ``peak_rate * (reference_width / width) ** rate_power``. One rate for all widths punishes
        the wide ones: of the rates tried, a two-stage CvT did best at 5e-3, 4e-3, 2e-3 and 1e-3 at
        widths 32, 64, 128 and 256, and stayed at chance at 1.6e-2, 6e-3 and 8e-3 at the first
        three; LeViT hardly minded a factor of four. The rule gives CvT 0.5 to 1.1 of its best
        rate. One seed, batch 32 (``benchmarks/learning_rate``).

        Raises:
            UsageError: The width is not positive.
        """
        _check("width", width, width >= 1, "1 or more")
        return float(self.peak_rate * (self.reference_width / width) ** self.rate_power)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The recipe that ``document`` wrote."""
        return cls(**{**document, "rungs": tuple(document["rungs"])})

    def document(self) -> dict[str, Any]:
        """The recipe as a JSON-able mapping, without what is as it was before it could be chosen.

        So trainings from before go on.
        """
        document = {**asdict(self), "rungs": list(self.rungs)}
        plain = {"images": None, "balance": False, "teacher": "none"}
        for name in [name for name, value in plain.items() if document[name] == value]:
            del document[name]
        if "teacher" not in document:
            del document["teacher_share"]
        return document


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the steps of a training are computed; the same for all trainings to be compared.

    ``bf16`` is an autocast forward pass with fp32 weights. By the names of plans, ``seconds`` are
    those of a step, the lower quartile, of plans measured to the end; ``rejected`` are reasons why
    others were not, or why one is not eligible. The device, where it was measured, is empty where
    the plan was given.
    """

    precision: Precision = "fp32"
    memory_format: MemoryFormat = "contiguous"
    seconds: Mapping[str, float] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    device: str = ""

    @property
    def name(self) -> str:
        """For example ``bf16 channels_last``."""
        return f"{self.precision} {self.memory_format}"

    def document(self) -> dict[str, Any]:
        """The plan as a JSON-able mapping, which ``Plan(**document)`` reads back."""
        return asdict(self)


def _check(name: str, value: object, is_allowed: bool, allowed: str) -> None:
    if not is_allowed:
        raise UsageError(f"{value!r} cannot be", place=f"recipe.{name}", help=f"use {allowed}")
