"""A data set and a hybrid network small enough to be trained in a test."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.data import DataSet, Split
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import previous_path
from archbench.train.loop import train
from archbench.train.recipe import Plan, Recipe
from archbench.train.step import Trainer

NUM_CLASSES = 4
RESOLUTION = 16
WIDTH = 16


def tiny_dataset(*, num_train: int = 48, num_validation: int = 24, flip: bool = False) -> DataSet:
    """Noise, brighter in the colour channel of the class, and in none for the last class."""
    generator = torch.Generator().manual_seed(7)

    def split(size: int) -> Split:
        labels = torch.arange(size) % NUM_CLASSES
        images = torch.randint(
            0, 190, (size, 3, RESOLUTION, RESOLUTION), generator=generator, dtype=torch.uint8
        )
        for image, label in zip(images, labels.tolist(), strict=True):
            image[label : label + 1] += 16
        return Split(images, labels)

    return DataSet(
        name="tiny",
        resolution=RESOLUTION,
        class_names=tuple("abcd"),
        train=split(num_train),
        validation=split(num_validation),
        test=split(8),
        description="bright colours",
        digest="0123456789abcdef",
        flip=flip,
    )


class TinyHybrid(nn.Module):
    """A convolution, attention with a bias table and a class token, dropout, two classifiers."""

    def __init__(self, *, num_classes: int = NUM_CLASSES, dropout: float = 0.1) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 4, stride=4, bias=False)
        self.stem_norm = nn.BatchNorm2d(WIDTH)
        self.class_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.position = nn.Parameter(0.02 * torch.randn(1, 17, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)  # a key bias has no gradient but noise
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, num_classes) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        features = self.stem_norm(self.stem(images)).relu()
        tokens = features.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), tokens], dim=1)
        tokens = tokens + self.position
        query, key, value = self.qkv(self.norm(tokens)).chunk(3, dim=-1)
        attention = (query @ key.transpose(1, 2) / WIDTH**0.5).softmax(dim=-1)
        tokens = tokens + self.dropout(attention @ value)
        logits = tuple(head(tokens.mean(dim=1)) for head in self.heads)
        return logits if self.training else torch.stack(logits).mean(dim=0)


def tiny_network(
    *, seed: int = 0, dropout: float = 0.1, num_classes: int = NUM_CLASSES
) -> TinyHybrid:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return TinyHybrid(dropout=dropout, num_classes=num_classes)


def tiny_batch(size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(size, 3, RESOLUTION, RESOLUTION, generator=generator)
    return images, torch.arange(size) % NUM_CLASSES


def tiny_trainer(network: nn.Module, **changes: Any) -> Trainer:
    arguments: dict[str, Any] = {
        "recipe": Recipe(),
        "width": WIDTH,
        "num_classes": NUM_CLASSES,
        "plan": Plan(),
        "device": torch.device("cpu"),
    }
    return Trainer(network, **{**arguments, **changes})


def tiny_training(
    network: nn.Module, *, dataset: DataSet | None = None, **changes: Any
) -> tuple[CurvePoint, ...]:
    arguments: dict[str, Any] = {"seed": 0, "plan": Plan(), "width": WIDTH}
    return train(network, dataset or tiny_dataset(), **{**arguments, **changes})


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the same weights, bit for bit."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def kill_again_and_again(module: str, path: Path, *, times: int) -> None:
    """Kills ``killed_training(path)`` of a test module so often, each time behind a checkpoint."""
    code = f"import sys; from pathlib import Path; from {module} import killed_training; "
    command = [sys.executable, "-c", code + "killed_training(Path(sys.argv[1]))", str(path)]
    previous = previous_path(path)
    for index in range(times):
        child = subprocess.Popen(command)
        before = previous.stat().st_mtime_ns if index else 0
        while not previous.exists() or previous.stat().st_mtime_ns == before:
            assert child.poll() is None, "it ended before it could be killed"
        for _ in range(index * 9000):  # another moment each time
            pass
        child.kill()
        child.wait()
