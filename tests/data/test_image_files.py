import io
import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archbench.data.image_files import ORIENTATION, UnreadableError, decoded, tree
from tests.data.conftest import write_classes


def _file(image: Image.Image, form: str, *, exif: Image.Exif | None = None) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **({} if exif is None else {"exif": exif}))
    return content.getvalue()


def _noise(width: int, height: int, *, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = _noise(16, 16)
    pixels = decoded(_file(image, "PNG"), resolution=16)
    assert pixels.shape == (3, 16, 16)
    assert np.array_equal(pixels, np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("turned", [False, True])
def test_takes_the_middle_square(turned: bool) -> None:
    image = _noise(16, 16)
    wide = Image.new("RGB", (36, 16))
    wide.paste(image, (10, 0))
    if turned:
        image, wide = (each.transpose(Image.Transpose.ROTATE_90) for each in (image, wide))
    pixels = decoded(_file(wide, "PNG"), resolution=16)
    assert np.array_equal(pixels, np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_as_exif_says(orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = _file(_noise(16, 16), "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(decoded(content, resolution=16), upright.transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_every_mode_becomes_three_channels(mode: str) -> None:
    content = _file(_noise(20, 20).convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    pixels = decoded(content, resolution=8)
    assert pixels.shape == (3, 8, 8)
    assert pixels.dtype == np.uint8


def test_deep_grey_keeps_its_range() -> None:
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    pixels = decoded(_file(Image.fromarray(grey), "PNG"), resolution=16)
    assert np.array_equal(pixels[0], np.arange(256).reshape(16, 16))


def test_a_large_jpeg_looks_as_if_decoded_whole() -> None:
    smooth = _noise(8, 8).resize((640, 640), Image.Resampling.BICUBIC)
    content = _file(smooth, "JPEG")
    whole = np.asarray(smooth.resize((32, 32), Image.Resampling.BICUBIC), dtype=float)
    error = np.abs(decoded(content, resolution=32).transpose(1, 2, 0) - whole)
    assert error.mean() < 2


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_file(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF"), "fractions without a known"),
        (POSTSCRIPT, "not an image of a known format"),
    ],
)
def test_fractions_without_a_range_and_postscript_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        decoded(content, resolution=8)


@pytest.mark.filterwarnings("ignore")  # Pillow's remarks on odd metadata
@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "PPM", "WEBP", "GIF", "TIFF"])
def test_damage_is_unreadable_and_nothing_else(form: str) -> None:
    rng = random.Random(0)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    whole = _file(_noise(12, 12), form, exif=exif if form in ("JPEG", "PNG") else None)
    num_refused = 0
    for _ in range(60):
        content = bytearray(whole)
        content[rng.randrange(min(len(content), 64))] = rng.randrange(256)
        del content[rng.randrange(len(content)) :]
        try:
            decoded(bytes(content), resolution=8)
        except UnreadableError:
            num_refused += 1
    assert num_refused > 30


def test_finds_images_of_each_class_sorted_and_however_deep(tmp_path: Path) -> None:
    write_classes(tmp_path, {"b": 2, "a": 1})
    write_classes(tmp_path / "b", {"deep": 1})
    found = tree(tmp_path)
    names = {
        name: [str(path.relative_to(tmp_path)) for path in paths]
        for name, paths in found.classes.items()
    }
    assert names == {"a": ["a/0.png"], "b": ["b/0.png", "b/1.png", "b/deep/0.png"]}


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 1, ".cache": 1})
    (tmp_path / "a" / "._0.png").write_bytes(b"x")
    found = tree(tmp_path)
    assert list(found.classes) == ["a"]
    assert len(found.classes["a"]) == 1
    assert found.num_others == 0


def test_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    write_classes(tmp_path / "elsewhere", {"x": 2})
    root = write_classes(tmp_path / "photos", {"a": 1})
    (root / "b").symlink_to(tmp_path / "elsewhere" / "x")
    (root / "a" / "again").symlink_to(root / "a")
    (root / "a" / "gone.png").symlink_to(root / "nowhere.png")
    found = tree(root)
    assert {name: len(paths) for name, paths in found.classes.items()} == {"a": 1, "b": 2}


@pytest.mark.parametrize("change", ["size", "time", "name", "more", "fewer"])
def test_fingerprint_changes_with_every_image_and_no_other_file(
    tmp_path: Path, change: str
) -> None:
    root = write_classes(tmp_path, {"a": 2, "b": 2})
    before = tree(root).fingerprint
    (root / "a" / "readme.txt").write_text("x")
    assert tree(root).fingerprint == before
    assert tree(root).num_others == 1
    path = root / "a" / "1.png"
    status = path.stat()
    match change:
        case "size":
            path.write_bytes(path.read_bytes() + b"x")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "time":
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        case "name":
            path.rename(root / "a" / "2.png")
        case "more":
            write_classes(root, {"c": 1})
        case "fewer":
            path.unlink()
    assert tree(root).fingerprint != before
