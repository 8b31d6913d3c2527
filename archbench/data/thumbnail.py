"""How does an image become small enough to stand in a page?"""

from collections.abc import Sequence
from io import BytesIO

import torch
from PIL import Image
from torch import Tensor

SIDE = 96  # pixels
_QUALITY = 85


def thumbnail(image: Tensor, *, mean: Sequence[float], std: Sequence[float]) -> bytes:
    """A JPEG file, 96 px high and wide at most, of an image (3, H, W) as a network sees it.

    That is ``(pixel / 255 - mean) / std`` of each channel.
    """
    scale, shift = (torch.tensor(values)[:, None, None] for values in (std, mean))
    pixels = (image.cpu() * scale + shift).mul(255).round().clamp(0, 255).to(torch.uint8)
    picture = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    picture.save(buffer, "jpeg", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()
