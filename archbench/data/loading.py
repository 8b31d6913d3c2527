"""Which data set does a name mean, and where is it taken from: its cache or its source."""

from __future__ import annotations

from pathlib import Path

from archbench.data.cache import cache_folder, cached
from archbench.data.dataset import DataSet
from archbench.data.source import SOURCES, DataRequest, ImageSource, reading
from archbench.errors import UsageError
from archbench.progress import Progress

SMALLEST_RESOLUTION = 8
LARGEST_RESOLUTION = 1024


def load(
    name: str,
    *,
    resolution: int,
    seed: int = 0,
    cache: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """The data set of a name, decoded and resized once, afterwards mapped from the cache.

    Args:
        name: ``cluttered_digits``, ``cluttered_digits:hard``, ``folder:PATH``, ``cifar10:PATH``,
            ``cifar100:PATH``, ``imagenette:PATH`` or ``imagenet:PATH``.
        resolution: Side of the square images in pixels.
        seed: Seed of splits and of synthetic images; the same seed gives the same bytes.
        cache: Folder that holds the prepared data; by default ``cache_folder()``.
        download: Whether missing data may be fetched from its home.
        progress: Told what is being done, how much of it, of how much.

    Raises:
        UsageError: The name, the resolution or the seed cannot be taken.
        MissingError: The data is not there, or cannot be read.
        DataError: The data is there, but cannot be learnt from.
        StorageError: The cache cannot be written.
    """
    kind, _, argument = name.partition(":")
    module = SOURCES.load(kind, place="data")
    if not SMALLEST_RESOLUTION <= resolution <= LARGEST_RESOLUTION:
        raise UsageError(
            f"a resolution of {resolution} px; {SMALLEST_RESOLUTION} to {LARGEST_RESOLUTION} px "
            "can be prepared",
            place=name,
        )
    if seed < 0:
        raise UsageError(f"the seed {seed}; 0 or more can be taken", place=name)
    request = DataRequest(
        name=name,
        argument=argument,
        resolution=resolution,
        seed=seed,
        download=download,
        progress=progress or (lambda what, done, total: None),
    )
    with reading(request):
        source: ImageSource = module.source(request)
    return cached(source, kind=kind, request=request, folder=cache or cache_folder())
