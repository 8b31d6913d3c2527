"""How does a worker make images, as the network sees them, of files or of images held?

n images, S side in pixels.
"""

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
from archbench.data.decoding import Extent, UnreadableError, opened, remarks_ignored
from archbench.data.files import Files
from archbench.data.source import Share

PART = 32
"""Images that a worker makes at a time."""


class Task(NamedTuple):
    """Images of a share by their numbers; in training with the seeds of their changes, (n, 3)."""

    share: Share
    indices: np.ndarray
    seeds: np.ndarray | None = None

    def parts(self) -> Iterator["Task"]:
        """What workers make of it at a time."""
        for start in range(0, len(self.indices), PART):
            part = slice(start, start + PART)
            seeds = None if self.seeds is None else self.seeds[part]
            yield self._replace(indices=self.indices[part], seeds=seeds)


Holes = Sequence[tuple[int, Erased]]
"""What is erased of some images, by their places."""


@dataclass(frozen=True, kw_only=True)
class ImageMaker:
    """The pictures of each share, and how a network sees them; this is what workers do."""

    shares: Mapping[Share, Files | Split]
    extents: Mapping[str, Extent]
    augmentation: Augmentation
    resolution: int

    def __call__(self, task: Task, images: np.ndarray) -> Holes:
        """Make images, of which the pixels are written into an array, uint8 (n or more, S, S, 3).

        Raises:
            DataError: A file is gone, or damaged.
        """
        holes = []
        with remarks_ignored(), generators_kept():
            for at, index in enumerate(task.indices.tolist()):
                if task.seeds is None:
                    images[at] = np.asarray(self._cut(task, index, middle_crop))
                    continue
                draw_from(task.seeds[at])
                crop = self._cut(task, index, random_crop)
                images[at] = np.asarray(changed(crop, augmentation=self.augmentation))
                if hole := erased(self.augmentation, self.resolution):
                    holes.append((at, hole))
        return holes

    def _cut(self, task: Task, index: int, crop: Callable[..., Image.Image]) -> Image.Image:
        """What a crop takes of an image; those that are held are whole when they are tested."""
        share = self.shares[task.share]
        cut = partial(
            crop,
            augmentation=self.augmentation,
            resolution=self.resolution,
            extents=self.extents,
        )
        if isinstance(share, Files):
            return _of_file(share, index, cut)
        picture = Image.fromarray(share.images[index].permute(1, 2, 0).numpy())
        return picture if task.seeds is None else cut(picture)


def _of_file(files: Files, index: int, cut: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """What is cut out of the picture of a file; the reason why a file cannot be read is said."""
    try:
        with opened(files.read_bytes(index)) as image:
            return cut(image)
    except (OSError, UnreadableError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"the image could be read when the files were listed, and now it cannot ({reason})",
            place=str(files.path(index)),
            help="put it back as it was, and go on from the last checkpoint",
        ) from error
