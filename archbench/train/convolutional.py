"""What does a plain convolutional network look like that teaches on data of this size?

Shapes: B batch, C channels, H W map, K classes.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

_FIRST_WIDTH, _LAST_WIDTH = 32, 256
_LAST_SIDE = 4  # pixels of the map that is pooled, about


class ConvolutionalNetwork(nn.Module):
    """Pairs of 3x3 convolutions, each with batch norm and ReLU; the first of a pair halves.

    As many pairs as bring the images down to maps of about 4 pixels, 32 channels in the first and
    twice as many in each that follows, up to 256; then the mean over the map and a classifier.
    No attention: as a teacher it knows what its students must learn, that near pixels belong
    together (Touvron et al. 2021, arXiv:2012.12877, sec. 5.2, found convolutional teachers best).

    Takes images (B, 3, H, W), gives logits (B, K).

    Args:
        resolution: Side of the images, by which the number of pairs is chosen.
        num_classes: K.
        seed: Of the initial weights.
    """

    def __init__(self, *, resolution: int, num_classes: int, seed: int) -> None:
        super().__init__()
        self.widths = stage_widths(resolution)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.stages = nn.Sequential(
                *(
                    nn.Sequential(*_unit(before, width, stride=2), *_unit(width, width, stride=1))
                    for before, width in pairwise((3, *self.widths))
                )
            )
            self.classifier = nn.Linear(self.widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 3, H, W)."""
        return self.classifier(self.stages(images).mean(dim=(2, 3)))


def stage_widths(resolution: int) -> tuple[int, ...]:
    """Channels of each pair for images of this side.

    >>> stage_widths(32), stage_widths(64)
    ((32, 64, 128), (32, 64, 128, 256))
    """
    widths = [_FIRST_WIDTH]
    while resolution >> (len(widths) + 1) >= _LAST_SIDE:
        widths.append(min(2 * widths[-1], _LAST_WIDTH))
    return tuple(widths)


def _unit(before: int, width: int, *, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)
