"""How does an image file become a square of bytes, whatever its mode, depth, profile and turn?

Bytes of images are the same for the whole data set: pixels of more than 8 bits are brought to 8 by
one range that all files of a kind share, as a range of each file would make dark and bright alike.
"""

import io
import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from archbench.data.member import Stored

RECIPE = 2  # raise it with every change that changes a byte of an image
ORIENTATION = 0x0112  # EXIF tag
_BITS_PER_SAMPLE = 258  # TIFF tag
# not all that Pillow knows: its EPS reader would run Ghostscript
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
DEEP_SUFFIXES = (".png", ".tif", ".tiff", ".pgm")
"""Of files whose pixels may have more than 8 bits."""
# what Pillow's readers raise on broken files
BROKEN = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, OverflowError),
    *(MemoryError, struct.error, zlib.error, Image.DecompressionBombError),
)
_COLOURS = "colours of 16 bits"  # of which Pillow keeps the upper 8
_FEWEST_BITS = 13  # of 16 that are used, for the upper 8 to hold enough of a picture
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableError(Exception):
    """An image that cannot be decoded; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """The smallest and the largest pixel of files of a kind, and how many files there are."""

    low: float
    high: float
    num_files: int = 1

    def __or__(self, other: "Extent") -> "Extent":
        """That of both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Extent(low=low, high=high, num_files=self.num_files + other.num_files)

    def bounds(self, kind: str) -> tuple[float, float]:
        """What becomes black, and what white.

        Whole numbers of up to 16 bits are taken to fill their bits, as 12 of 16; 8 at least, but
        for the numbers of a few grey levels. Fractions are taken to reach to 1 or 255 where they
        nearly do. All others reach from their smallest to their largest.
        """
        if self.low < 0 or self.high > 0xFFFF:
            return min(self.low, 0), max(self.high, self.low + 1)
        if kind != "fractions":
            return 0, 2 ** max(int(self.high).bit_length(), 8 if self.high >= 16 else 1) - 1
        full = 1.0 if self.high <= 1 else 255.0
        return 0, full if full / 2 <= self.high <= full else self.high or 1.0

    def in_words(self, kind: str) -> str:
        """What a person should know of these files."""
        low, high = (f"{bound:,.6g}" for bound in self.bounds(kind))
        return (
            f"{self.num_files:,} images have {kind}, from {self.low:,.6g} to {self.high:,.6g}: "
            f"{low} becomes black and {high} white in all of them"
        )


class Picture(NamedTuple):
    """An image as the network gets it, uint8 (3, R, R), its own size, and what was done to it."""

    pixels: np.ndarray
    size: tuple[int, int]
    remarks: frozenset[str]


TRANSPARENT = "have transparent parts, which are put on white"
FRAMES = "have several pictures or pages, of which the first is taken"
PROFILE = "were brought from their colour profile to sRGB"
NO_PROFILE = "have a colour profile that cannot be read; they are taken for sRGB"
INKS = "are CMYK without a colour profile, so that their colours are approximate"
FLAT = "are one flat colour"


def extent_of(path: Stored) -> tuple[str, Extent] | None:
    """The kind and the extent of a file with more than 8 bits a channel; None for all others.

    A file that cannot be read is None: it is refused when it is decoded.
    """
    try:
        file = path if isinstance(path, Path) else io.BytesIO(path.read_bytes())
        with Image.open(file, formats=FORMATS) as image:
            return extent_in(image)
    except BROKEN:
        return None


def extent_in(image: Image.Image) -> tuple[str, Extent] | None:
    """The same of a picture that is opened."""
    kind = _kind(image)
    if kind is None:
        return None
    pixels = _deep_pixels(image, kind)
    if not pixels.size or not np.isfinite(pixels).all():
        return None
    return kind, Extent(low=float(pixels.min()), high=float(pixels.max()))


def widen(extents: dict[str, Extent], found: tuple[str, Extent] | None) -> None:
    """Has the extents of all kinds take in that of a picture, if it has one."""
    if found is not None:
        kind, extent = found
        extents[kind] = extents[kind] | extent if kind in extents else extent


def decoded(
    content: bytes, *, resolution: int, extents: Mapping[str, Extent] | None = None
) -> Picture:
    """The image of a file, its middle square resized; as ``upright_rgb`` gives it.

    Raises:
        UnreadableError: It cannot be decoded.
    """
    with opened(content) as image:
        size = image.size
        # a JPEG can be decoded at 1/2, 1/4 or 1/8 in a fraction of the time
        image.draft("RGB", (2 * resolution, 2 * resolution))
        square, remarks = upright_rgb(image, middle_square(resolution), extents=extents)
    pixels = np.asarray(square).transpose(2, 0, 1)
    if (pixels == pixels[:, :1, :1]).all():
        remarks |= {FLAT}
    return Picture(np.ascontiguousarray(pixels), size, remarks)


@contextmanager
def remarks_ignored() -> Iterator[None]:
    """Ignores what is remarked on odd metadata: what cannot be decoded is told anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.|archbench\.data\.")
        yield


@contextmanager
def opened(content: bytes) -> Iterator[Image.Image]:
    """The picture of a file, of which the header is read.

    Raises:
        UnreadableError: It, or what is read of it in the block, cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            yield image
    except UnidentifiedImageError as error:
        raise UnreadableError("not an image of a known format") from error
    except BROKEN as error:
        raise UnreadableError(" ".join(str(error).split()) or type(error).__name__) from error


