"""Which name stands for data that somebody holds in Python, in every process and later on?

The images are put into the cache, once, under a digest of them. Their name for workers, for a
study that is resumed and for the command line is ``module:archbench.data.given:`` and that digest.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from archbench.cache_folder import cache_folder
from archbench.data.cache import cached, check_resolution
from archbench.data.dataset import DataSet
from archbench.data.in_memory import RECIPE, images_of
from archbench.data.source import DataFacts, DataRequest, ImageSource, Sink, may_flip
from archbench.errors import ArchbenchError, MissingError, wrong_type
from archbench.progress import no_progress
from archbench.registry import OUTSIDE, guest

Data = str | Path | DataSet | Dataset[Any]
"""What may be given as data: a name, a folder of class folders, or what holds the images."""

ALLOWED = (
    "the name of a data set, such as cluttered_digits or folder:PATH, an archbench.data.DataSet, "
    "or a torch Dataset of (image, label)"
)


def name_of(data: Data, *, resolution: int, sides: Iterable[int] = ()) -> str:
    """The name of data: itself, ``folder:PATH`` of a path, or that of images put into the cache.

    All images of a torch Dataset are held in memory at once; larger ones belong into a folder.
    Under one name they are there at further ``sides``, too, if there are any.

    Raises:
        UsageError: It is none of what can be taken, or its images are not.
        StorageError: The cache cannot be written.
    """
    if isinstance(data, str):
        return data
    if isinstance(data, Path):
        return f"folder:{data}"
    if not isinstance(data, DataSet | Dataset):
        raise wrong_type(data, place="data", allowed=ALLOWED)
    digest = ""
    for side in dict.fromkeys((resolution, *sides)):
        check_resolution(side, place="data")
        with guest(place="data", passes=(ArchbenchError,)):
            held = images_of(data, resolution=side)
        digest = digest or held.digest()
        request = DataRequest(
            name=f"{OUTSIDE}{__name__}:{digest}",
            argument=digest,
            resolution=side,
            seed=0,  # by which nothing is drawn here
            download=False,
            progress=no_progress,
        )
        cached(_source(digest, held.fill), request=request, folder=cache_folder())
    return request.name


def name_elsewhere(dataset: DataSet) -> str:
    """The name of prepared images in a cache to which their files are copied, by their content."""
    flip = "" if may_flip(dataset.name) else ",flip=no"
    return f"{OUTSIDE}{__name__}:{dataset.digest}{flip}"


def source(request: DataRequest) -> ImageSource:
    """The images of the digest behind the colon, which lie in the cache.

    Raises:
        MissingError: They are not there.
    """

    def missing(sink: Sink) -> DataFacts:
        raise MissingError(
            "these images were given as an object, and lie in this cache no more",
            place=request.name,
            help="run the Python that gave them again, with the same resolution",
        )

    return _source(request.argument, missing)


def _source(digest: str, make: Callable[[Sink], DataFacts]) -> ImageSource:
    return ImageSource({"recipe": RECIPE, "digest": digest}, make)
