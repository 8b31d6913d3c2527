"""How do image files get into the shares?

They are found in a folder of class folders and decoded in parallel to squares of bytes; broken ones
and copies are left out.
"""

import hashlib
import io
import math
import os
import re
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from archbench.data.source import SHARES, DataRequest, Share, Sink

# the shares that must stay clean come first: an image that is in one of them is left out later
ORDER: tuple[Share, ...] = ("test", "validation", "train")
BLOCK = 256
LISTED = 5
COUNTED_CLASSES = 12
FEW_TO_VALIDATE = 300
# as torchvision.datasets.ImageFolder takes them
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
ORIENTATION = 0x0112  # EXIF tag
# not all that Pillow knows: its EPS reader would run Ghostscript
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
# what Pillow's readers raise on broken files
BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, OverflowError),
    *(MemoryError, struct.error, zlib.error, Image.DecompressionBombError),
)


class UnreadableError(Exception):
    """An image that cannot be decoded; the text says why."""


@dataclass(frozen=True)
class Tree:
    """The images below a folder by class folder, both sorted; hidden ones are passed over.

    Deeper folders belong to the class; loose images lie in the folder itself, outside every class.
    ``fingerprint`` changes with every image that comes, goes, or gets another size or time.
    """

    root: Path
    classes: Mapping[str, tuple[Path, ...]]
    num_loose: int
    num_others: int
    fingerprint: str


class Item(NamedTuple):
    """An image file and the label of its class."""

    path: Path
    label: int


@dataclass(kw_only=True)
class Gathered:
    """What came of the files: images of each share by label, and why files are unreadable.

    ``copies`` are share, file left out, and the file of an earlier share with the same bytes.
    """

    counts: dict[Share, Counter[int]] = field(default_factory=dict)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    copies: list[tuple[Share, Path, Path]] = field(default_factory=list)


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
        images = [file for file in files if file.name.lower().endswith(SUFFIXES)]
        if entry.is_dir():
            classes[entry.name] = tuple(Path(image.path) for image in images)
        else:
            num_loose += len(images)
        num_others += len(files) - len(images)
        for image in images:
            status = image.stat()
            mark = (os.path.relpath(image.path, root), status.st_size, status.st_mtime_ns)
            marks.update(repr(mark).encode())
    return Tree(root, classes, num_loose, num_others, fingerprint=marks.hexdigest())


def items_of(found: Tree, names: Sequence[str]) -> list[Item]:
    """The images below a folder, labelled by the place of their class among some names."""
    return [
        Item(path, label)
        for label, name in enumerate(names)
        for path in found.classes.get(name, ())
    ]


def has_class_folders(folder: Path) -> bool:
    """Whether there is any folder in a folder, so that it may be one of class folders."""
    return folder.is_dir() and any(entry.is_dir() for entry in _entries(folder))


