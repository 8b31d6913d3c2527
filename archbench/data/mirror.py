"""Do mirrored images keep their labels? What tells the classes apart is asked of the images."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from archbench.data.dataset import DataSet, Split

_SIDE = 12  # pixels of the copies that are compared
_MOST_TRAINED, _MOST_JUDGED = 4096, 2048
_PENALTY = 0.1  # of the mean eigenvalue
_SURE = 3.0  # standard errors


def mirrored_accuracy(dataset: DataSet) -> tuple[float, float] | None:
    """Where mirrors contradict the labels: how often a linear rule is right on images and mirrors.

    A linear rule is learnt from small copies of the training images as they are, and judged on
    validation images and on their mirrors. Mirrors contradict the labels where the rule is better
    than guessing on images and loses more than half of that, beyond the noise, on their mirrors.
    None where they do not, so far as a linear rule sees; takes under a second.
    """
    train, judged = _small(dataset.train, _MOST_TRAINED), _small(dataset.validation, _MOST_JUDGED)
    images, labels = train
    centre = images.mean(0)
    matrix = (images - centre).reshape(len(images), -1)
    target = np.eye(dataset.num_classes)[labels]
    offset = target.mean(0)
    gram = matrix.T @ matrix
    gram += np.eye(len(gram)) * (_PENALTY * np.trace(gram) / len(gram) + 1e-9)
    weights = np.linalg.solve(gram, matrix.T @ (target - offset))

    images, labels = judged
    right = [
        ((some - centre).reshape(len(some), -1) @ weights + offset).argmax(1) == labels
        for some in (images, images[..., ::-1])
    ]
    as_is, mirrored = (float(found.mean()) for found in right)
    chance = max(1 / dataset.num_classes, dataset.majority_share)
    noise = math.sqrt(float((right[0] != right[1]).sum())) / len(labels)
    is_learnt = as_is - chance > _SURE * math.sqrt(chance * (1 - chance) / len(labels))
    is_lost = as_is - mirrored > max(_SURE * noise, 0.5 * (as_is - chance))
    return (as_is, mirrored) if is_learnt and is_lost else None


def _small(split: Split, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Copies (n, 3, side, side) of at most so many images, evenly spread, and their labels (n,)."""
    step = -(-len(split) // most)
    images = split.images[::step].to(torch.float32)
    copies = F.interpolate(images, (_SIDE, _SIDE), mode="area") / 255
    return copies.numpy().astype(np.float64), split.labels[::step].numpy()
