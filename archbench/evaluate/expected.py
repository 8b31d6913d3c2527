"""What does a network answer in PyTorch, on the images on which its exported forms are compared?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from archbench.analysis.statistics import wilson
from archbench.data import Data, Split, name_of
from archbench.errors import UsageError
from archbench.evaluate.classifier import Classifier, TrainedNetwork
from archbench.evaluate.proxy import open_data
from archbench.evaluate.quantised import calibration_images, drawn
from archbench.progress import Progress

COMPARED = 256
"""Held-out images on which the answers of an artifact are compared with the network's."""
_TESTED = 10_000
_EAGER_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class RealImages:
    """Images of a data set as a network takes them: for calibration, and held-out ones."""

    name: str
    calibration: Tensor  # (N, 3, R, R), normalised
    test: Split  # bytes, in the middle square of which the network looks
    digest: str

    @classmethod
    def of(cls, data: Data, model: TrainedNetwork, *, on_progress: Progress) -> Self:
        """Those of a data set.

        Raises:
            UsageError: The data are of other classes.
            ArchbenchError: They cannot be had.
        """
        prepared_as, spec = model.preparation, model.spec
        name = name_of(data, resolution=prepared_as.resize)
        dataset = open_data(name, resolution=prepared_as.resize, progress=on_progress)
        names = prepared_as.class_names
        if dataset.num_classes != spec.num_classes or (names and names != dataset.class_names):
            raise UsageError(
                f"the data have the classes {', '.join(dataset.class_names[:5])}"
                f"{', ...' if dataset.num_classes > 5 else ''}, and the network was trained on "
                "others",
                place="--data",
                help="name the data of its training",
            )
        images = prepared_as.middle(calibration_images(dataset.train))
        return cls(
            name=dataset.name,
            digest=dataset.digest,
            calibration=prepared_as.normalised(images),
            test=dataset.test,
        )


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the network itself answers, in PyTorch's eager mode, on the images to compare on."""

    images: Tensor  # (N, 3, R, R), normalised
    logits: Tensor  # (N, K)
    on: str
    pictures: RealImages | None
    accuracy: dict[str, Any] | None

    @classmethod
    def of(cls, model: TrainedNetwork, pictures: RealImages | None, *, tell: Progress) -> Self:
        """On held-out images, or without pictures on noise."""
        eager = model.classifier()
        if pictures is None:
            side = model.preparation.resolution
            images = torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(0))
            return cls(
                images=images, logits=eager.logits(images), on="noise", pictures=None, accuracy=None
            )
        found, test = model.preparation, pictures.test
        images = found.normalised(found.middle(test.images[drawn(len(test), COMPARED)]))
        return cls(
            images=images,
            logits=eager.logits(images),
            on=f"held-out images of {pictures.name}",
            pictures=pictures,
            accuracy=tested(eager, pictures, tell=tell),
        )

    def compared(self, logits_of: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """How far answers are from the network's: the largest difference, over the largest one.

        Raises:
            RuntimeError: They are not finite.
        """
        logits = logits_of(self.images)
        if not bool(logits.isfinite().all()):
            raise RuntimeError("its answers are not finite")
        difference = (logits - self.logits).abs().max() / self.logits.abs().max().clamp(min=1e-30)
        same = (logits.argmax(dim=1) == self.logits.argmax(dim=1)).float().mean()
        return {
            "on": self.on,
            "num_images": len(self.images),
            "largest_difference": float(difference),
            "agreement": float(same) if self.pictures is not None else None,
        }


def tested(classifier: Classifier, pictures: RealImages, *, tell: Progress) -> dict[str, Any]:
    """The share of the held-out images that are classified rightly, with its interval."""
    test, rights = pictures.test, 0
    number = min(len(test), _TESTED)
    for start in range(0, number, _EAGER_BATCH):
        tell("testing on the held-out split, images", start, number)
        part = slice(start, min(start + _EAGER_BATCH, number))
        images = classifier.preparation.middle(test.images[part])
        logits = classifier.logits(classifier.preparation.normalised(images))
        rights += int((logits.argmax(dim=1) == test.labels[part]).sum())
    share = wilson(rights, number)
    return {
        "value": share.value,
        "low": share.low,
        "high": share.high,
        "num_images": number,
        "data": pictures.name,
        "data_digest": pictures.digest,
    }