def middle_square(resolution: int) -> Callable[[Image.Image], Image.Image]:
    """What cuts the middle square out and resizes it, bicubic."""
    return partial(ImageOps.fit, size=(resolution, resolution))


def upright_rgb(
    image: Image.Image,
    fitted: Callable[[Image.Image], Image.Image],
    *,
    extents: Mapping[str, Extent] | None = None,
) -> tuple[Image.Image, frozenset[str]]:
    """An opened picture as sRGB of 8 bits, and what was done to it.

    Turned as its EXIF data says, in whichever format; transparent parts lie on white; pixels of
    more than 8 bits are scaled by the extent of their kind. ``fitted`` crops and resizes the
    picture before that costs time, and before it is turned.

    Raises:
        UnreadableError: Its pixels cannot be brought to 8 bits.
    """
    remarks: set[str] = set()
    if image.format in ("GIF", "PNG", "TIFF", "WEBP") and getattr(image, "is_animated", False):
        remarks.add(FRAMES)
    kind, profile = _kind(image), image.info.get("icc_profile")
    # after loading: a PNG may say it at its end, and of a TIFF Pillow turns the pixels
    image.load()
    turn = _TURNS.get(image.getexif().get(ORIENTATION, 1))
    plain = _shallow(image, kind, extents or {}) if kind else _plain(image)
    colours = _on_white(fitted(plain), profile, remarks)
    return colours if turn is None else colours.transpose(turn), frozenset(remarks)


def _kind(image: Image.Image) -> str | None:
    """Which pixels of more than 8 bits a file has, in words; None where it has none."""
    if image.mode == "F":
        return "fractions"
    if image.mode.startswith("I"):
        return "grey of 16 bits" if image.mode.startswith("I;16") else "grey of 32 bits"
    if image.format == "PNG":
        tiles = getattr(image, "tile", ())
        return _COLOURS if any("16B" in str(tile[3]) for tile in tiles) else None
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    return _COLOURS if max(bits) > 8 else None


def _deep_pixels(image: Image.Image, kind: str) -> np.ndarray:
    """The pixels as they are, (H, W) or (H, W, channels), an alpha channel left out."""
    pixels = np.asarray(image)
    return pixels[..., :3].astype(np.uint16) * 256 + 255 if kind == _COLOURS else pixels


def _shallow(image: Image.Image, kind: str, extents: Mapping[str, Extent]) -> Image.Image:
    """The picture with 8 bits a channel, of one with more."""
    if kind != _COLOURS and not np.isfinite(np.asarray(image)).all():
        raise UnreadableError("some of its pixels are no finite numbers")
    if kind not in extents:
        raise UnreadableError(f"its pixels are {kind}, which its name does not say; rename it")
    low, high = extents[kind].bounds(kind)
    if kind == _COLOURS:
        bits = round(math.log2(high + 1))
        if bits < _FEWEST_BITS:
            raise UnreadableError(
                f"its colours use {bits} of 16 bits, of which the upper 8 can be read; save it "
                "with 8 bits a channel"
            )
        return _plain(image).point(lambda value: min(255, int(value) << (16 - bits)))
    whole = np.asarray(image, dtype=np.float64)
    scaled = np.clip((whole - low) / (high - low), 0, 1) * 255
    return Image.fromarray(np.round(scaled).astype(np.uint8))


def _plain(image: Image.Image) -> Image.Image:
    """The picture in one of the modes L, RGB, CMYK and LAB, or LA and RGBA where it has alpha."""
    if image.mode in ("La", "RGBa"):
        return image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode == "PA" or (image.mode in ("1", "L", "P", "RGB") and _has_transparency(image)):
        return image.convert("RGBA")
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _has_transparency(image: Image.Image) -> bool:
    return image.info.get("transparency") is not None


def _on_white(image: Image.Image, profile: bytes | None, remarks: set[str]) -> Image.Image:
    """The picture as sRGB, of one of the plain modes, its transparent parts put on white."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    if alpha is not None:
        image = image.convert(image.mode.removesuffix("A"))
    if image.mode == "CMYK" and not profile:
        remarks.add(INKS)
    colours = _srgb(image, profile, remarks)
    if alpha is None or alpha.getextrema()[0] == 255:
        return colours
    remarks.add(TRANSPARENT)
    return Image.composite(colours, Image.new("RGB", colours.size, "white"), alpha)


def _srgb(image: Image.Image, profile: bytes | None, remarks: set[str]) -> Image.Image:
    """The picture in sRGB, by the profile in its file, which sRGB itself needs not."""
    if image.mode == "LAB":
        return _applied(image, _lab_to_srgb())
    if profile:
        try:
            transform = _to_srgb(profile, image.mode)
            if transform is not None:
                image = _applied(image, transform)
                remarks.add(PROFILE)
        except (ImageCms.PyCMSError, ImportError, *BROKEN):
            remarks.add(NO_PROFILE)
    return image.convert("RGB")


def _applied(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    if transform.input_mode != image.mode:  # a grey picture with a profile of colours
        image = image.convert(transform.input_mode)
    changed = ImageCms.applyTransform(image, transform)
    assert changed is not None, "it is not done in place"
    return changed


@lru_cache(maxsize=1)
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")


@lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What brings pixels of a mode from a profile to sRGB; None where they are."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if "srgb" in ImageCms.getProfileDescription(source).lower():
        return None
    space = source.profile.xcolor_space.strip()
    taken = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space)
    if taken is None or (taken != mode and (taken, mode) != ("RGB", "L")):
        raise ValueError(f"a profile of {space} in a picture of {mode}")
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), taken, "RGB")
