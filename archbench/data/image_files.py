"""How do image files get into the shares, and what should a person know of them?

They are decoded in parallel to squares of bytes; broken ones, and copies of held-out ones, are
left out.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from archbench.data.dataset import DataError, held_out_share
from archbench.data.decoding import (
    DEEP_SUFFIXES,
    Extent,
    Picture,
    UnreadableError,
    decoded,
    extent_of,
    remarks_ignored,
    widen,
)
from archbench.data.member import Stored
from archbench.data.source import (
    SHARES,
    DataFacts,
    DataRequest,
    FilesFound,
    ImageSource,
    Share,
    Sink,
)
from archbench.data.tree import Item, shown
from archbench.progress import Progress, no_progress

RECIPE = 1  # raise it with every change that leaves out other files
# the shares that must stay clean come first: an image that is in one of them is left out later
HELD_OUT: tuple[Share, ...] = ("test", "validation")
ORDER: tuple[Share, ...] = (*HELD_OUT, "train")
BLOCK = 256
LISTED = 5
COUNTED_CLASSES = 12
FEW_TO_VALIDATE = 300
_SIDE = 8  # of the small copies by which pictures are compared
_COMPARED_AT = 64  # pixels at which they are taken, so that no resolution gives other shares
_PLAIN = 8.0  # standard deviation of a small copy below which too many look alike
# how far small copies of one picture may differ, of that deviation and of 255: of 400 photographs
# saved at three quarters of their size all differ by less, at half of it two thirds, and of 8,500
# others the nearest of 2,500 differ by .19 and 11
_ALIKE = 0.2
_MOST_ALIKE = 8.0


@dataclass(kw_only=True)
class Gathered:
    """What came of the files: those that each share keeps, and what was found of them.

    ``contents`` is a hash of the kept. ``unreadable`` says why. ``copies`` are share, file left
    out, and the file of an earlier share with the same bytes; ``resized`` likewise of the same
    picture at another size; ``alike`` are pictures of the same size that were kept. ``disputed``
    are files of the same bytes in two classes; ``remarks`` are files by what was done to them;
    ``extents`` those of deep pixels.
    """

    kept: dict[Share, list[Item]] = field(default_factory=dict)
    contents: Any = field(default_factory=hashlib.sha256)
    unreadable: list[tuple[Stored, str]] = field(default_factory=list)
    copies: list[tuple[Share, Stored, Stored]] = field(default_factory=list)
    resized: list[tuple[Share, Stored, Stored]] = field(default_factory=list)
    alike: list[tuple[Share, Stored, Stored]] = field(default_factory=list)
    disputed: list[tuple[Stored, Stored]] = field(default_factory=list)
    remarks: dict[str, list[Stored]] = field(default_factory=dict)
    extents: Mapping[str, Extent] = field(default_factory=dict)

    def counts(self, share: Share) -> Counter[int]:
        """Images of a share by label."""
        return Counter(item.label for item in self.kept[share])

    def with_facts(self, facts: DataFacts) -> FilesFound:
        """The kept files, and what is known of them."""
        return FilesFound(self.kept, self.extents, self.contents.hexdigest(), facts)


class _Read(NamedTuple):
    """A file that could be read: its picture, its sha256 and its small copy, (192,)."""

    item: Item
    picture: Picture
    sha256: bytes
    small: np.ndarray


class _HeldOut:
    """The images of the shares so far, to find those that come again."""

    def __init__(self) -> None:
        self.first: dict[bytes, tuple[Share, Item]] = {}  # of each content, in whichever share
        self._kept: list[_Read] = []
        self._small = np.empty((0, 3 * _SIDE**2), dtype=np.float32)
        self._squares = np.empty(0, dtype=np.float32)

    def add(self, read: Iterable[_Read]) -> None:
        """Take in images of which only the small copies are remembered."""
        empty = np.empty((3, 0, 0), dtype=np.uint8)
        some = [one._replace(picture=one.picture._replace(pixels=empty)) for one in read]
        if some:
            self._kept += some
            self._small = np.concatenate([self._small, np.stack([one.small for one in some])])
            self._squares = (self._small**2).sum(1)

    def like(self, read: Sequence[_Read]) -> list[_Read | None]:
        """For each image the one of which it is a copy, None where there is none.

        Images of one size have to differ half as much as others at most: they may be of one series.
        """
        if not self._kept or not read:
            return [None] * len(read)
        small = np.stack([one.small for one in read])
        distances = (small**2).sum(1)[:, None] + self._squares - 2 * small @ self._small.T
        nearest = [self._kept[at] for at in distances.argmin(1)]
        error = np.sqrt(np.maximum(distances.min(1), 0) / small.shape[1])
        spread = small.std(1)
        pairs = zip(read, nearest, strict=True)
        share = np.array([0.5 if a.picture.size == b.picture.size else 1.0 for a, b in pairs])
        is_like = error <= share * np.minimum(_ALIKE * spread, _MOST_ALIKE)
        is_like &= spread >= _PLAIN
        found = zip(nearest, is_like, strict=True)
        return [one if is_one else None for one, is_one in found]


def source_of_files(
    settings: Mapping[str, Any],
    make: Callable[[Sink, DataRequest], FilesFound],
    request: DataRequest,
    *,
    shares: Callable[[], Mapping[Share, Sequence[Item]]],
) -> ImageSource:
    """A source of which ``make`` gathers the files, those of its ``shares``."""

    def find() -> FilesFound:
        return make(lambda *images: None, replace(request, resolution=_COMPARED_AT))

    settings = {**settings, "gathering": RECIPE}
    return ImageSource(settings, lambda sink: make(sink, request).facts, find, shares)


def drawn(given: Mapping[Share, Sequence[Item]], *, seed: int) -> dict[Share, Sequence[Item]]:
    """The files of each share; those that are not given are drawn from the ones to train on."""
    left = list(given["train"])
    shares: dict[Share, Sequence[Item]] = {}
    for number, share in enumerate(HELD_OUT):
        if share in given:
            shares[share] = given[share]
            continue
        labels = np.array([item.label for item in left])
        taken = held_out_share(labels, seed=seed, number=number)
        shares[share] = [left[index] for index in taken]
        left = [left[index] for index in np.delete(np.arange(len(left)), taken)]
    return {**shares, "train": left}


def gather(sink: Sink, shares: Mapping[Share, Sequence[Item]], request: DataRequest) -> Gathered:
    """Decodes the files of all shares into a sink.

    A file that has the same bytes as one of the test share, or the same picture at another size, is
    left out of the others; one that is in validation is left out of training.
    """
    found, held_out = Gathered(), _HeldOut()
    done, total = 0, sum(len(items) for items in shares.values())
    with remarks_ignored(), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        paths = [item.path for items in shares.values() for item in items]
        found.extents = extents_of(paths, pool=pool, progress=request.progress)
        read_item = partial(_read, resolution=request.resolution, extents=found.extents)
        for share in ORDER:
            found.kept[share] = []
            here: list[_Read] = []
            for start in range(0, len(shares[share]), BLOCK):
                request.progress("decoding images", done, total)
                block = shares[share][start : start + BLOCK]
                read = zip(block, pool.map(read_item, block), strict=True)
                kept = list(_kept(list(read), share=share, held_out=held_out, found=found))
                if kept:
                    labels = [one.item.label for one in kept]
                    sink(share, np.stack([one.picture.pixels for one in kept]), np.array(labels))
                    found.kept[share] += [one.item for one in kept]
                if share != ORDER[-1]:
                    here += kept
                done += len(block)
            held_out.add(here)
    request.progress("decoding images", total, total)
    return found


def extents_of(
    paths: Sequence[Stored], *, pool: ThreadPoolExecutor, progress: Progress = no_progress
) -> dict[str, Extent]:
    """The extent of each kind of pixels with more than 8 bits, over all files."""
    deep = [path for path in paths if path.suffix.lower() in DEEP_SUFFIXES]
    extents: dict[str, Extent] = {}
    for start in range(0, len(deep), BLOCK):
        progress("decoding images", 0, len(deep))
        for result in pool.map(extent_of, deep[start : start + BLOCK]):
            widen(extents, result)
    return extents


def _read(item: Item, resolution: int, extents: Mapping[str, Extent]) -> _Read | str:
    """The image of a file, or why it cannot be read."""
    try:
        content = item.path.read_bytes()
        picture = decoded(content, resolution=resolution, extents=extents)
        compared = picture
        if resolution != _COMPARED_AT:
            compared = decoded(content, resolution=_COMPARED_AT, extents=extents)
    except (OSError, UnreadableError) as error:
        return getattr(error, "strerror", None) or str(error)
    square = Image.fromarray(compared.pixels.transpose(1, 2, 0))
    small = np.asarray(square.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float32)
    return _Read(item, picture, hashlib.sha256(content).digest(), small.ravel())


def _kept(
    read: Sequence[tuple[Item, _Read | str]],
    *,
    share: Share,
    held_out: _HeldOut,
    found: Gathered,
) -> Iterator[_Read]:
    """The files that go into a share; of the others the reason is noted."""
    sound = [one for _, one in read if isinstance(one, _Read)]
    found.unreadable += [(item.path, one) for item, one in read if isinstance(one, str)]
    for one, other in zip(sound, held_out.like(sound), strict=True):
        path = one.item.path
        home, first = held_out.first.setdefault(one.sha256, (share, one.item))
        if first.label != one.item.label:
            found.disputed.append((path, first.path))
        if home != share:
            found.copies.append((share, path, first.path))
            continue
        if other is not None:
            is_resized = other.picture.size != one.picture.size
            (found.resized if is_resized else found.alike).append((share, path, other.item.path))
            if is_resized:
                continue
        found.contents.update(f"{share} {one.item.label} ".encode() + one.sha256)
        for remark in one.picture.remarks:
            found.remarks.setdefault(remark, []).append(path)
        yield one


def notes(found: Gathered, *, class_names: Sequence[str], root: Path) -> tuple[str, ...]:
    """What a person should know of the files: counts, those that were left out, small shares."""
    lines = [f"{share}: {_counted(found.counts(share), class_names)}" for share in SHARES]
    if broken := found.unreadable:
        listed = [f"{_name(path, root)} ({shown(reason)})" for path, reason in broken]
        lines.append(f"left out, unreadable: {_listed(listed)}")
    for share in ("train", "validation"):
        for pairs, why in (
            (found.copies, "left out of {}, the same file is held out"),
            (found.resized, "left out of {}, the same picture is held out at another size"),
            (found.alike, "{} has images that look like held-out ones, and keeps them"),
        ):
            if same := _pairs([pair for where, *pair in pairs if where == share], root):
                lines.append(f"{why.format(share)}: {_listed(same)}")
    if disputed := _pairs(found.disputed, root):
        lines.append(f"the same file in two classes, one of which is wrong: {_listed(disputed)}")
    num_images = sum(map(len, found.kept.values()))
    for remark, paths in sorted(found.remarks.items()):
        lines.append(f"{len(paths):,} of {num_images:,} images {remark} ({_name(paths[0], root)})")
    lines += [extent.in_words(kind) for kind, extent in sorted(found.extents.items())]
    if (count := len(found.kept["validation"])) < FEW_TO_VALIDATE:
        error = 50 / math.sqrt(count)
        lines.append(
            f"only {count} images to validate on: an accuracy has a standard error of up to "
            f"{error:.0f} points"
        )
    return tuple(lines)


def check_readable(found: Gathered, names: Sequence[str], root: Path) -> None:
    """Refuses a class without images left, as they are broken or copies of held-out ones.

    Raises:
        DataError: There is one.
    """
    for share in ("train", "validation"):
        counts = found.counts(share)
        empty = [name for label, name in enumerate(names) if not counts[label]]
        if empty:
            num_copies = len(found.copies) + len(found.resized)
            causes = (
                f"{len(found.unreadable)} files are unreadable, {num_copies} are copies of "
                "held-out ones"
            )
            first = next((f"; {path}: {reason}" for path, reason in found.unreadable), "")
            raise DataError(
                f"no usable image of {', '.join(empty[:5])} for {share} ({causes}{first})",
                place=str(root),
                help="replace the files, or take the class away",
            )


def _pairs(pairs: Sequence[Sequence[Stored]], root: Path) -> list[str]:
    return [f"{_name(path, root)} = {_name(other, root)}" for path, other in pairs]


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


def _name(path: Stored, root: Path) -> str:
    return shown(str(path.relative_to(root)))
