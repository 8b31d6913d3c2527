"""How does a worker make images, as the network sees them, of files or of images held?

n images, S side in pixels.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from archbench.data.augmentation import (
    Augmentation,
    Erased,
    changed,
    draw_from,
    erased,
    generators_kept,
    middle_crop,
    random_crop,
)
from archbench.data.dataset import DataError, Split
from archbench.data.decoding import Extent, UnreadableError, opened
from archbench.data.files import Files
from archbench.data.member import Stored
from archbench.data.source import Share

PART = 32
"""Images that a worker makes at a time."""

ORDER, CHANGES = range(2)
"""What is drawn by the seed and the epoch."""


class Task(NamedTuple):
    """Images of a share by their numbers; in training with their places in an epoch."""

    share: Share
    indices: np.ndarray
    epoch: int = 0
    positions: np.ndarray | None = None

    def parts(self) -> Iterator["Task"]:
        """What workers make of it at a time."""
        for start in range(0, len(self.indices), PART):
            part = slice(start, start + PART)
            positions = None if self.positions is None else self.positions[part]
            yield self._replace(indices=self.indices[part], positions=positions)


class Made(NamedTuple):
    """Images, uint8 (n, 3, S, S), and what is erased of some of them, by their places."""

    images: np.ndarray
    erased: Sequence[tuple[int, Erased]]


@dataclass(frozen=True, kw_only=True)
class ImageMaker:
    """The pictures of each share, and how a network sees them; this is what workers do."""

    shares: Mapping[Share, Files | Split]
    extents: Mapping[str, Extent]
    augmentation: Augmentation
    resolution: int
    seed: int

    def __call__(self, task: Task) -> Made:
        """Make images.

        Raises:
            DataError: A file is gone, or damaged.
        """
        S, holes = self.resolution, []
        images = np.empty((len(task.indices), 3, S, S), np.uint8)
        with warnings.catch_warnings(), generators_kept():
            # remarks on odd metadata: what cannot be decoded is an error anyway
            warnings.filterwarnings("ignore", module=r"PIL\.|archbench\.data\.")
            for at, index in enumerate(task.indices):
                if task.positions is not None:
                    draw_from(self.seed, CHANGES, task.epoch, int(task.positions[at]))
                picture = self._picture(task, int(index))
                images[at] = np.asarray(picture).transpose(2, 0, 1)
                if task.positions is not None and (hole := erased(self.augmentation, S)):
                    holes.append((at, hole))
        return Made(images, holes)

    def _picture(self, task: Task, index: int) -> Image.Image:
        share, is_training = self.shares[task.share], task.positions is not None
        cut = partial(
            random_crop if is_training else middle_crop,
            augmentation=self.augmentation,
            resolution=self.resolution,
            extents=self.extents,
        )
        if isinstance(share, Split):
            picture = Image.fromarray(share.images[index].permute(1, 2, 0).numpy())
            picture = cut(picture) if is_training else picture
        else:
            picture = _of_file(share.path(index), cut)
        return changed(picture, augmentation=self.augmentation) if is_training else picture


def _of_file(path: Stored, cut: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """What is cut out of the picture of a file; the reason why a file cannot be read is said."""
    try:
        with opened(path.read_bytes()) as image:
            return cut(image)
    except (OSError, UnreadableError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"the image could be read when the files were listed, and now it cannot ({reason})",
            place=str(path),
            help="put it back as it was, and go on from the last checkpoint",
        ) from error
