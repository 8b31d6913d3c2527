"""ImageNet-1k: 1.3 million photographs of 1,000 classes (Russakovsky et al. 2015)."""

from functools import partial
from pathlib import Path
from pickle import UnpicklingError

from archbench.data.published import unpacked
from archbench.data.source import DataRequest, ImageSource
from archbench.errors import FOREIGN_FAULTS, MissingError

NUM_PUBLISHED = 1_281_167 + 50_000
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}


def source(request: DataRequest) -> ImageSource:
    """ImageNet as torchvision unpacks it, in the folder behind the colon.

    The official validation images are the held-out test split; validation is about 10,000 of the
    training images.

    Raises:
        UsageError: No path is given.
        MissingError: It is not there, or not unpacked; it cannot be downloaded.
        DataError: It has no class folders.
    """
    root = request.path(what="the folder of train/ and val/")
    for split, archive in ARCHIVES.items():
        if not (root / split).is_dir():
            raise MissingError(
                f"ImageNet's {split}/ is not there",
                place=str(root / split),
                help=_how_to_get(root, archive),
            )
    if not (root / "meta.bin").is_file() and not (root / DEVKIT).is_file():
        raise MissingError(
            f"{DEVKIT} is not there, which holds the names of ImageNet's classes",
            place=str(root),
            help=f"put it there, or say folder:{root}, which needs no names",
        )
    return unpacked(
        request,
        root=root,
        title="ImageNet-1k",
        num_published=NUM_PUBLISHED,
        class_names=partial(_class_names, root),
    )


def _how_to_get(root: Path, archive: str) -> str:
    if (root / archive).is_file():
        return (
            'unpack the archives: python -c "from torchvision.datasets import ImageNet; '
            f"[ImageNet({str(root)!r}, split) for split in ('train', 'val')]\""
        )
    return (
        f"get {DEVKIT} and {' and '.join(ARCHIVES.values())} from image-net.org, which asks for an "
        "account, so that --download cannot; or use cluttered_digits, which is built in"
    )


def _class_names(root: Path) -> list[str]:
    from torchvision.datasets import ImageNet

    try:
        published = ImageNet(str(root), split="train", loader=str)
    except (*FOREIGN_FAULTS, EOFError, OSError, UnpicklingError) as error:
        # torch's own text would advise to run what is in the file
        cause = getattr(error, "strerror", None) or type(error).__name__
        raise MissingError(
            f"the names of ImageNet's classes cannot be read ({cause})",
            place=str(root),
            help=f"delete meta.bin and put {DEVKIT} there anew, or say folder:{root}",
        ) from error
    return [
        f"{names[0]} ({folder})"  # two cranes and two maillots
        for names, folder in zip(published.classes, published.wnids, strict=True)
    ]
