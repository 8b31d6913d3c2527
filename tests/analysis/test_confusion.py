"""A confusion matrix says how each class fares and what is taken for what."""

import pytest

from archbench.analysis.confusion import class_results, confused_pairs, confusion_matrix

NAMES = ("cat", "dog", "fox", "owl")
LABELS = (0, 0, 0, 0, 1, 1, 2, 2, 2)
PREDICTED = (0, 1, 1, 2, 0, 1, 2, 2, 2)


def test_rows_are_classes_and_columns_what_they_are_taken_for() -> None:
    matrix = confusion_matrix(LABELS, PREDICTED, num_classes=4)
    assert matrix.tolist() == [[1, 2, 1, 0], [1, 1, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0]]


def test_each_class_has_its_counts_and_wilsons_interval() -> None:
    cat, dog, fox, owl = class_results(confusion_matrix(LABELS, PREDICTED, num_classes=4), NAMES)
    assert (cat.name, cat.num_images, cat.num_right, cat.num_predicted) == ("cat", 4, 1, 2)
    assert (dog.num_images, dog.num_right, fox.num_predicted) == (2, 1, 4)
    # Wilson 1927 by hand: z = 1.96, (p + z²/2n ± z sqrt(p q/n + z²/4n²)) / (1 + z²/n)
    assert (cat.accuracy.low, cat.accuracy.high) == pytest.approx((0.0456, 0.6994), abs=1e-3)
    assert (owl.num_images, owl.accuracy.low, owl.accuracy.high) == (0, 0.0, 1.0)


def test_confused_pairs_come_by_images_and_then_by_share() -> None:
    pairs = confused_pairs(confusion_matrix(LABELS, PREDICTED, num_classes=4), NAMES)
    assert [(one.name, one.predicted, one.num_images, one.share) for one in pairs] == [
        ("cat", "dog", 2, 0.5),
        ("dog", "cat", 1, 0.5),
        ("cat", "fox", 1, 0.25),
    ]
