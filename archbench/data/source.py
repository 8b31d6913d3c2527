"""What does a source of images have to give: its settings at once, its images when they are due."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from archbench.errors import MissingError, UsageError
from archbench.progress import Progress
from archbench.registry import Registry

if TYPE_CHECKING:
    import numpy as np

Share = Literal["train", "validation", "test"]
SHARES: tuple[Share, ...] = ("train", "validation", "test")
SOURCES = Registry("archbench.data.sources", "data set")


@dataclass(frozen=True, kw_only=True)
class DataRequest:
    """What is asked of a source.

    Attributes:
        name: The whole name as the user wrote it, for messages.
        argument: What stands behind the colon; empty if nothing does.
        resolution: Side of the images in pixels.
        seed: Seed of every random choice, also of splits.
        download: Whether the source may fetch what is missing.
        progress: Told what is being done, how much of it, of how much.
    """

    name: str
    argument: str
    resolution: int
    seed: int
    download: bool
    progress: Progress

    def settings(self, *, recipe: int, **more: Any) -> dict[str, Any]:
        """All that the images of a source depend on, see ``ImageSource.settings``.

        Args:
            recipe: Number of the source's way to make them, raised with every change of a byte.
            **more: Of the files, or of how they are made.
        """
        return {"recipe": recipe, "resolution": self.resolution, "seed": self.seed, **more}

    def path(self, *, what: str) -> Path:
        """The path behind the colon.

        Args:
            what: What lies there, for the message.

        Raises:
            UsageError: There is none.
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
    """What is known of a data set once its images are made.

    Attributes:
        class_names: In the order of the labels.
        description: What it is in one sentence.
        flip: Whether a mirrored image keeps its label.
        notes: What a person should know before the start.
    """

    class_names: tuple[str, ...]
    description: str
    flip: bool
    notes: tuple[str, ...]


class Sink(Protocol):
    """Where a source puts its images."""

    def add(self, share: Share, images: np.ndarray, labels: np.ndarray) -> None:
        """Take the next images of a share; a share that was left cannot be taken up again.

        Args:
            share: Which share they belong to.
            images: uint8, (N, 3, H, W).
            labels: Whole numbers, (N,).
        """


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """A data set that could be made: cheap to have, costly to make.

    Attributes:
        settings: All that the images depend on, as JSON values: what was asked, and a fingerprint
            of the files. Equal settings mean equal images.
        make: Puts all images into a sink and says what they are.
    """

    settings: Mapping[str, Any]
    make: Callable[[Sink], DataFacts]


@contextmanager
def reading(request: DataRequest) -> Iterator[None]:
    """Turns a failure to read what is asked into one plain message.

    Raises:
        MissingError: A file or folder cannot be read, for example for want of permission.
    """
    try:
        yield
    except OSError as error:
        raise MissingError(
            f"it cannot be read ({error.strerror or error})",
            place=str(error.filename or request.name),
            help="see to its permissions and its disk",
        ) from error
