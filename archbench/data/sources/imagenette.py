"""Imagenette: 13,394 photographs of ten easily told classes of ImageNet (Howard 2019)."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from archbench.data.dataset import DataError
from archbench.data.published import fetch, home, unpacked
from archbench.data.source import DataRequest, ImageSource
from archbench.errors import MissingError

NUM_PUBLISHED = 13_394
# folder to torchvision's name for the size and the shorter side in pixels, small ones first
SIZES: Mapping[str, tuple[str, int]] = {
    "imagenette2-160": ("160px", 160),
    "imagenette2-320": ("320px", 320),
    "imagenette2": ("full", 1 << 16),
}
MEGABYTES = {"imagenette2-160": 100, "imagenette2-320": 340, "imagenette2": 1560}


def source(request: DataRequest) -> ImageSource:
    """The smallest size in the folder behind the colon that has the resolution.

    The official validation images are the held-out test split; validation is 15 % of each class of
    the training images.

    Raises:
        UsageError: No path is given.
        MissingError: No size is there.
        DataError: It has no class folders.
    """
    root, names = home(request, folders=list(SIZES))
    there = [name for name in names if (root / name).is_dir()]
    if not there and request.download:
        wanted = next(name for name in names if _fits(name, request) or name == names[-1])
        download = partial(_dataset, folder=wanted, download=True)
        fetch(download, root=root, folder=wanted, request=request)
        there = [wanted]
    if not there:
        raise MissingError(
            "Imagenette is not there",
            place=str(root / names[0]),
            help=f"unpack {names[0]}.tgz in {root}, or add --download to fetch it "
            f"({MEGABYTES[names[0]]:,} MB); or use cluttered_digits, which is built in",
        )
    folder = next((name for name in there if _fits(name, request)), there[-1])
    return unpacked(
        request,
        root=root / folder,
        title=f"Imagenette ({folder})",
        num_published=NUM_PUBLISHED,
        class_names=partial(_class_names, root, folder),
    )


def _fits(folder: str, request: DataRequest) -> bool:
    return SIZES[folder][1] >= request.resolution


def _dataset(root: Path | str, folder: str, *, download: bool = False) -> Any:
    from torchvision.datasets import Imagenette

    size, _ = SIZES[folder]
    return Imagenette(root, split="train", size=size, download=download, loader=str)


def _class_names(root: Path, folder: str) -> list[str]:
    try:
        return [names[0] for names in _dataset(root, folder).classes]
    except KeyError as error:
        raise DataError(
            f"{error} is not a class of Imagenette",
            place=str(root / folder / "train"),
            help=f"take it away, or say folder:{root / folder}",
        ) from error
