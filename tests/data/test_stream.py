"""Do batches depend on nothing but their seed, and does whatever goes wrong end in our words?"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from archbench.data import load
from archbench.data.augmentation import Augmentation
from archbench.data.dataset import DataError
from archbench.data.stream import Stream, epoch_length, epoch_order, open_stream
from archbench.errors import MissingError, UsageError
from tests.data.conftest import write_classes, write_image

R = 16
CHANGING = Augmentation(crop_scale=(0.3, 1), colour_jitter=0.4, erasing=0.5)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "photos", {"cat": 60, "dog": 80})


def _open(photos: Path | str, **changed: Any) -> Stream:
    settings: dict[str, Any] = {
        "resolution": R,
        "augmentation": CHANGING,
        "batch": 8,
        "seed": 0,
        "workers": 0,
    }
    name = photos if isinstance(photos, str) else f"folder:{photos}"
    folder = {} if isinstance(photos, str) else {"cache": photos.parent / "cache"}
    return open_stream(name, **{**settings, **folder, **changed})


def _epoch(photos: Path, epoch: int = 0, *, first_step: int = 0, **changed: Any) -> list[Any]:
    with _open(photos, **changed) as stream:
        return list(stream.train.epoch(epoch, first_step=first_step))


def _are_equal(some: list[Any], others: list[Any]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(torch.equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True))


def test_the_shares_are_those_of_load_at_any_resolution(photos: Path) -> None:
    (photos / "cat" / "broken.png").write_bytes(b"no image")
    for number in range(3):
        shutil.copy(photos / "dog" / f"{number}.png", photos / "dog" / f"copy{number}.png")
    smooth = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).resize((90, 90))
    for side in (90, 60, 45, 36):  # some of them held out
        smooth.resize((side, side)).save(photos / "cat" / f"same{side}.png")
    with _open(photos, split_seed=3) as stream:
        for resolution in (R, 64, 96):
            dataset = load(
                f"folder:{photos}", resolution=resolution, seed=3, cache=photos.parent / "cache"
            )
            for share in ("train", "validation", "test"):
                wanted, found = getattr(dataset, share), getattr(stream, share)
                assert torch.equal(found.labels, wanted.labels)
                if resolution == R:
                    paths = [found.path(index) for index in range(len(found))]
                    squares = [np.asarray(Image.open(path).resize((R, R))) for path in paths[:5]]
                    assert [square.shape for square in squares] == [(R, R, 3)] * 5
            assert (stream.class_names, stream.flip) == (dataset.class_names, dataset.flip)
            assert stream.majority_share == dataset.majority_share
            assert [note.partition(":")[0] for note in stream.notes] == [
                note.partition(":")[0] for note in dataset.notes
            ]
        left_out = {path.name for path in photos.rglob("*.png")} - {
            Path(share.path(index)).name
            for share in (stream.train, stream.validation, stream.test)
            for index in range(len(share))
        }
    assert "broken.png" in left_out


def test_files_are_looked_at_once_until_they_change(photos: Path) -> None:
    told: list[str] = []
    digests = []
    for _ in range(2):
        with _open(photos, progress=lambda what, done, total: told.append(what)) as stream:
            digests.append(stream.digest)
    assert set(told) == {"decoding images"}
    count = len(told)
    with _open(photos, resolution=32, progress=lambda what, done, total: told.append(what)):
        assert len(told) == count
    write_image(photos / "cat" / "new.png", seed=9)
    with _open(photos, progress=lambda what, done, total: told.append(what)) as stream:
        assert len(told) > count
        assert stream.digest != digests[0] == digests[1]


def test_workers_first_step_and_cache_change_no_batch(photos: Path) -> None:
    whole = _epoch(photos, 2)
    images, labels = whole[0]
    assert (len(whole), images.shape, images.dtype) == (12, (8, 3, R, R), torch.float32)
    assert labels.dtype == torch.int64
    assert _are_equal(whole, _epoch(photos, 2, workers=2))
    assert _are_equal(whole[5:], _epoch(photos, 2, first_step=5, workers=1))
    assert not _are_equal(whole, _epoch(photos, 1))
    assert not _are_equal(whole, _epoch(photos, 2, seed=1))


def test_processes_together_see_what_one_sees(photos: Path) -> None:
    whole = _epoch(photos)
    parts = [_epoch(photos, batch=4, rank=rank, world=2) for rank in range(2)]
    for step, (images, labels) in enumerate(whole):
        assert torch.equal(images[0::2], parts[0][step][0])
        assert torch.equal(images[1::2], parts[1][step][0])
        assert torch.equal(labels, torch.stack([part[step][1] for part in parts], 1).flatten())


def test_the_generators_of_the_process_are_left_alone(photos: Path) -> None:
    torch.manual_seed(4)
    wanted = torch.rand(3)
    torch.manual_seed(4)
    _epoch(photos)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(("number", "world"), [(1000, 1), (1000, 2), (768, 3), (100, 1)])
def test_repeats_are_those_of_timm(number: int, world: int) -> None:
    timm_data = pytest.importorskip("timm.data.distributed_sampler", reason="its sampler is timm's")
    order = epoch_order(number, seed=7, repeats=3)
    assert len(order) == epoch_length(number, repeats=3)
    for rank in range(world):
        sampler = timm_data.RepeatAugSampler(range(number), num_replicas=world, rank=rank)
        sampler.set_epoch(7)
        theirs = list(sampler)
        assert order[rank::world][: len(theirs)].tolist() == theirs
    assert np.array_equal(np.sort(epoch_order(number, seed=7, repeats=1)), np.arange(number))


def test_repeats_show_an_image_three_times_differently(photos: Path) -> None:
    repeated = replace(CHANGING, repeats=3, erasing=0.0)
    with _open(photos, augmentation=repeated, batch=6) as stream:
        images, labels = next(stream.train.epoch(0))
    assert labels.view(2, 3).unique(dim=1).shape[1] <= 2
    assert torch.equal(labels[0:3], labels[0].expand(3))
    assert not torch.equal(images[0], images[1])


def _at_rest(**changed: Any) -> Augmentation:
    none = Augmentation(crop_scale=(1, 1), crop_ratio=(1, 1), flip=0.0, crop_share=1.0)
    return replace(none, **changed)


def test_pixels_are_normalised_by_the_recipe(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    for share, name in (("train", "a"), ("train", "b"), ("val", "a"), ("val", "b")):
        write_image(root / share / name / "0.png", seed=len(share) + ord(name), size=(R, R))
    for name in "ab":
        write_image(root / "test" / name / "0.png", seed=ord(name) + 9, size=(R, R))
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    for augmentation in (_at_rest(mean=mean, std=std), _at_rest(mean=mean, std=std, erasing=1.0)):
        with _open(root, augmentation=augmentation, batch=2) as stream:
            images, labels, numbers = next(stream.validation.batches())
            training, training_labels = next(stream.train.epoch(0))
            paths = [stream.validation.path(int(number)) for number in numbers]
        pixels = torch.stack([_pixels(path) for path in paths])
        wanted = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        torch.testing.assert_close(images, wanted)
        assert labels.tolist() == numbers.tolist() == [0, 1]
        for image, label in zip(training, training_labels, strict=True):
            pixels = _pixels(root / "train" / "ab"[label] / "0.png")
            wanted = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
            same = torch.isclose(image, wanted, atol=1e-4).all(0)
            assert same.all() == (augmentation.erasing == 0)
            assert same.float().mean() > 0.5


def _pixels(path: Path | str) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(path)) / 255).permute(2, 0, 1).float()


def test_held_out_images_come_once_and_in_order_in_every_process(photos: Path) -> None:
    with _open(photos, rank=1, world=3, batch=5, workers=2) as stream:
        first, again = (list(stream.test.batches()) for _ in range(2))
        assert [number for _, _, part in first for number in part] == list(range(len(stream.test)))
        assert torch.equal(torch.cat([labels for _, labels, _ in first]), stream.test.labels)
    assert _are_equal(first, again)


def test_shares_may_be_read_amid_an_epoch(photos: Path) -> None:
    whole = _epoch(photos)
    with _open(photos, workers=2) as stream:
        epoch = stream.train.epoch(0)
        begun = [next(epoch) for _ in range(3)]
        assert sum(len(labels) for _, labels, _ in stream.validation.batches()) > 0
        assert _are_equal(whole, begun + list(epoch))


def test_a_last_batch_that_is_not_full_is_kept_where_asked(photos: Path) -> None:
    sizes = [len(labels) for _, labels in _epoch(photos, augmentation=_at_rest(drop_last=False))]
    assert sizes == [8] * 12 + [5]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"batch": 102}, "101 training images do not fill one batch of 102; use a smaller"),
        ({"batch": 0}, "batch: 0 is not from 1"),
        ({"workers": -1}, "workers: -1 is not from"),
        ({"rank": 2, "world": 2}, "rank: rank 2 of 2 processes"),
        (
            {"world": 4, "augmentation": Augmentation(drop_last=False)},
            "the last batch of 5 images cannot be shared evenly by 4 processes; use drop_last",
        ),
        ({"resolution": 4}, "a resolution of 4 px"),
    ],
)
def test_what_cannot_be_streamed_is_refused(
    photos: Path, changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        _open(photos, **changed)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (Path.unlink, "No such file or directory"),
        (lambda path: path.write_bytes(path.read_bytes()[:90]), "truncated"),
    ],
)
def test_a_file_that_is_harmed_amid_training_is_named(
    photos: Path, workers: int, harm: Callable[[Path], object], told: str
) -> None:
    with _open(photos, workers=workers) as stream:
        harmed = Path(stream.train.path(40))
        harm(harmed)
        with pytest.raises(DataError, match=rf"{harmed.name}: .*now it cannot .*{told}"):
            list(stream.train.epoch(0))


def test_images_that_are_held_are_cropped_and_tested_whole(tmp_path: Path) -> None:
    dataset = load("cluttered_digits", resolution=R, cache=tmp_path)
    with _open("cluttered_digits", cache=tmp_path, augmentation=_at_rest(flip=1.0)) as stream:
        assert (stream.digest, stream.flip) == (dataset.digest, False)
        images, labels, numbers = next(stream.test.batches())
        shown, _ = next(stream.train.epoch(0))
        path = stream.test.path(3)
    pixels = dataset.test.images[numbers].float() / 255
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (Augmentation().mean, _at_rest().std))
    torch.testing.assert_close(images, (pixels - mean) / std)
    assert torch.equal(labels, dataset.test.labels[numbers])
    assert path == "test image 3"
    every = ((dataset.train.images.float() / 255 - mean) / std).flatten(1)  # none is mirrored
    assert torch.cdist(shown.flatten(1), every).min(1).values.max() < 0.1
    assert "drawn from squares of 16 px" in stream.notes[-1]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_killed_worker_ends_in_our_words(photos: Path) -> None:
    before = _children()
    with _open(photos, workers=2) as stream:
        next(stream.train.epoch(0))
        os.kill(next(child for child in _children() if child not in before), signal.SIGKILL)
        epochs = (batch for epoch in itertools.count() for batch in stream.train.epoch(epoch))
        with pytest.raises(MissingError, match="a worker that prepares images was ended from out"):
            deque(epochs, maxlen=0)


def _children(process: int | str = "self") -> list[int]:
    tasks = Path(f"/proc/{process}/task")
    lists = [(task / "children").read_text() for task in tasks.iterdir()]
    return [int(child) for text in lists for child in text.split()]


ENDLESS = """
import sys
from archbench.data.augmentation import Augmentation
from archbench.data.stream import open_stream
from pathlib import Path
with open_stream(
    "folder:" + sys.argv[1], resolution=16, augmentation=Augmentation(), batch=8, seed=0,
    workers=2, cache=Path(sys.argv[2])
) as stream:
    print("begun", flush=True)
    epoch = 0
    while True:
        for _ in stream.train.epoch(epoch):
            pass
        epoch += 1
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_training(photos: Path, number: int) -> None:
    program = [
        sys.executable,
        "-c",
        ENDLESS,
        str(photos),
        str(photos.parent / "cache"),
    ]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        workers = _children(process.pid)
        assert len(workers) == 2
        maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
        assert all(line.endswith("(deleted)") for line in maps if "/dev/shm" in line)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal sends it
        else:
            process.send_signal(number)
        # the pipes stay open as long as any of the workers lives
        _, told = process.communicate(timeout=30)
    assert told.count("Traceback") <= 1, told
    assert not [worker for worker in workers if Path(f"/proc/{worker}/exe").exists()]
