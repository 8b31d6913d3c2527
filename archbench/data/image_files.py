"""How do image files get into the shares: decoded in parallel, broken ones and copies left out."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from archbench.data.decoding import UnreadableError, decoded, without_decoder_warnings
from archbench.data.source import SHARES, Progress, Share, Sink
from archbench.data.tree import shown

# the shares that must stay clean come first: an image that is in one of them is left out later
ORDER: tuple[Share, ...] = ("test", "validation", "train")
BLOCK = 256
LISTED = 5
COUNTED_CLASSES = 12
FEW_TO_VALIDATE = 300


@dataclass(frozen=True, kw_only=True)
class Item:
    """An image file and its class."""

    path: Path
    label: int


@dataclass(kw_only=True)
class Gathered:
    """What came of the files.

    Attributes:
        counts: Images of each share by label.
        unreadable: File and reason.
        copies: Share, file left out, and the file of an earlier share with the same bytes.
    """

    counts: dict[Share, Counter[int]] = field(default_factory=dict)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    copies: list[tuple[Share, Path, Path]] = field(default_factory=list)


def gather(
    sink: Sink,
    shares: Mapping[Share, Sequence[Item]],
    *,
    resolution: int,
    progress: Progress,
) -> Gathered:
    """Decodes the files of all shares into a sink.

    A file that has the same bytes as one of the test share is left out of the others; one that
    is in validation is left out of training.

    Args:
        sink: Takes the images.
        shares: The files of each share.
        resolution: Side of the images in pixels.
        progress: Told how many files are done.
    """
    found = Gathered()
    sealed: dict[bytes, Path] = {}
    done, total = 0, sum(len(items) for items in shares.values())
    with without_decoder_warnings(), ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for share in ORDER:
            counts = found.counts[share] = Counter()
            here: dict[bytes, Path] = {}
            for block in _blocks(shares[share]):
                progress("decoding images", done, total)
                read = pool.map(lambda item: _read(item, resolution), block)
                kept = [file for file in read if _is_kept(file, share, sealed, found)]
                if kept:
                    labels = np.array([file.item.label for file in kept])
                    sink.add(share, np.stack([file.image for file in kept]), labels)
                    counts.update(labels.tolist())
                if share != "train":
                    here |= {file.sha256: file.item.path for file in kept}
                done += len(block)
            sealed |= here
    progress("decoding images", total, total)
    return found


@dataclass(frozen=True, kw_only=True)
class _File:
    item: Item
    sha256: bytes = b""
    image: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))
    broken: str = ""


def _read(item: Item, resolution: int) -> _File:
    try:
        content = item.path.read_bytes()
        image = decoded(content, resolution=resolution)
    except (OSError, UnreadableError) as error:
        return _File(item=item, broken=getattr(error, "strerror", None) or str(error))
    return _File(item=item, sha256=hashlib.sha256(content).digest(), image=image)


def _is_kept(file: _File, share: Share, sealed: Mapping[bytes, Path], found: Gathered) -> bool:
    if file.broken:
        found.unreadable.append((file.item.path, file.broken))
    elif file.sha256 in sealed:
        found.copies.append((share, file.item.path, sealed[file.sha256]))
    else:
        return True
    return False


def _blocks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BLOCK):
        yield items[start : start + BLOCK]


def notes(found: Gathered, *, class_names: Sequence[str], root: Path) -> tuple[str, ...]:
    """What a person should know of the files: counts, those that were left out, small shares."""
    lines = [f"{share}: {_counted(found.counts[share], class_names)}" for share in SHARES]
    if broken := found.unreadable:
        listed = [f"{_name(path, root)} ({shown(reason)})" for path, reason in broken]
        lines.append(f"left out, unreadable: {_listed(listed)}")
    for share in ("train", "validation"):
        same = [
            f"{_name(path, root)} = {_name(other, root)}"
            for where, path, other in found.copies
            if where == share
        ]
        if same:
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
