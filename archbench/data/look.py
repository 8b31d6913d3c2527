"""What is seen of data before any image is decoded: how many, of which classes, how large?"""

import io
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from archbench.data.cache import load, request_for, with_source
from archbench.data.decoding import BROKEN, FORMATS, remarks_ignored
from archbench.data.source import DataRequest, ImageSource, Share
from archbench.data.tree import Item
from archbench.progress import Progress

_MEASURED = 64


@dataclass(frozen=True, kw_only=True)
class Look:
    """Training images of each class, images to validate on, and the middle of the short sides.

    Of files, broken ones and copies are counted too. The side, in pixels, is that of some training
    images as they lie; None where they are drawn or held at whichever is asked for.
    """

    class_sizes: tuple[int, ...]
    num_validation: int
    side: int | None

    @property
    def num_train(self) -> int:
        """Images to train on."""
        return sum(self.class_sizes)


def look_at(
    name: str, *, resolution: int, download: bool = False, progress: Progress | None = None
) -> Look:
    """What is seen of the data of a name; those that lie in no files are made at the resolution.

    Raises:
        ArchbenchError: See ``archbench.data.load``.
    """
    request = request_for(name, resolution=resolution, seed=0, download=download, progress=progress)
    return with_source(request, partial(_look, request=request))


def _look(source: ImageSource, *, request: DataRequest) -> Look:
    if source.shares is not None:
        return _look_at_files(source.shares())
    found = load(
        request.name,
        resolution=source.side or request.resolution,
        progress=request.progress,
    )
    sizes = found.train.labels.bincount(minlength=found.num_classes).tolist()
    return Look(class_sizes=tuple(sizes), num_validation=len(found.validation), side=source.side)


def _look_at_files(shares: Mapping[Share, Sequence[Item]]) -> Look:
    train = shares["train"]
    counts = Counter(item.label for item in train)
    sides = [side for item in train[:: -(-len(train) // _MEASURED)] if (side := _side(item))]
    return Look(
        class_sizes=tuple(counts[label] for label in sorted(counts)),
        num_validation=len(shares["validation"]),
        side=round(statistics.median(sides)) if sides else None,
    )


def _side(item: Item) -> int | None:
    """The short side of an image by its header; None where that cannot be read."""
    try:
        file = item.path if isinstance(item.path, Path) else io.BytesIO(item.path.read_bytes())
        with remarks_ignored(), Image.open(file, formats=FORMATS) as image:
            return min(image.size)
    except BROKEN:
        return None
