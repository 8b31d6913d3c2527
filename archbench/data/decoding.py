"""How does an image file become a square of bytes?"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image, UnidentifiedImageError

ORIENTATION = 0x0112  # EXIF tag
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# not all that Pillow knows: its EPS reader would run Ghostscript
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
# what Pillow's readers raise on broken files
BROKEN = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class UnreadableError(Exception):
    """An image that cannot be decoded; the text says why."""


def decoded(content: bytes, *, resolution: int) -> np.ndarray:
    """The image of a file, its middle square resized: uint8, (3, R, R).

    Turned as its EXIF data says; 16-bit grey becomes 8-bit; transparency is dropped.

    Raises:
        UnreadableError: It cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            # a JPEG can be decoded at 1/2, 1/4 or 1/8 in a fraction of the time
            image.draft("RGB", (2 * resolution, 2 * resolution))
            orientation = image.getexif().get(ORIENTATION)
            square = _square(_rgb(image), resolution)
    except UnidentifiedImageError as error:
        raise UnreadableError("not an image of a known format") from error
    except BROKEN as error:
        raise UnreadableError(" ".join(str(error).split()) or type(error).__name__) from error
    if orientation in TURNED:
        square = square.transpose(TURNED[orientation])
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


@contextmanager
def without_decoder_warnings() -> Iterator[None]:
    """Silences Pillow's remarks on odd metadata: what cannot be decoded is an error anyway."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=rf"PIL\.|{re.escape(__name__)}")
        yield


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise UnreadableError("its pixels are fractions without a known range")
    if not image.mode.startswith("I"):
        return image.convert("RGB")
    deep = np.asarray(image)
    if deep.min() < 0 or deep.max() > 0xFFFF:
        raise UnreadableError("its pixels have more than 16 bits")
    return Image.fromarray((deep >> 8).astype(np.uint8)).convert("RGB")


def _square(image: Image.Image, resolution: int) -> Image.Image:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((resolution, resolution), Image.Resampling.BICUBIC, box=box)
