"""How accurate is a network in int8, and on which images is it calibrated?

It is quantised after its training, as the runtime of a backend does that, never trained in int8.
"""

import tempfile
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.data import DataSet, Split, normalise
from archbench.errors import UsageError
from archbench.evaluate.artifact import pass_of
from archbench.measure.backend import BACKENDS, quiet, write_artifact
from archbench.models import fold
from archbench.study.measurement import Conditions

CALIBRATED = 256
"""Training images on which int8 is calibrated."""

_SEED = 0


def calibration_images(train: Split) -> Tensor:
    """The images of a training split on which int8 is calibrated, bytes (N, 3, R, R)."""
    return train.images[drawn(len(train), CALIBRATED)]


def drawn(number: int, wanted: int) -> Tensor:
    """Which of so many images are taken, of all classes, always the same; all where there are few.

    >>> len(drawn(3, 256))
    3
    """
    return torch.randperm(number, generator=torch.Generator().manual_seed(_SEED))[:wanted]


def quantised_accuracy(
    network: nn.Module, split: Split, *, calibration: Tensor, conditions: Conditions
) -> float:
    """The share of images that a network in int8 classifies rightly, 0 to 1, run image by image.

    It runs in the backend of the conditions, whose precision is int8 and whose resolution is that
    of the images. The network is on the CPU and stays as it is; the ``calibration`` are images in
    bytes, (N, 3, R, R).

    Raises:
        UsageError: The backend does not compute int8.
        MissingError: What it needs for that is not there.
        RuntimeError: It cannot quantise the network.
    """
    images = normalise(calibration)
    backend, example = BACKENDS.load(conditions.backend), images[:1].clone()  # it is written into
    with tempfile.TemporaryDirectory(prefix="archbench-") as folder:
        path = Path(folder, "network").with_suffix(backend.SUFFIX)
        write_artifact(
            fold(network), example, path=path, conditions=conditions, images=images.split(1)
        )
        with quiet():
            opened = backend.open_artifact(path, example, conditions=conditions)
        run = pass_of(opened, path, conditions=conditions)
        right = sum(
            int(run(normalise(image)).argmax()) == label
            for image, label in zip(split.images.split(1), split.labels.tolist(), strict=True)
        )
    return right / len(split)


def no_calibration() -> UsageError:
    """What is raised where int8 is asked for without data."""
    return UsageError(
        "int8 is calibrated on images of the training, and no data are named",
        place="--precision int8",
        help="add --data NAME",
    )


def int8_accuracy(
    network: nn.Module, data: DataSet, *, split: Split, conditions: Conditions
) -> float:
    """``quantised_accuracy`` on a split of data whose training images calibrate it.

    Of the conditions batch and resolution do not matter.
    """
    size = (data.resolution, data.resolution)
    return quantised_accuracy(
        network.eval(),
        split,
        calibration=calibration_images(data.train),
        conditions=replace(conditions, batch=1, resolution=size),
    )


def quantisation_of(backend: str, *, num_train: int) -> dict[str, Any]:
    """What a study's header keeps of how its networks are quantised, of so many training images.

    Raises:
        UsageError: There is no such backend.
    """
    library, method = BACKENDS.load(backend).QUANTISATION
    told = f"{library} {metadata.version(library)}, {method}"
    images = min(CALIBRATED, num_train)
    return {"backend": backend, "images": images, "seed": _SEED, "method": told}
