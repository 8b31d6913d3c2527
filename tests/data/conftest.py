"""Tiny data sets in the forms in which they lie on users' disks."""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from archbench.data import DataSet, load
from archbench.data.source import DataRequest
from archbench.progress import no_progress

PER_CLASS = 12

Maker = Callable[[Path, pytest.MonkeyPatch], str]


def write_image(path: Path, *, seed: int, size: tuple[int, int] = (20, 16)) -> Path:
    """A picture that no other seed gives, in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_classes(folder: Path, counts: Mapping[str, int], *, seed: int = 0) -> Path:
    """One folder per class, ``0.png`` and on in each."""
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            write_image(folder / name / f"{index}.png", seed=1000 * (1000 * seed + number) + index)
    return folder


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch, *, num_classes: int) -> Path:
    """A CIFAR archive's folder; torchvision is told the MD5 of our files, which it then checks."""
    import torchvision

    published = getattr(torchvision.datasets, f"CIFAR{num_classes}")
    folder = root / published.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(num_classes)
    key = "labels" if num_classes == 10 else "fine_labels"

    def written(name: str, content: object) -> str:
        data = pickle.dumps(content, protocol=2)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    def batch(name: str, count: int) -> list[str]:
        pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = (np.arange(count) % num_classes).tolist()
        return [name, written(name, {"data": pixels, key: labels, "filenames": []})]

    count = 4 * num_classes
    train = [batch(name, count) for name, _ in published.train_list]
    test = [batch(name, num_classes) for name, _ in published.test_list]
    names = {published.meta["key"]: [f"thing {index}" for index in range(num_classes)]}
    meta = {**published.meta, "md5": written(published.meta["filename"], names)}
    monkeypatch.setattr(published, "train_list", train)
    monkeypatch.setattr(published, "test_list", test)
    monkeypatch.setattr(published, "meta", meta)
    return folder


def write_synsets(root: Path, names: Iterable[str]) -> Path:
    """``train/`` and ``val/`` with a folder of JPEG files for each synset."""
    for split, first in (("train", 0), ("val", 500)):
        for number, name in enumerate(names):
            for index in range(PER_CLASS):
                path = root / split / name / f"{split}_{index}.JPEG"
                write_image(path, seed=first + 100 * number + index)
    return root


def write_imagenette(root: Path, *, folder: str = "imagenette2-160") -> Path:
    return write_synsets(root / folder, ("n01440764", "n02102040", "n02979186"))


def write_imagenet(root: Path) -> Path:
    import torch

    names = {"n03126707": ("crane",), "n02012849": ("crane",), "n01440764": ("tench", "Tinca")}
    write_synsets(root, names)
    torch.save((names, list(names)), root / "meta.bin")  # as torchvision's parse_devkit_archive
    return root


def swapped_profile() -> bytes:
    """sRGB with red and green in each other's place."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile = profile.replace(b"s\0R\0G\0B", b"o\0t\0h\0r")
    at = {tag: profile.index(tag) for tag in (b"rXYZ", b"gXYZ")}
    for tag, place in at.items():
        other = b"gXYZ" if tag == b"rXYZ" else b"rXYZ"
        profile[place : place + 4] = other
    return bytes(profile)


def write_shard(path: Path, members: Mapping[str, bytes]) -> Path:
    """A tar archive of files with these contents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_shards(folder: Path, photos: Path) -> Path:
    """An archive for each class folder, with the images and their labels side by side."""
    for label, images in enumerate(sorted(photos.iterdir())):
        members = {}
        for path in sorted(images.iterdir()):
            key = f"{images.name}_{path.stem}"
            members[f"{key}{path.suffix}"] = path.read_bytes()
            members[f"{key}.cls"] = str(label).encode()
        write_shard(folder / f"{photos.name}-{label:03}.tar", members)
    return folder


# a new source needs a line here: how to make a tiny one of it, and what it is then called
MAKERS: Mapping[str, Maker] = {
    "cifar10": lambda root, patch: f"cifar10:{write_cifar(root, patch, num_classes=10).parent}",
    "cifar100": lambda root, patch: f"cifar100:{write_cifar(root, patch, num_classes=100).parent}",
    "cluttered_digits": lambda root, patch: "cluttered_digits",
    "folder": lambda root, patch: (
        f"folder:{write_classes(root / 'photos', {'cat': 20, 'dog': 30})}"
    ),
    "imagenet": lambda root, patch: f"imagenet:{write_imagenet(root)}",
    "imagenette": lambda root, patch: f"imagenette:{write_imagenette(root).parent}",
    "shards": lambda root, patch: (
        f"shards:{write_shards(root / 'shards', write_classes(root / 'p', {'a': 20, 'b': 30}))}"
    ),
}


def archive_of(folder: Path, archive: Path) -> str:
    """The MD5 of a .tar.gz that unpacks to a folder."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=folder.name)
    return hashlib.md5(archive.read_bytes()).hexdigest()


def request_for(name: str, *, resolution: int = 8) -> DataRequest:
    """What a source is asked for a name."""
    return DataRequest(
        name=name,
        argument=name.partition(":")[2],
        resolution=resolution,
        seed=0,
        download=False,
        progress=no_progress,
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return load("cluttered_digits", resolution=32, cache=tmp_path_factory.mktemp("cache"))


def bytes_of(dataset: DataSet) -> dict[str, list[bytes]]:
    """Every image of each share, for comparing."""
    return {
        share: [image.numpy().tobytes() for image in getattr(dataset, share).images]
        for share in ("train", "validation", "test")
    }
