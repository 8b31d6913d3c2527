"""How many images a second does a stream give, beside timm's loader on the same folder?

The changes of images are LeViT's; rounds of all loaders are interleaved on one machine. Photographs
of another size are made of those of a folder with train/ and test/.

    python benchmarks/throughput/throughput.py --photos photos64 --side 224 --size 500x375
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from PIL import Image

RAND_AUGMENT = "rand-m9-mstd0.5-inc1"
ERASING = 0.25
KINDS = ("archbench", "timm", "timm, prefetcher")
HELD_OUT = (("val", "test", 0, 1), ("test", "test", 1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument(
        "--size", default="500x375", help="of the photographs; as they are if empty"
    )
    parser.add_argument("--images", type=int, default=20, help="of each class")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy(options.photos, root, size=options.size, number=options.images)
        rates = in_turn(root, options)
    print("| workers | archbench, images/s | timm | timm, prefetcher | ratio | ratio, prefetcher |")
    print("|---" * 6 + "|")
    for workers in options.workers:
        ours, *theirs = (rates[kind, workers] for kind in KINDS)
        medians = [f"{statistics.median(one):.0f}" for one in (ours, *theirs)]
        ratios = [ratio(ours, other) for other in theirs]
        print(f"| {workers} |", " | ".join([*medians, *ratios]), "|")


def in_turn(root: Path, options: argparse.Namespace) -> dict[tuple[str, int], list[float]]:
    """Images a second of each loader, round by round; one process has those of archbench."""
    context = multiprocessing.get_context("spawn")
    ends, processes = {}, []
    for library in ("archbench", "timm"):
        ends[library], end = context.Pipe()
        processes.append(context.Process(target=serve, args=(end, library, root, options)))
        processes[-1].start()
    rates = defaultdict(list)
    for done in range(-1, options.rounds):
        for workers, kind in itertools.product(options.workers, KINDS):
            end = ends[kind.partition(",")[0]]
            end.send((kind, workers))
            rate = end.recv()
            if done >= 0:
                rates[kind, workers].append(rate)
    for end in ends.values():
        end.send(None)
    for process in processes:
        process.join()
    return rates


def serve(end: Connection, library: str, root: Path, options: argparse.Namespace) -> None:
    """Runs the loaders of a library, of which the other end asks for one at a time."""
    torch.set_num_threads(1)
    if library == "archbench":
        from archbench.memory import keep_memory

        keep_memory()  # as each training on the CPU does
    with ExitStack() as opened:
        loaders: dict[tuple[str, int], Callable[[], Iterator[Any]]] = {}
        for kind, workers in itertools.product(KINDS, options.workers):
            how = {"side": options.side, "batch": options.batch, "workers": workers}
            if library == kind == "archbench":
                loaders[kind, workers] = stream(root, opened, **how)
            elif library == "timm" and kind != "archbench":
                loaders[kind, workers] = timm_loader(root, use_prefetcher="," in kind, **how)
        while asked := end.recv():
            end.send(images_per_second(loaders[asked]()))


def copy(photos: Path, root: Path, *, size: str, number: int) -> None:
    """Photographs at a size, each class alike; one of each to validate and one to test."""
    for share, source, start, stop in (("train", "train", 0, number), *HELD_OUT):
        for folder in sorted(path for path in (photos / source).iterdir() if path.is_dir()):
            (root / share / folder.name).mkdir(parents=True)
            for path in sorted(folder.iterdir())[start:stop]:
                image = Image.open(path).convert("RGB")
                if size:
                    width, _, height = size.partition("x")
                    image = image.resize((int(width), int(height)), Image.Resampling.BICUBIC)
                image.save(root / share / folder.name / f"{path.stem}.jpg", quality=92)


def stream(
    root: Path, opened: ExitStack, *, side: int, batch: int, workers: int
) -> Callable[[], Iterator[Any]]:
    from archbench.data.augmentation import Augmentation
    from archbench.data.stream import open_stream

    augmentation = Augmentation(rand_augment=RAND_AUGMENT, erasing=ERASING)
    found = opened.enter_context(
        open_stream(
            f"folder:{root}",
            resolution=side,
            augmentation=augmentation,
            batch=batch,
            seed=0,
            workers=workers,
            cache=root / "cache",
        )
    )
    epochs = itertools.count()
    return lambda: found.train.epoch(next(epochs))


def timm_loader(
    root: Path, *, side: int, batch: int, workers: int, use_prefetcher: bool
) -> Callable[[], Iterator[Any]]:
    from timm.data import ImageDataset, auto_augment, create_loader

    from archbench.data.augmentation import _posterized

    auto_augment.NAME_TO_OP["PosterizeIncreasing"] = _posterized  # or Pillow 13 ends it
    loader = create_loader(
        ImageDataset(str(root / "train")),
        input_size=(3, side, side),
        batch_size=batch,
        is_training=True,
        re_prob=ERASING,
        re_mode="pixel",
        auto_augment=RAND_AUGMENT,
        interpolation="bicubic",
        num_workers=workers,
        persistent_workers=workers > 0,
        use_prefetcher=use_prefetcher,
        device=torch.device("cpu"),
    )
    return lambda: iter(loader)


def images_per_second(batches: Iterator[Any]) -> float:
    began, number = time.perf_counter(), 0
    for images, _ in batches:
        assert images.dtype == torch.float32
        number += len(images)
    return number / (time.perf_counter() - began)


def ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


if __name__ == "__main__":
    main()
