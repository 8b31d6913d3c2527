"""Which images lie below a folder of class folders, and what there is passed over and why?"""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from archbench.data.dataset import DataError
from archbench.data.member import Stored

# as torchvision.datasets.ImageFolder takes them, and what else browsers give to the same formats
SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"),
)
# images all the same, so that a person misses them
UNREAD_SUFFIXES = (
    *(".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".svg", ".psd", ".eps", ".tga", ".dng"),
    *(".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw", ".exr", ".dcm", ".npy"),
)
# folders of thumbnails, of copies and of what was deleted, that programs leave in everybody's
PROGRAMS_FOLDERS = frozenset(
    {
        *("@eadir", "__macosx", "lost+found", "@recycle", "#recycle", "#snapshot"),
        *("@tmp", "$recycle.bin", "system volume information", "__pycache__"),
    }
)
_LISTED = 5


class Item(NamedTuple):
    """An image file and the label of its class."""

    path: Stored
    label: int


@dataclass
class PassedOver:
    """What of a folder is not taken, by reason; of files by suffix, of folders by name."""

    loose: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    links: int = 0

    def __add__(self, other: "PassedOver") -> "PassedOver":
        """What of both is not taken."""
        return PassedOver(**{name: value + vars(other)[name] for name, value in vars(self).items()})

    def in_words(self) -> list[str]:
        """A line for each reason that there is."""
        told = {
            "images outside the class folders": f"{self.loose:,}" * (self.loose > 0),
            "images in a format that is not read; save them as JPEG or PNG": _counted(self.unread),
            "files that are not images": _counted(self.others),
            "folders that other programs keep": _counted(self.folders),
            "hidden files and folders": f"{self.hidden:,}" * (self.hidden > 0),
            "links that lead nowhere": f"{self.links:,}" * (self.links > 0),
        }
        return [f"passed over, {reason}: {count}" for reason, count in told.items() if count]


@dataclass(frozen=True)
class Tree:
    """The images below a folder by class folder, both sorted.

    Classes have their names as ``shown`` gives them. Deeper folders belong to the class; loose
    images lie in the folder itself, outside every class.
    ``fingerprint`` changes with every image that comes, goes, or gets another size or time.
    """

    root: Path
    classes: Mapping[str, tuple[Path, ...]]
    passed_over: PassedOver
    fingerprint: str


def tree(root: Path) -> Tree:
    """The images below a folder, found by their suffix; no image is opened.

    Raises:
        DataError: Two class folders cannot be told apart by their names.
        OSError: A folder cannot be listed.
    """
    classes: dict[str, tuple[Path, ...]] = {}
    marks = hashlib.sha256()
    passed_over = PassedOver()
    for entry in _entries(root, passed_over):
        images = []
        for file in _files(entry, passed_over):
            suffix = os.path.splitext(file.name)[1].lower()
            if suffix in SUFFIXES:
                images.append(file)
            else:
                kind = passed_over.unread if suffix in UNREAD_SUFFIXES else passed_over.others
                kind[suffix or "no suffix"] += 1
        if entry.is_dir():
            if (name := shown(entry.name)) in classes:
                raise DataError(
                    f"two class folders are called {name}, in two spellings of Unicode",
                    place=str(root),
                    help="put their images in one of them",
                )
            classes[name] = tuple(Path(image.path) for image in images)
        else:
            passed_over.loose += len(images)
        for image in images:
            status = image.stat()
            mark = (os.path.relpath(image.path, root), status.st_size, status.st_mtime_ns)
            marks.update(repr(mark).encode())
    return Tree(root, classes, passed_over, fingerprint=marks.hexdigest())


def items_of(found: Tree, names: Sequence[str]) -> list[Item]:
    """The images below a folder, labelled by the place of their class among some names."""
    return [
        Item(path, label)
        for label, name in enumerate(names)
        for path in found.classes.get(name, ())
    ]


def images_below(folder: Path) -> list[Path]:
    """The images in a folder and below it, whatever their class, in the order of their names."""
    passed_over = PassedOver()
    return [
        Path(file.path)
        for entry in _entries(folder, passed_over)
        for file in _files(entry, passed_over)
        if os.path.splitext(file.name)[1].lower() in SUFFIXES
    ]


def folders_called(root: Path, names: Sequence[str]) -> list[Path]:
    """The folders of class folders below a folder that have one of some names, in any capitals."""
    return [
        Path(entry.path)
        for entry in _entries(root, PassedOver())
        if entry.name.casefold() in names and has_class_folders(Path(entry.path))
    ]


def has_class_folders(folder: Path) -> bool:
    """Whether there is any folder in a folder, so that it may be one of class folders."""
    return bool(class_folders(folder))


def class_folders(folder: Path) -> list[Path]:
    """The folders in a folder, none where it is no folder, in the order of their names."""
    entries = _entries(folder, PassedOver()) if folder.is_dir() else []
    return [Path(entry.path) for entry in entries if entry.is_dir()]


def has_images(folder: Path) -> bool:
    """Whether there is any image in a folder itself, by its suffix."""
    names = (entry.name for entry in _entries(folder, PassedOver()) if entry.is_file())
    return any(os.path.splitext(name)[1].lower() in SUFFIXES for name in names)


def shown(name: str) -> str:
    """A name that can be printed and written as UTF-8, whatever the file system holds.

    Names that read alike are the same, however their accents are composed.
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    text = unicodedata.normalize("NFC", text)
    return text if text.isprintable() else repr(text)[1:-1]


def look_alike(names: Sequence[str]) -> list[list[str]]:
    """Shown names that differ in capitals, or in spaces and dots around them, alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.casefold().strip(" ."), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _counted(found: Counter[str]) -> str:
    """For example ``21 (.heic 20, .txt 1)``; empty where there is nothing."""
    if not found:
        return ""
    ordered = sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))
    listed = [f"{shown(name)} {count:,}" for name, count in ordered[:_LISTED]]
    more = ", ..." if len(found) > _LISTED else ""
    return f"{found.total():,} ({', '.join(listed)}{more})"


def _entries(folder: Path | str, passed_over: PassedOver) -> list[os.DirEntry[str]]:
    kept = []
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith("."):
                passed_over.hidden += 1
            elif entry.name.lower() in PROGRAMS_FOLDERS and entry.is_dir():
                passed_over.folders[entry.name] += 1
            else:
                kept.append(entry)
    return sorted(kept, key=lambda entry: unicodedata.normalize("NFC", entry.name))


def _files(
    entry: os.DirEntry[str], passed_over: PassedOver, above: frozenset[str] = frozenset()
) -> Iterator[os.DirEntry[str]]:
    """The files at and below an entry; a link to a folder above is not followed again."""
    if not entry.is_dir():
        if entry.is_file():
            yield entry
        elif entry.is_symlink():
            passed_over.links += 1
        return
    real = os.path.realpath(entry.path)
    if real not in above:
        for inner in _entries(entry.path, passed_over):
            yield from _files(inner, passed_over, above | {real})
