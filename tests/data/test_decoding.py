import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from archbench.data.decoding import (
    FLAT,
    FRAMES,
    NO_PROFILE,
    ORIENTATION,
    PROFILE,
    TRANSPARENT,
    Extent,
    UnreadableError,
    decoded,
    extent_of,
    widen,
)
from tests.data.conftest import swapped_profile


def _file(image: Image.Image, form: str, *, exif: Image.Exif | None = None) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **({} if exif is None else {"exif": exif}))
    return content.getvalue()


def _noise(width: int, height: int, *, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = _noise(16, 16)
    pixels = decoded(_file(image, "PNG"), resolution=16).pixels
    assert pixels.shape == (3, 16, 16)
    assert np.array_equal(pixels, np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("turned", [False, True])
def test_takes_the_middle_square(turned: bool) -> None:
    image = _noise(16, 16)
    wide = Image.new("RGB", (36, 16))
    wide.paste(image, (10, 0))
    if turned:
        image, wide = (each.transpose(Image.Transpose.ROTATE_90) for each in (image, wide))
    pixels = decoded(_file(wide, "PNG"), resolution=16).pixels
    assert np.array_equal(pixels, np.asarray(image).transpose(2, 0, 1))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_in_every_format_that_can_say_it(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = _noise(4, 4).resize((16, 16), Image.Resampling.NEAREST)
    content = _file(image, form, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    difference = decoded(content, resolution=16).pixels - np.asarray(upright).transpose(2, 0, 1)
    assert not difference.any()


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_every_mode_keeps_its_picture(mode: str) -> None:
    smooth = _noise(2, 2, seed=3).resize((32, 32), Image.Resampling.BICUBIC)
    if mode == "LAB":
        profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        image = ImageCms.profileToProfile(smooth, *profiles, outputMode="LAB")
    else:
        image = smooth.convert(mode)
    assert image is not None
    form = "TIFF" if mode in ("CMYK", "YCbCr", "LAB") else "PNG"
    pixels = decoded(_file(image, form), resolution=16).pixels
    wanted = decoded(_file(smooth, "PNG"), resolution=16).pixels
    if mode in ("1", "L", "LA"):
        wanted = decoded(_file(smooth.convert("L"), "PNG"), resolution=16).pixels
    assert pixels.dtype == np.uint8
    off = np.abs(pixels.astype(float) - wanted).mean()
    assert off < (40 if mode == "1" else 12 if mode == "P" else 3)


def test_a_picture_in_its_alpha_alone_is_seen_on_white() -> None:
    alpha = _noise(16, 16).convert("L")
    image = Image.merge("LA", (Image.new("L", (16, 16), 0), alpha))
    picture = decoded(_file(image, "PNG"), resolution=16)
    assert np.array_equal(picture.pixels[0], 255 - np.asarray(alpha))
    assert picture.remarks == {TRANSPARENT}
    white = Image.merge("LA", (Image.new("L", (16, 16), 255), alpha))
    assert decoded(_file(white, "PNG"), resolution=16).remarks == {TRANSPARENT, FLAT}


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_a_palette_s_transparent_colour_is_white(form: str) -> None:
    image = Image.new("P", (16, 16), 3)
    image.putpalette([0, 0, 0] * 3 + [9, 9, 9] + [200, 30, 30] * 252)
    image.paste(7, (0, 0, 16, 8))
    content = io.BytesIO()
    image.save(content, form, transparency=3)
    picture = decoded(content.getvalue(), resolution=16)
    assert picture.pixels[:, 15, 0].tolist() == [255, 255, 255]
    assert picture.pixels[:, 0, 0].tolist() == [200, 30, 30]
    assert TRANSPARENT in picture.remarks


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_pictures_the_first_is_taken(form: str) -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    content = io.BytesIO()
    first.save(content, form, save_all=True, append_images=[second], lossless=True)
    picture = decoded(content.getvalue(), resolution=8)
    assert picture.pixels[:, 0, 0].tolist() == [255, 0, 0] or form == "WEBP"
    assert FRAMES in picture.remarks


def _png_of_16_bits(pixels: np.ndarray) -> bytes:
    """A PNG of (H, W, channels) as the specification (ISO/IEC 15948) lays it out."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


_GREY = np.arange(256).reshape(16, 16)


@pytest.mark.parametrize(
    ("pixels", "form"),
    [
        ((_GREY * 257).astype(np.uint16), "PNG"),
        ((_GREY * 4095 // 255).astype(np.uint16), "PNG"),  # 12 of 16 bits
        ((_GREY * 4095 // 255).astype(np.uint16), "TIFF"),
        (_GREY.astype(np.int32), "TIFF"),  # 8 of 32
        ((_GREY * 70_000).astype(np.int32), "TIFF"),
        ((_GREY / 255).astype(np.float32), "TIFF"),
        (_GREY.astype(np.float32), "TIFF"),
        ((_GREY * 5.0 - 300).astype(np.float32), "TIFF"),
        ((_GREY * 5 - 300).astype(np.int32), "TIFF"),
        (np.stack([_GREY * 128] * 3, axis=2).astype(np.uint16), "colour"),  # 15 of 16
        (np.stack([_GREY * 257] * 3, axis=2).astype(np.uint16), "colour"),
        (np.stack([_GREY * 257, 0 * _GREY + 65535], axis=2).astype(np.uint16), "colour"),
    ],
)
def test_deep_pixels_fill_eight_bits(pixels: np.ndarray, form: str, tmp_path: Path) -> None:
    is_colour = form == "colour"
    content = _png_of_16_bits(pixels) if is_colour else _file(Image.fromarray(pixels), form)
    found = _extents(tmp_path, content)
    picture = decoded(content, resolution=16, extents=found).pixels.astype(int)
    assert np.abs(picture - _GREY).max() <= 1


def test_colours_of_which_too_few_bits_can_be_read_are_refused(tmp_path: Path) -> None:
    content = _png_of_16_bits(np.stack([_GREY * 16] * 3, axis=2))
    with pytest.raises(UnreadableError, match="its colours use 12 of 16 bits"):
        decoded(content, resolution=16, extents=_extents(tmp_path, content))


def test_one_range_serves_all_files_so_that_dark_ones_stay_dark(tmp_path: Path) -> None:
    bright = _file(Image.fromarray((_GREY * 16).astype(np.uint16)), "PNG")
    dark = _file(Image.fromarray((_GREY * 4).astype(np.uint16)), "PNG")
    found = _extents(tmp_path, bright, dark)
    (extent,) = found.values()
    assert (extent.low, extent.high, extent.num_files) == (0, 4080, 2)
    means = [decoded(c, resolution=16, extents=found).pixels.mean() for c in (bright, dark)]
    assert means[0] / means[1] == pytest.approx(4, rel=0.02)


def test_deep_pixels_without_a_known_range_are_refused_by_name() -> None:
    with pytest.raises(UnreadableError, match=r"its pixels are fractions, which its name does not"):
        decoded(_file(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF"), resolution=8)


def test_fractions_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    good, bad = (np.full((9, 9), value, np.float32) for value in (1.0, np.nan))
    files = [_file(Image.fromarray(pixels), "TIFF") for pixels in (good, bad)]
    found = _extents(tmp_path, *files)
    assert next(iter(found.values())).num_files == 1
    with pytest.raises(UnreadableError, match="no finite numbers"):
        decoded(files[1], resolution=8, extents=found)


def _extents(folder: Path, *files: bytes) -> dict[str, Extent]:
    """The extents of files with these contents."""
    found: dict[str, Extent] = {}
    for number, content in enumerate(files):
        (path := folder / f"{number}.png").write_bytes(content)
        widen(found, extent_of(path))
    return found


def test_colours_are_brought_to_srgb_by_the_profile_in_the_file() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    swapped = swapped_profile()
    image = _noise(16, 16)
    plain = decoded(_file(image, "PNG"), resolution=16)
    content = io.BytesIO()
    image.save(content, "PNG", icc_profile=swapped)
    changed = decoded(content.getvalue(), resolution=16)
    assert changed.remarks == {PROFILE}
    assert np.abs(changed.pixels[0].astype(int) - plain.pixels[1]).mean() < 3  # red was green
    for profile in (lab, b"no profile"):
        content = io.BytesIO()
        image.save(content, "PNG", icc_profile=profile)
        odd = decoded(content.getvalue(), resolution=16)
        assert odd.remarks == {NO_PROFILE}
        assert np.array_equal(odd.pixels, plain.pixels)


def test_a_large_jpeg_looks_as_if_decoded_whole() -> None:
    smooth = _noise(8, 8).resize((640, 640), Image.Resampling.BICUBIC)
    content = _file(smooth, "JPEG")
    whole = np.asarray(smooth.resize((32, 32), Image.Resampling.BICUBIC), dtype=float)
    error = np.abs(decoded(content, resolution=32).pixels.transpose(1, 2, 0) - whole)
    assert error.mean() < 2


def test_postscript_is_refused() -> None:
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    with pytest.raises(UnreadableError, match="not an image of a known format"):
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
