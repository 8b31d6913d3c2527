from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from archbench.data.image_files import (
    ORIENTATION,
    UnreadableError,
    decoded,
    without_decoder_warnings,
)


def _file(image: Image.Image, form: str, *, exif: Image.Exif | None = None) -> bytes:
    content = io.BytesIO()
    if exif is None:
        image.save(content, form)
    else:
        image.save(content, form, exif=exif)
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


def test_fractions_without_a_range_are_refused() -> None:
    content = _file(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF")
    with pytest.raises(UnreadableError, match="fractions without a known range"):
        decoded(content, resolution=8)


def test_postscript_is_not_run() -> None:
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    with pytest.raises(UnreadableError, match="not an image of a known format"):
        decoded(content, resolution=8)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "PPM", "WEBP", "GIF", "TIFF"])
def test_damage_is_unreadable_and_nothing_else(form: str) -> None:
    rng = random.Random(0)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    whole = _file(_noise(12, 12), form, exif=exif if form in ("JPEG", "PNG") else None)
    num_refused = 0
    with without_decoder_warnings():
        for _ in range(60):
            content = bytearray(whole)
            content[rng.randrange(min(len(content), 64))] = rng.randrange(256)
            del content[rng.randrange(len(content)) :]
            try:
                decoded(bytes(content), resolution=8)
            except UnreadableError:
                num_refused += 1
    assert num_refused > 30