def shown(name: str) -> str:
    """A name that can be printed and written as UTF-8, whatever the file system holds."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else repr(text)[1:-1]


def decoded(content: bytes, *, resolution: int) -> np.ndarray:
    """The image of a file, its middle square resized: uint8, (3, R, R).

    Turned as its EXIF data says; 16-bit grey becomes 8-bit; transparency is dropped.

    Raises:
        UnreadableError: It cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            # a JPEG can be decoded at 1/2, 1/4 or 1/8 in a fraction of the time
            image.draft("RGB", (2 * resolution, 2 * resolution))
            orientation = image.getexif().get(ORIENTATION)
            square = ImageOps.fit(_rgb(image), (resolution, resolution))  # bicubic
    except UnidentifiedImageError as error:
        raise UnreadableError("not an image of a known format") from error
    except BROKEN as error:
        raise UnreadableError(" ".join(str(error).split()) or type(error).__name__) from error
    pixels = np.asarray(square).transpose(2, 0, 1)
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(1, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, :, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def gather(sink: Sink, shares: Mapping[Share, Sequence[Item]], request: DataRequest) -> Gathered:
    """Decodes the files of all shares into a sink.

    A file that has the same bytes as one of the test share is left out of the others; one that
    is in validation is left out of training.
    """
    found = Gathered()
    held_out: dict[bytes, Path] = {}
    read_item = partial(_read, resolution=request.resolution)
    done, total = 0, sum(len(items) for items in shares.values())
    with warnings.catch_warnings(), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        # remarks on odd metadata: what cannot be decoded is an error anyway
        warnings.filterwarnings("ignore", module=rf"PIL\.|{re.escape(__name__)}")
        for share in ORDER:
            counts = found.counts[share] = Counter()
            here: dict[bytes, Path] = {}
            for start in range(0, len(shares[share]), BLOCK):
                request.progress("decoding images", done, total)
                block = shares[share][start : start + BLOCK]
                read = zip(block, pool.map(read_item, block), strict=True)
                kept = list(_kept(read, share=share, held_out=held_out, found=found))
                if kept:
                    labels = [item.label for item, _, _ in kept]
                    sink(share, np.stack([image for _, image, _ in kept]), np.array(labels))
                    counts.update(labels)
                here |= {sha256: item.path for item, _, sha256 in kept}
                done += len(block)
            held_out |= here
    request.progress("decoding images", total, total)
    return found


def _read(item: Item, resolution: int) -> tuple[np.ndarray, bytes] | str:
    """The image and the sha256 of a file, or why it cannot be read."""
    try:
        content = item.path.read_bytes()
        return decoded(content, resolution=resolution), hashlib.sha256(content).digest()
    except (OSError, UnreadableError) as error:
        return getattr(error, "strerror", None) or str(error)


def _kept(
    read: Iterable[tuple[Item, tuple[np.ndarray, bytes] | str]],
    *,
    share: Share,
    held_out: Mapping[bytes, Path],
    found: Gathered,
) -> Iterator[tuple[Item, np.ndarray, bytes]]:
    """The files that go into a share; of the others the reason is noted."""
    for item, result in read:
        if isinstance(result, str):
            found.unreadable.append((item.path, result))
        elif result[1] in held_out:
            found.copies.append((share, item.path, held_out[result[1]]))
        else:
            yield item, *result


def notes(found: Gathered, *, class_names: Sequence[str], root: Path) -> tuple[str, ...]:
    """What a person should know of the files: counts, those that were left out, small shares."""
    lines = [f"{share}: {_counted(found.counts[share], class_names)}" for share in SHARES]
    if broken := found.unreadable:
        listed = [f"{_name(path, root)} ({shown(reason)})" for path, reason in broken]
        lines.append(f"left out, unreadable: {_listed(listed)}")
    for share in ("train", "validation"):
        copies = [(path, other) for where, path, other in found.copies if where == share]
        if same := [f"{_name(path, root)} = {_name(other, root)}" for path, other in copies]:
            lines.append(f"left out of {share}, the same file is held out: {_listed(same)}")
    if (count := found.counts["validation"].total()) < FEW_TO_VALIDATE:
        error = 50 / math.sqrt(count)
        lines.append(
            f"only {count} images to validate on: an accuracy has a standard error of up to "
            f"{error:.0f} points"
        )
    return tuple(lines)


def _counted(counts: Counter[int], class_names: Sequence[str]) -> str:
    total = f"{counts.total():,} images"
    if len(class_names) <= COUNTED_CLASSES:
        each = (f"{name} {counts[label]:,}" for label, name in enumerate(class_names))
        return f"{total} ({', '.join(each)})"
    sizes = [counts[label] for label in range(len(class_names))]
    return f"{total} ({len(class_names):,} classes of {min(sizes):,} to {max(sizes):,})"


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - LISTED
    return f"{len(texts):,}: " + ", ".join(texts[:LISTED]) + (f" and {more:,} more" * (more > 0))


def _name(path: Path, root: Path) -> str:
    return shown(str(path.relative_to(root)))


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


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnreadableError("its pixels are fractions without a known range")
    if not image.mode.startswith("I"):
        return image.convert("RGB")
    deep = np.asarray(image)
    if deep.min() < 0 or deep.max() > 0xFFFF:
        raise UnreadableError("its pixels have more than 16 bits")
    return Image.fromarray((deep >> 8).astype(np.uint8)).convert("RGB")
