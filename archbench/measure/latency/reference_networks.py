"""Which networks are timed in turn with a candidate, so that the state of the machine cancels?

They are nobody's architecture: one resembles convolutional networks, one attention, each in two
sizes, since a calibrator must share the candidate's kind of work and its footprint in the caches.
Changing one in any way changes every latency, so it takes a new name.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archbench.measure.agreement import prepared
from archbench.measure.backend import Runnable, of_calibrators
from archbench.study.measurement import Conditions

_Family = Literal["attention", "convolution"]


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """A network to compare with, built the same each time; stored constants are found by its name.

    The family is what kind of work it resembles, the shape that of its input.
    """

    name: str
    family: _Family
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]

    def ready(self, conditions: Conditions) -> Runnable:
        """The network ready to be run, in eager whatever runs the candidate; see there."""
        example = torch.randn(self.shape, generator=torch.Generator().manual_seed(0))
        return prepared(self.build(), example, conditions=of_calibrators(conditions))


class _AttentionNetwork(nn.Module):
    """A convolutional stem, then blocks of depthwise convolution, attention and MLP.

    B images, N tokens, h heads, d head width, C width; heads are 32 wide.
    """

    def __init__(self, *, dim: int, depth: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, dim // 4, 3, stride=2, padding=1),
            nn.Hardswish(),
            nn.Conv2d(dim // 4, dim // 2, 3, stride=2, padding=1),
            nn.Hardswish(),
            nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1),
        )
        self.blocks = nn.Sequential(*(_AttentionBlock(dim) for _ in range(depth)))
        self.head = nn.Linear(dim, 1000)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks(self.stem(images))
        return self.head(features.mean(dim=(2, 3)))


class _AttentionBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_heads = dim // 32
        self.local = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.projection = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.Hardswish(), nn.Linear(2 * dim, dim))

    def forward(self, features: Tensor) -> Tensor:
        batch, dim, height, width = features.shape
        tokens = (features + self.local(features)).flatten(2).transpose(1, 2)  # (B, N, C)
        qkv = self.qkv(self.norm(tokens)).view(batch, -1, 3, self.num_heads, 32)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, h, N, d)
        weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(32), dim=-1)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, -1, dim)
        tokens = tokens + self.projection(F.hardswish(mixed))
        tokens = tokens + self.mlp(tokens)
        return tokens.transpose(1, 2).reshape(batch, dim, height, width)


class _ConvolutionNetwork(nn.Module):
    """A stem, then three stages of dense, depthwise and pointwise convolutions.

    Each stage halves the resolution and doubles the width.
    """

    def __init__(self, *, dim: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, dim, 3, stride=2, padding=1), nn.ReLU()]
        for width in (dim, 2 * dim, 4 * dim):
            layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU()]
            layers += [_ConvolutionBlock(2 * width) for _ in range(depth)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(8 * dim, 1000)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(images).mean(dim=(2, 3)))


class _ConvolutionBlock(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dense = nn.Conv2d(dim, dim // 2, 3, padding=1)
        self.expand = nn.Conv2d(dim // 2, 2 * dim, 1)
        self.depthwise = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1, groups=2 * dim)
        self.reduce = nn.Conv2d(2 * dim, dim, 1)

    def forward(self, features: Tensor) -> Tensor:
        inner = F.relu(self.expand(F.relu(self.dense(features))))
        return features + self.reduce(F.hardswish(self.depthwise(inner)))


def _calibrator(name: str, family: _Family, *, dim: int, depth: int, side: int) -> Calibrator:
    """One whose weights are drawn without touching anybody's random state."""
    kind = _AttentionNetwork if family == "attention" else _ConvolutionNetwork

    def build() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return kind(dim=dim, depth=depth).eval()

    return Calibrator(name=name, family=family, build=build, shape=(1, 3, side, side))


CALIBRATORS: tuple[Calibrator, ...] = (
    _calibrator("attention_small_1", "attention", dim=96, depth=3, side=80),
    _calibrator("attention_large_1", "attention", dim=192, depth=4, side=112),
    _calibrator("convolution_small_1", "convolution", dim=16, depth=1, side=96),
    _calibrator("convolution_large_1", "convolution", dim=32, depth=2, side=160),
)
