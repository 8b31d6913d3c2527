"""How does a classifier fare class by class, and which classes does it take for which?

Legend: K classes; a confusion matrix (K, K) counts images by their class and by what they are
taken for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archbench.analysis.statistics import Estimate, wilson

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """One class: its images, those that were named rightly, and all that were taken for it.

    The accuracy is the share of its own images named rightly, with Wilson's interval.
    """

    name: str
    num_images: int
    num_right: int
    num_predicted: int
    accuracy: Estimate


@dataclass(frozen=True, kw_only=True)
class ConfusedPair:
    """So many images of a class were taken for another: this share of all its images."""

    name: str
    predicted: str
    num_images: int
    share: float


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, *, num_classes: int) -> Counts:
    """The confusion matrix (K, K) of labels and predictions, whole numbers below K, pair by pair.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(predicted)), 1)
    return matrix


def class_results(matrix: Counts, names: Sequence[str]) -> list[ClassResult]:
    """Every class in the order of the names; one without images may have any accuracy."""
    totals, taken = matrix.sum(1), matrix.sum(0)
    return [
        ClassResult(
            name=name,
            num_images=int(totals[index]),
            num_right=int(matrix[index, index]),
            num_predicted=int(taken[index]),
            accuracy=wilson(int(matrix[index, index]), int(totals[index])),
        )
        for index, name in enumerate(names)
    ]


def confused_pairs(matrix: Counts, names: Sequence[str]) -> list[ConfusedPair]:
    """Every pair that was confused, the most images first; of as many, the larger share first."""
    totals = matrix.sum(1)
    wrong = matrix - np.diag(np.diag(matrix))
    pairs = [
        ConfusedPair(
            name=names[label],
            predicted=names[taken],
            num_images=int(wrong[label, taken]),
            share=float(wrong[label, taken] / totals[label]),
        )
        for label, taken in np.argwhere(wrong)
    ]
    return sorted(pairs, key=lambda pair: (-pair.num_images, -pair.share))
