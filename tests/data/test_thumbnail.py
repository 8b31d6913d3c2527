"""A small picture for a page shows what the network sees."""

from io import BytesIO

import pytest
import torch
from PIL import Image

from archbench.data import normalise
from archbench.data.thumbnail import SIDE, thumbnail


@pytest.mark.parametrize(("side", "shown"), [(16, 16), (224, SIDE)])
def test_it_is_the_picture_in_its_colours_and_small(side: int, shown: int) -> None:
    colour = (200, 40, 120)
    pixels = torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, side, side)
    image = normalise(pixels[None])[0]
    content = thumbnail(image, mean=(0.5,) * 3, std=(0.25,) * 3)
    picture = Image.open(BytesIO(content))
    assert (picture.format, picture.size) == ("JPEG", (shown, shown))
    found = picture.getpixel((shown // 2, shown // 2))
    assert found == pytest.approx(colour, abs=3)
    assert len(content) < 4000
