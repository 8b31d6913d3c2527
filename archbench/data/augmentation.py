"""What does a network see of an image: the normalised pixels, shifted and mirrored at random."""

from __future__ import annotations

from functools import partial

import torch

PIXEL_MEAN = 0.5
PIXEL_STD = 0.25

# B batch, H W map.


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Bytes as floats around zero, by one rule for every data set: (byte / 255 - 0.5) / 0.25."""
    scale = 1 / (255 * PIXEL_STD)
    return images.to(torch.float32).mul_(scale).sub_(PIXEL_MEAN / PIXEL_STD)


def augment(
    images: torch.Tensor, *, generator: torch.Generator, shift: int, flip: bool
) -> torch.Tensor:
    """Normalised images, each moved by up to ``shift`` pixels and mirrored with probability 1/2.

    What moves in from beyond the edge is the image's own reflection. The work is one gather of
    the whole batch of bytes, (B, 3, H, W), on its device; the result lies in channels_last memory.
    The generator may be on another device: one on the CPU gives a GPU the same moves.
    """
    B, _, H, W = images.shape
    draw = partial(torch.randint, generator=generator, device=generator.device)
    move = draw(-shift, shift + 1, (2, B, 1)).to(images.device)
    rows = _reflected(torch.arange(H, device=images.device) + move[0], size=H)  # (B, H)
    columns = _reflected(torch.arange(W, device=images.device) + move[1], size=W)  # (B, W)
    if flip:
        mirrored = draw(0, 2, (B, 1)).to(images.device)
        columns = torch.where(mirrored.bool(), W - 1 - columns, columns)
    batch = torch.arange(B, device=images.device)[:, None, None]
    moved = images[batch, :, rows[:, :, None], columns[:, None, :]]  # (B, H, W, 3)
    return normalise(moved.permute(0, 3, 1, 2))  # (B, 3, H, W)


def _reflected(index: torch.Tensor, *, size: int) -> torch.Tensor:
    """Indices folded back into 0 to size - 1 at the edge pixels, however far out they are."""
    period = 2 * (size - 1)
    inside = index.abs() % period
    return torch.minimum(inside, period - inside)
