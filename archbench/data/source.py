"""What does a source of images have to give: its settings at once, its images when they are due."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archbench.errors import UsageError
from archbench.progress import Progress
from archbench.registry import OUTSIDE, Registry

if TYPE_CHECKING:
    import numpy as np

    from archbench.data.decoding import Extent
    from archbench.data.tree import Item

Share = Literal["train", "validation", "test"]
SHARES: tuple[Share, ...] = ("train", "validation", "test")
_FLIP = re.compile(r",flip=(\w*)$")
SOURCES = Registry("archbench.data.sources", "data set", "archbench.data")


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """What is asked of a source, see ``load``; the argument is what stands behind the colon.

    Without ``flip`` no image is mirrored, whatever the source says.
    """

    name: str
    argument: str
    resolution: int
    seed: int
    download: bool
    progress: Progress
    flip: bool = True

    def path(self, *, what: str) -> Path:
        """The path behind the colon.

        Raises:
            UsageError: There is none; the message says what should lie there.
        """
        if not self.argument:
            raise UsageError(
                f"the path of {what} is not said",
                place=self.name,
                help=f"say {self.name.rstrip(':')}:PATH",
            )
        return Path(os.path.expanduser(self.argument))


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What is known of a data set once its images are made, see ``DataSet``."""

    class_names: tuple[str, ...]
    description: str
    flip: bool
    notes: tuple[str, ...]


def source_of(name: str) -> tuple[str, str]:
    """What a name of data names: a source, and what stands behind its colon for that.

    >>> source_of("folder:photos,flip=no"), source_of("module:my_package.my_data:small")
    (('folder', 'photos'), ('module:my_package.my_data', 'small'))
    """
    inner = _FLIP.sub("", name.removeprefix(OUTSIDE))
    outside = OUTSIDE if name.startswith(OUTSIDE) else ""
    kind, _, argument = inner.partition(":")
    return outside + kind, argument


def may_flip(name: str) -> bool:
    """Whether a name of data lets its images be mirrored, where their source does.

    Raises:
        UsageError: It says neither yes nor no.

    >>> may_flip("folder:photos"), may_flip("folder:letters,flip=no")
    (True, False)
    """
    said = _FLIP.search(name)
    if said and said[1] not in ("yes", "no"):
        raise UsageError(
            f"flip={said[1]} is neither yes nor no",
            place=name,
            help="say flip=no where left and right distinguish classes, as of arrows and letters",
        )
    return said is None or said[1] == "yes"


Sink = Callable[[Share, "np.ndarray", "np.ndarray"], None]
"""Takes the next images of a share, uint8 (N, 3, H, W), and their labels, (N,).

A share that was left cannot be taken up again.
"""


@dataclass(frozen=True)
class FilesFound:
    """The image files of each share that can be learnt from, and what is known of them.

    ``contents`` is a hash of their bytes, labels and shares, wherever they lie.
    """

    items: Mapping[Share, Sequence[Item]]
    extents: Mapping[str, Extent]
    contents: str
    facts: DataFacts


@dataclass(frozen=True)
class ImageSource:
    """A data set that could be made: cheap to have, costly to make.

    ``settings`` are all that the images depend on beside resolution and seed, as JSON values: the
    number of the way in which they are made (``recipe``), and a fingerprint of the files.
    ``find`` gives the files themselves where the images lie in such: those whose images ``make``
    makes, whatever the resolution; ``shares`` gives those that are looked through for it, at once.
    The ``side`` in pixels is that of images that all lie at one.
    """

    settings: Mapping[str, Any]
    make: Callable[[Sink], DataFacts]
    find: Callable[[], FilesFound] | None = None
    shares: Callable[[], Mapping[Share, Sequence[Item]]] | None = None
    side: int | None = None
