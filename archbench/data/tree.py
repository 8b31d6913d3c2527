"""Which images lie in a folder of class folders, and are they still the ones of before?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# as torchvision.datasets.ImageFolder takes them
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, kw_only=True)
class Tree:
    """The images below a folder; hidden files and folders are passed over.

    Attributes:
        root: The folder.
        classes: Class folder to its images, both sorted; deeper folders belong to the class.
        num_loose: Images that lie in the folder itself, outside every class.
        num_others: Files of other kinds.
        fingerprint: Changes with every image that comes, goes, or gets another size or time.
    """

    root: Path
    classes: Mapping[str, tuple[Path, ...]]
    num_loose: int
    num_others: int
    fingerprint: str


def tree(root: Path) -> Tree:
    """The images below a folder, found by their suffix; no image is opened.

    Raises:
        OSError: A folder cannot be listed.
    """
    classes: dict[str, tuple[Path, ...]] = {}
    marks = hashlib.sha256()
    num_loose = num_others = 0
    for entry in _entries(root):
        files = list(_files(entry))
        images = [file for file in files if is_image(file.name)]
        if entry.is_dir():
            classes[entry.name] = tuple(Path(image.path) for image in images)
        else:
            num_loose += len(images)
        num_others += len(files) - len(images)
        for image in images:
            status = image.stat()
            mark = (os.path.relpath(image.path, root), status.st_size, status.st_mtime_ns)
            marks.update(repr(mark).encode())
    return Tree(
        root=root,
        classes=classes,
        num_loose=num_loose,
        num_others=num_others,
        fingerprint=marks.hexdigest(),
    )


def is_image(name: str) -> bool:
    """Whether a file is an image, going by its suffix."""
    return name.lower().endswith(SUFFIXES)


def has_class_folders(folder: Path) -> bool:
    """Whether there is any folder in a folder, so that it may be one of class folders."""
    return folder.is_dir() and any(entry.is_dir() for entry in _entries(folder))


def shown(name: str) -> str:
    """A name that can be printed and written as UTF-8, whatever the file system holds."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else repr(text)[1:-1]


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        kept = [entry for entry in found if not entry.name.startswith(".")]
    return sorted(kept, key=lambda entry: entry.name)


def _files(
    entry: os.DirEntry[str], above: frozenset[str] = frozenset()
) -> Iterator[os.DirEntry[str]]:
    """The files at and below an entry; a link to a folder above is not followed again."""
    if not entry.is_dir():
        if entry.is_file():
            yield entry
        return
    real = os.path.realpath(entry.path)
    if real not in above:
        for inner in _entries(entry.path):
            yield from _files(inner, above | {real})
