import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from archbench.data import DataSet, load
from archbench.data.dataset import DataError
from archbench.data.published import fetch
from archbench.errors import MissingError
from tests.data.conftest import (
    archive_of,
    request_for,
    write_cifar,
    write_image,
    write_imagenet,
    write_imagenette,
)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which this machine serves it to itself."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "*")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which CIFAR-10's lies."""
    return write_cifar(tmp_path / "made", monkeypatch, num_classes=10).parent


@pytest.fixture
def archive(cifar: Path, shelf: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10 as an archive on our shelf, from which torchvision fetches it."""
    from torchvision.datasets import CIFAR10

    archive = shelf[0] / CIFAR10.filename
    monkeypatch.setattr(CIFAR10, "tgz_md5", archive_of(cifar / CIFAR10.base_folder, archive))
    monkeypatch.setattr(CIFAR10, "url", f"{shelf[1]}/{archive.name}")
    return archive


def test_cifar_images_and_labels_are_those_of_the_files(cifar: Path, cache: Path) -> None:
    from torchvision.datasets import CIFAR10

    dataset = load(f"cifar10:{cifar}", resolution=32, cache=cache)
    for shares, is_train in ((("train", "validation"), True), (("test",), False)):
        published = CIFAR10(cifar, train=is_train)
        label_of = {
            np.asarray(image).transpose(2, 0, 1).tobytes(): label for image, label in published
        }
        found = {
            image.numpy().tobytes(): int(label)
            for share in (getattr(dataset, name) for name in shares)
            for image, label in zip(share.images, share.labels, strict=True)
        }
        assert found == label_of
    assert dataset.class_names[3] == "thing 3"
    assert dataset.description == "CIFAR10, photographs of 32 px of 10 classes"


def test_cifar_is_resized_and_its_folder_itself_may_be_named(cifar: Path, cache: Path) -> None:
    places = ((32, cifar), (64, cifar / "cifar-10-batches-py"))
    sizes = (load(f"cifar10:{path}", resolution=px, cache=cache) for px, path in places)
    small, large = (dataset.test.images.float().mean((1, 2, 3)) for dataset in sizes)
    assert (small - large).abs().max() < 2


def test_a_damaged_cifar_file_is_named(cifar: Path, cache: Path) -> None:
    path = cifar / "cifar-10-batches-py" / "data_batch_3"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    for message in ("not the published file: its MD5", "the file is missing"):
        with pytest.raises(DataError, match=message) as caught:
            load(f"cifar10:{cifar}", resolution=32, cache=cache)
        assert caught.value.place == str(path)
        path.unlink(missing_ok=True)


def test_missing_cifar_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="CIFAR10 is not there") as caught:
        load(f"cifar10:{tmp_path}", resolution=32, cache=tmp_path)
    assert "unpack cifar-10-python.tar.gz" in str(caught.value)
    assert "add --download" in str(caught.value)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"")
    with pytest.raises(MissingError, match="unpack cifar-10-python") as caught:
        load(f"cifar10:{tmp_path}", resolution=32, cache=tmp_path)
    assert "--download" not in str(caught.value)


# torchvision unpacks without a filter, of which Python 3.12 and later warn
@pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning")
def test_download_fetches_unpacks_and_leaves_only_the_folder(
    archive: Path, tmp_path: Path, cache: Path
) -> None:
    root = tmp_path / "new" / "place"
    dataset = load(f"cifar10:{root}", resolution=32, cache=cache, download=True)
    assert dataset.num_classes == 10
    assert [path.name for path in root.iterdir()] == ["cifar-10-batches-py"]
    archive.unlink()  # what is there is not fetched again
    load(f"cifar10:{root}", resolution=32, cache=cache, download=True)


def test_what_a_download_prints_is_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(folder: str) -> None:
        print("Extracting")  # as some versions of torchvision do
        (Path(folder) / "things").mkdir()

    fetch(download, root=tmp_path, folder="things", request=request_for("things"))
    assert capsys.readouterr().out == ""
    assert (tmp_path / "things").is_dir()


@pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning")
@pytest.mark.parametrize("failure", ["md5", "gone", "cut"])
def test_a_failed_download_leaves_nothing(
    archive: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    if failure == "md5":
        monkeypatch.setattr("torchvision.datasets.CIFAR10.tgz_md5", "0" * 32)
    elif failure == "gone":
        archive.unlink()
    elif failure == "cut":
        archive.write_bytes(archive.read_bytes()[:5000])
    root = tmp_path / "new"
    with pytest.raises(MissingError, match="cifar-10-batches-py could not be downloaded") as caught:
        load(f"cifar10:{root}", resolution=32, cache=cache, download=True)
    assert caught.value.place == str(root)
    assert list(root.iterdir()) == []


def test_imagenette_takes_the_smallest_size_that_fits(tmp_path: Path, cache: Path) -> None:
    write_imagenette(tmp_path, folder="imagenette2-160")
    write_imagenette(tmp_path, folder="imagenette2-320")
    for size, px in ((160, 160), (161, 320), (400, 320)):
        found = load(f"imagenette:{tmp_path}", resolution=size, cache=cache)
        assert found.description.startswith(f"Imagenette (imagenette2-{px})")
    named = load(f"imagenette:{tmp_path / 'imagenette2-320'}", resolution=16, cache=cache)
    assert named.description.startswith("Imagenette (imagenette2-320)")


def test_imagenette_has_names_seals_val_and_says_what_lacks(tmp_path: Path, cache: Path) -> None:
    write_imagenette(tmp_path)
    dataset = load(f"imagenette:{tmp_path}", resolution=16, cache=cache)
    assert dataset.class_names == ("tench", "English springer", "cassette player")
    assert dataset.test.labels.bincount().tolist() == [12, 12, 12]
    assert dataset.validation.labels.bincount().tolist() == [2, 2, 2]
    assert dataset.flip
    assert "72 files of the 13,394 published images are there" in dataset.notes
    assert (
        "test is the official val/; validation was drawn from train/ with seed 0" in dataset.notes
    )


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["val"], "the class folder n99999999 is in one of train/ and val/"),
        (["train", "val"], "'n99999999' is not a class of Imagenette"),
    ],
)
def test_a_class_in_one_share_or_in_none_of_imagenette_is_refused(
    tmp_path: Path, splits: list[str], message: str
) -> None:
    folder = write_imagenette(tmp_path)
    for split in splits:
        write_image(folder / split / "n99999999" / "x.JPEG", seed=1)
    with pytest.raises(DataError, match=message):
        load(f"imagenette:{tmp_path}", resolution=16, cache=tmp_path / "cache")


def test_imagenet_tells_its_two_cranes_apart(tmp_path: Path) -> None:
    names = _imagenet(write_imagenet(tmp_path)).class_names
    assert names == ("tench (n01440764)", "crane (n02012849)", "crane (n03126707)")


def _imagenet(tmp_path: Path, *, download: bool = False) -> DataSet:
    cache = tmp_path / "cache"
    return load(f"imagenet:{tmp_path}", resolution=16, cache=cache, download=download)


def test_imagenet_is_neither_downloaded_nor_unpacked(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"image-net\.org, which asks for an account"):
        _imagenet(tmp_path, download=True)
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_devkit_t12.tar.gz"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(MissingError, match="ImageNet's train/ is not there; unpack the archives"):
        _imagenet(tmp_path, download=True)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["meta.bin", "ILSVRC2012_devkit_t12.tar.gz"])
@pytest.mark.parametrize("content", [b"", b"no such thing", b"PK\x03\x04", b"\x80\x02}."])
def test_imagenet_with_a_damaged_list_of_names_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    write_imagenet(tmp_path)
    (tmp_path / "meta.bin").unlink()
    with pytest.raises(MissingError, match=f"say folder:{tmp_path}, which needs no names"):
        _imagenet(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MissingError, match="classes cannot be read") as caught:
        _imagenet(tmp_path)
    assert "weights_only" not in str(caught.value)


def test_imagenet_names_are_not_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    write_imagenet(tmp_path)
    torch.save((Payload(), []), tmp_path / "meta.bin")
    with pytest.raises(MissingError, match="classes cannot be read"):
        _imagenet(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_images_outside_class_folders_are_said(tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    shutil.rmtree(tmp_path / "val")
    write_image(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG", seed=1)
    with pytest.raises(DataError, match="there are no class folders; 1 images lie outside them"):
        _imagenet(tmp_path)
