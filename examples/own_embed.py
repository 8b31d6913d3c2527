"""An embed of your own, from outside the package: pixels of a patch become channels.

Any network or space names it by its module: ``embed: {kind: module:own_embed, stride: 4}``. Run as
a program, it counts such a network twice, by the arithmetic below and as it is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from torch import Tensor, nn

import archbench
from archbench.errors import SpecError
from archbench.models.arithmetic import Work, convolution
from archbench.models.part import Embed, Site, Stride

HERE = f"module:{Path(__file__).stem}"
NETWORK = {
    "name": "unshuffled",
    "resolution": 32,
    "num_classes": 10,
    "stages": [
        {
            "embed": {"kind": HERE, "stride": 4},
            "block": {"kind": "levit", "key_dim": 8},
            "dim": 32,
            "depth": 2,
            "position": "bias",
        }
    ],
    "head": {"pool": "mean", "norm": "batch"},
}


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """Patches of ``stride`` pixels, unshuffled and joined by a 1x1 convolution."""

    kind = HERE

    stride: Stride = 4

    def resolved(self, site: Site) -> Self:
        """Itself, where patches fill the map."""
        if site.grid.height % self.stride or site.grid.width % self.stride:
            raise SpecError(f"{self.stride} does not divide the map {site.grid}", place="stride")
        return self

    def count(self, site: Site) -> Work:
        """s*s*N*C_in*C_out MACs."""
        inputs, tokens = site.incoming_dim * self.stride**2, self.outgoing(site.grid).tokens
        return convolution(inputs=inputs, outputs=site.dim, kernel=1, tokens=tokens, bias=True)

    def module(self, site: Site) -> nn.Module:
        """(B, C_in, H, W) to (B, C_out, H/s, W/s)."""
        return Unshuffled(self.stride, inputs=site.incoming_dim, outputs=site.dim)


class Unshuffled(nn.Module):
    """Pixel unshuffling and a 1x1 convolution."""

    def __init__(self, stride: int, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(stride)
        self.join = nn.Conv2d(inputs * stride**2, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The map x."""
        joined: Tensor = self.join(self.unshuffle(x))
        return joined


def main() -> None:
    """Count a network with the embed by its arithmetic and as it is built."""
    (found,) = archbench.profile(NETWORK, latency=False, check=True).models
    built = found.counts["built"]
    print(f"{found.counts['macs']:,} MACs; the built network agrees: {built['agrees']}")


if __name__ == "__main__":
    main()
