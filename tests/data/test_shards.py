"""Are images in tar archives found by webdataset's convention, and read at random?"""

import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from archbench.data import DataSet, load
from archbench.data.augmentation import Augmentation
from archbench.data.dataset import DataError
from archbench.data.stream import open_stream
from archbench.errors import MissingError
from tests.data.conftest import bytes_of, write_classes, write_shard, write_shards


def _load(name: Path | str, folder: Path) -> DataSet:
    return load(f"shards:{name}", resolution=16, cache=folder / "cache")


def test_archives_give_what_a_folder_of_the_same_files_gives(tmp_path: Path) -> None:
    photos = write_classes(tmp_path / "photos", {"0": 20, "1": 30})
    shards = write_shards(tmp_path / "shards", photos)
    found = _load(shards / "photos-{000..001}.tar", tmp_path)
    wanted = load(f"folder:{photos}", resolution=16, cache=tmp_path / "cache")
    assert found.class_names == wanted.class_names
    for share, images in bytes_of(wanted).items():
        assert bytes_of(found)[share] == images
    for name in (shards, shards / "*.tar", shards / "photos-00?.tar"):
        assert _load(name, tmp_path).digest == found.digest


def test_a_stream_reads_members_by_their_place(tmp_path: Path) -> None:
    photos = write_classes(tmp_path / "photos", {"0": 20, "1": 30})
    shards = write_shards(tmp_path / "shards", photos)
    batches = []
    for workers in (0, 2):
        with open_stream(
            f"shards:{shards}",
            resolution=16,
            augmentation=Augmentation(),
            batch=8,
            seed=0,
            workers=workers,
            cache=tmp_path / "cache",
        ) as stream:
            batches.append(list(stream.train.epoch(0)))
            path = stream.train.path(0)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(*batches, strict=True))
    assert path.startswith(f"{shards}/photos-000.tar:")


def test_archives_are_the_shares_that_they_are_named_after(tmp_path: Path) -> None:
    for seed, (share, count) in enumerate((("train", 8), ("val", 3), ("test", 4))):
        photos = write_classes(tmp_path / share, {"0": count, "1": count}, seed=seed)
        write_shards(tmp_path / "shards", photos)
    (tmp_path / "shards" / "classnames.txt").write_text("tench\nred fox\n")
    found = _load(tmp_path / "shards", tmp_path)
    assert [len(part) for part in (found.train, found.validation, found.test)] == [16, 6, 8]
    assert found.class_names == ("tench", "red fox")


def test_a_copy_of_a_held_out_image_is_left_out_by_name(tmp_path: Path) -> None:
    for seed, (share, count) in enumerate((("train", 8), ("val", 3))):
        write_classes(tmp_path / share, {"0": count, "1": count}, seed=seed)
    shutil.copy(tmp_path / "val/1/0.png", tmp_path / "train/0/copy.png")
    for share in ("train", "val"):
        write_shards(tmp_path / "shards", tmp_path / share)
    note = next(n for n in _load(tmp_path / "shards", tmp_path).notes if "left out" in n)
    assert note == (
        "left out of train, the same file is held out: 1: train-000.tar:0_copy.png = "
        "val-001.tar:1_0.png"
    )


def _members(changed: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """A shard of 20 images of two classes, but for what is changed."""
    from PIL import Image

    members = {}
    for index in range(20):
        content = io.BytesIO()
        Image.new("RGB", (16, 16), (index, 9 * index, 200 - index)).save(content, "PNG")
        members[f"{index}.png"] = content.getvalue()
        members[f"{index}.json"] = json.dumps({"label": index % 2}).encode()
    return {name: content for name, content in {**members, **changed}.items() if content}


def test_labels_stand_in_json_too(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", _members({"3.json": b"1", "4.json": b'{"cls": 0}'}))
    assert _load(shard, tmp_path).num_classes == 2


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"3.json": None}, r"a\.tar:3\.png: the image has no label beside it; put its class"),
        ({"3.json": b"cat"}, r"a\.tar:3\.json: there is no label in it, a whole number"),
        ({"3.json": b'{"label": "cat"}'}, "there is no label in it"),
        ({"3.json": b"-1"}, "there is no label in it"),
        ({"3.json": b"7"}, r"too few images to train on: .*7 \(1\); a classifier needs 2"),
    ],
)
def test_what_has_no_label_is_named(
    tmp_path: Path, changed: Mapping[str, bytes | None], told: str
) -> None:
    shard = write_shard(tmp_path / "a.tar", _members(changed))
    with pytest.raises(DataError, match=told):
        _load(shard, tmp_path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", _members({}))
    with tarfile.open(tmp_path / "b.tar", "w:gz") as packed:
        packed.add(shard, "a.png")
    with pytest.raises(DataError, match=r"b\.tar: no tar archive without compression"):
        _load(tmp_path / "b.tar", tmp_path)
    shard.write_bytes((whole := shard.read_bytes())[: whole.rindex(b"IDAT")])
    with pytest.raises(DataError, match=r"a\.tar: .*damaged one \(it is cut short\)"):
        _load(shard, tmp_path)
    with pytest.raises(MissingError, match=r"c2\.tar: an archive is not there; name archives as"):
        _load(tmp_path / "c{2..3}.tar", tmp_path)
    shard.rename(tmp_path / "val.tar")
    with pytest.raises(DataError, match="there are no archives to train on"):
        _load(tmp_path / "val.tar", tmp_path)
