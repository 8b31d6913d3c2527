"""How good is a trained network on images that it never saw, and where is it wrong?

B images of a batch, S side, K classes.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.analysis.confusion import class_results, confused_pairs, confusion_matrix
from archbench.analysis.statistics import Estimate, wilson
from archbench.data import DataSet, Split, normalise
from archbench.data.image_preparation import Preparation
from archbench.data.thumbnail import thumbnail
from archbench.progress import Progress, no_progress

WORST_SHOWN = 24
_BATCH = 128

Batch = tuple[Tensor, Tensor, Tensor]
"""Images (B, 3, S, S), normalised, labels (B,) and numbers of the images in their split (B,)."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Images of a share that nothing is trained on: so many, in batches, and what is known of them.

    ``path`` says where an image lies, by its number, if it is known.
    """

    batches: Callable[[], Iterable[Batch]]
    num_images: int
    preparation: Preparation
    path: Callable[[int], str | None] = lambda image: None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a network makes of one image: the class that it takes it for, and its cross-entropy.

    The probability is what it gives to the image's own class, which is the label.
    """

    image: int
    label: int
    predicted: int
    probability: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class HeldOutResult:
    """What a network makes of every held-out image, and small pictures of the worst by number."""

    images: HeldOut
    predictions: tuple[Prediction, ...]
    thumbnails: dict[int, bytes]

    @property
    def right(self) -> tuple[bool, ...]:
        """Whether each image is taken for its own class, by number."""
        return tuple(one.predicted == one.label for one in self.predictions)

    def document(self) -> dict[str, Any]:
        """All numbers but those of single images, JSON-able.

        An accuracy has Wilson's 95 % interval, or is None without images; ``class_mean`` is the
        mean over the classes that have some. ``confused`` are the entries of the confusion matrix
        beside its diagonal that are not 0.
        """
        names, num_images = self.images.preparation.class_names, len(self.predictions)
        labels = [one.label for one in self.predictions]
        predicted = [one.predicted for one in self.predictions]
        matrix = confusion_matrix(labels, predicted, num_classes=len(names))
        results = class_results(matrix, names)
        right = int(matrix.trace())
        present = [one.accuracy.value for one in results if one.num_images]
        rows = self.rows()
        place = {row["image"]: row for row in rows}
        return {
            "images": num_images,
            "right": right,
            **_shares(wilson(right, num_images), num_images),
            "class_mean": sum(present) / len(present),
            "loss": sum(row["loss"] for row in rows) / num_images,
            "classes": [
                {
                    "class": one.name,
                    "images": one.num_images,
                    "right": one.num_right,
                    "predicted": one.num_predicted,
                    **_shares(one.accuracy, one.num_images),
                }
                for one in results
            ],
            "confused": [
                {
                    "class": one.name,
                    "predicted": one.predicted,
                    "images": one.num_images,
                    "share": one.share,
                }
                for one in confused_pairs(matrix, names)
            ],
            "worst": [place[image] for image in self.thumbnails],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Each image, JSON-able: its number, its file where there is one, class and prediction."""
        names, path = self.images.preparation.class_names, self.images.path
        return [
            {
                "image": one.image,
                "file": path(one.image),
                "class": names[one.label],
                "predicted": names[one.predicted],
                "probability": one.probability,
                "loss": one.loss,
            }
            for one in self.predictions
        ]


@torch.inference_mode()
def held_out_result(
    network: nn.Module,
    images: HeldOut,
    *,
    device: str | torch.device = "cpu",
    on_progress: Progress = no_progress,
) -> HeldOutResult:
    """What a network, evaluated in fp32, makes of test images; it is left in the mode it came in.

    The worst are those of the largest cross-entropy with their label.
    """
    was_training = network.training
    network.to(device).eval()
    found: list[Prediction] = []
    worst: list[tuple[float, int, int, Tensor]] = []
    order = count(0, -1)  # of equals the first is worse, and no images are compared
    try:
        for batch, labels, numbers in images.batches():
            here = list(_predictions(network, batch, labels, numbers, device=device))
            found += here
            for one, image in zip(here, batch, strict=True):
                if len(worst) == WORST_SHOWN and one.loss <= worst[0][0]:
                    continue
                heapq.heappush(worst, (one.loss, next(order), one.image, image.clone()))
                if len(worst) > WORST_SHOWN:
                    heapq.heappop(worst)
            on_progress("testing, images", len(found), images.num_images)
    finally:
        network.train(was_training)
    assert len(found) == images.num_images, "every image is tested once, whatever the processes"
    seen = images.preparation
    shown = {
        number: thumbnail(image, mean=seen.mean, std=seen.std)
        for _, _, number, image in sorted(worst, reverse=True)
    }
    return HeldOutResult(images=images, predictions=tuple(found), thumbnails=shown)


def held_out(dataset: DataSet, *, share: Literal["test", "validation"] = "test") -> HeldOut:
    """The images of a share of a data set, as its networks are validated on them."""
    split: Split = getattr(dataset, share)

    def batches() -> Iterator[Batch]:
        for start in range(0, len(split), _BATCH):
            labels = split.labels[start : start + _BATCH]
            images = normalise(split.images[start : start + _BATCH])
            yield images, labels, torch.arange(start, start + len(labels))

    preparation = Preparation.of(dataset)
    return HeldOut(batches=batches, num_images=len(split), preparation=preparation)


def _predictions(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    numbers: Tensor,
    *,
    device: str | torch.device,
) -> Iterator[Prediction]:
    logits = network(images.to(device)).float().cpu()  # (B, K)
    own = F.log_softmax(logits, dim=1).gather(1, labels.cpu()[:, None]).squeeze(1)
    columns = numbers.tolist(), labels.tolist(), logits.argmax(1).tolist(), own.tolist()
    for number, label, predicted, share in zip(*columns, strict=True):
        yield Prediction(
            image=number,
            label=label,
            predicted=predicted,
            probability=math.exp(share),
            loss=-share,
        )


def _shares(found: Estimate, num_images: int) -> dict[str, float | None]:
    if not num_images:
        return {"accuracy": None, "low": None, "high": None}
    return {"accuracy": found.value, "low": found.low, "high": found.high}
