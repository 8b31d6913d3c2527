"""A space and data so small that a trial takes a fraction of a second."""

import random
from pathlib import Path
from typing import Any

from PIL import Image

SPACE = """\
# Which toy is best?
resolution: 16
num_classes: 3
stages:
  - embed: {{kind: conv, kernel: 4, stride: 4, padding: 0, norm: batch}}
    block: {{kind: levit, num_heads: 2, key_dim: 8, attention_ratio: 1, mlp_ratio: 1}}
    dim: 16
    depth: 1
    position: bias
head: {{pool: mean, norm: batch, num_classifiers: 1}}
axes:
  stages[0].dim: [8, 16, 24, 32]
  stages[0].depth: {{from: 1, to: 3}}
  stages[0].block.mlp_ratio: [1, 2]
  stages[0].block.num_heads: [1, 2, 4]
  stages[0].position: [bias, absolute, none]
objectives: {objectives}
proxy: {{data: "{data}", resolution: 16, rungs: [1, 2], batch: 16}}
baselines: []
search: {{sampler: {sampler}, pruner: {pruner}, trials: {trials}, seed: 3}}
"""


def write_images(folder: Path, *, per_class: int = 40) -> Path:
    """Three classes of noisy 16 px images that a small network tells apart."""
    rng = random.Random(0)
    for label, (x, y) in {"left": (3, 8), "right": (12, 8), "top": (8, 3)}.items():
        for split in ("train", "val"):
            home = folder / split / label
            home.mkdir(parents=True, exist_ok=True)
            for index in range(per_class):
                image = Image.new("RGB", (16, 16))
                for column in range(16):
                    for row in range(16):
                        near = abs(column - x) < 3 and abs(row - y) < 3
                        level = rng.randint(0, 120) + (120 if near else 0)
                        image.putpixel((column, row), (level, level, level))
                image.save(home / f"{index}.png")
    return folder


def space_text(
    data: Path | str,
    *,
    objectives: str = "{accuracy: max, macs: min}",
    sampler: str = "tpe",
    pruner: str = "none",
    trials: int = 6,
) -> str:
    """The YAML of the tiny space."""
    return SPACE.format(
        data=data, objectives=objectives, sampler=sampler, pruner=pruner, trials=trials
    )


def write_space(folder: Path, data: str, **options: Any) -> Path:
    """The file of the tiny space in a folder."""
    file = folder / "toy.yaml"
    file.write_text(space_text(data, **options))
    return file
