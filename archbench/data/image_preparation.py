"""How does a picture become what a network takes, and what are its classes called?

It is what lies between a file and a trained network, so it is kept beside the weights.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from archbench.bounds import BOUNDS
from archbench.data.dataset import PIXEL_MEAN, PIXEL_STD, DataSet
from archbench.data.decoding import Extent, UnreadableError, decoded, remarks_ignored
from archbench.data.image_files import BLOCK, extents_of

TEXT = "images"
"""Under which a file of weights keeps it."""

_Channels = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """From a picture to a normalised square, and the names of the classes, if they are known.

    The short side becomes ``resize`` pixels, bicubic, and the middle square of ``resolution`` is
    taken. Of each channel, from 0 to 1, the mean is subtracted, and the rest divided by the std.
    """

    resolution: int
    resize: int
    mean: _Channels = (PIXEL_MEAN,) * 3
    std: _Channels = (PIXEL_STD,) * 3
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: DataSet) -> Self:
        """That of the images of a data set."""
        side = dataset.resolution
        return cls(resolution=side, resize=side, class_names=dataset.class_names)

    @classmethod
    def from_document(cls, kept: Mapping[str, Any]) -> Self:
        """What ``document`` gave.

        Raises:
            ValueError: It is something else.
        """
        try:
            fields: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in kept.items()
            }
            found = cls(**fields)
            (low, high), sides = BOUNDS["image side"], (found.resolution, found.resize)
            channels = (*found.mean, *found.std)
            is_sound = (
                all(isinstance(side, int) and low <= side <= high for side in sides)
                and found.resolution <= found.resize
                and len(found.mean) == len(found.std) == 3
                and all(isinstance(value, int | float) for value in channels)
                and min(found.std) > 0
                and all(isinstance(name, str) for name in found.class_names)
            )
        except (AttributeError, TypeError) as error:
            raise ValueError(str(error)) from error
        if not is_sound:
            raise ValueError("sides, means, deviations or class names that cannot be")
        return found

    def document(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found

    def texts(self) -> dict[str, str]:
        """What a file of weights keeps of it, beside the tensors."""
        return {TEXT: json.dumps(asdict(self))}

    def middle(self, pixels: Tensor) -> Tensor:
        """The middle squares (..., R, R) of squares whose side is ``resize``."""
        margin = (self.resize - self.resolution) // 2
        inside = slice(margin, margin + self.resolution)
        return pixels[..., inside, inside]

    def normalised(self, pixels: Tensor) -> Tensor:
        """Bytes (B, 3, R, R) as a network takes them, in fp32."""
        mean, std = (torch.tensor(value).view(3, 1, 1) for value in (self.mean, self.std))
        return pixels.to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std)


def pictures(
    files: Sequence[Path], *, preparation: Preparation
) -> Iterator[tuple[Path, Tensor | str]]:
    """Each file with its pixels, uint8 (3, R, R), or with the reason why it cannot be read.

    Files with more than 8 bits a channel are brought to 8 by one range, that of all these files.
    """
    with remarks_ignored(), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        extents = extents_of(files, pool=pool)
        read = partial(_read, preparation=preparation, extents=extents)
        for start in range(0, len(files), BLOCK):
            block = files[start : start + BLOCK]
            yield from zip(block, pool.map(read, block), strict=True)


def _read(path: Path, *, preparation: Preparation, extents: Mapping[str, Extent]) -> Tensor | str:
    try:
        content = path.read_bytes()
        picture = decoded(content, resolution=preparation.resize, extents=extents)
    except OSError as error:
        return error.strerror or str(error)
    except UnreadableError as error:
        return str(error)
    return preparation.middle(torch.from_numpy(picture.pixels)).clone()
