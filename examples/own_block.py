"""A block of your own, from outside the package: searched beside the blocks that come along.

The block is a large-kernel depthwise convolution and an MLP, each a residual branch, as in ConvNeXt
(Liu et al. 2022, arXiv:2201.03545, sec. 2.6). Any space or network file names it by its module:

    block: {kind: module:own_block, kernel: 7}

The current folder is searched for the module first, so this works from the folder of this file:

    cd examples
    archbench space sample own_block.yaml -n 1 > network.yaml
    archbench profile network.yaml --check
    archbench search own_block.yaml

Run as a program, it searches the space, too. ``--check`` counts the built network with fvcore: it
shows whether the arithmetic of the block is right.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from torch import Tensor, nn

import archbench
from archbench.errors import SpecError
from archbench.models.arithmetic import Work, convolution, mlp, norm, total
from archbench.models.layer import DropPath, map_tokens, token_map
from archbench.models.part import Block, Grid, Kernel, Ratio, Site, hidden_width


@dataclass(frozen=True, kw_only=True)
class Spec(Block):
    """What may be set; each field is checked as its annotation says.

    Attributes:
        kernel: Side of the depthwise kernel, odd.
        mlp_ratio: Hidden width of the MLP, as a multiple of the width.
    """

    kind = "module:own_block"

    kernel: Kernel = 7
    mlp_ratio: Ratio = 4

    def resolved(self, site: Site) -> Self:
        """Itself: nothing is derived from where the block stands."""
        if site.class_tokens:
            raise SpecError("this block takes no class tokens", place="class_tokens")
        return self

    def count(self, site: Site) -> Work:
        """k*k*N*C MACs of the convolution and 2*r*N*C*C of the MLP."""
        dim, tokens, hidden = site.dim, site.grid.tokens, hidden_width(site.dim, self.mlp_ratio)
        return total(
            convolution(
                inputs=dim, outputs=dim, kernel=self.kernel, tokens=tokens, groups=dim, bias=True
            ),
            norm(dim),
            mlp(dim=dim, hidden=hidden, tokens=tokens, bias=True),
        )

    def module(self, site: Site) -> nn.Module:
        """(B, N, C) to (B, N, C)."""
        return OwnBlock(self, site)


class OwnBlock(nn.Module):
    """Depthwise convolution, layer norm and MLP as one residual branch; (B, N, C) to (B, N, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        dim, hidden = site.dim, hidden_width(site.dim, spec.mlp_ratio)
        self.mix = nn.Conv2d(dim, dim, spec.kernel, padding=spec.kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """The tokens x of a map of that grid."""
        mixed = map_tokens(self.mix(token_map(x, grid)))
        return x + self.drop_path(self.mlp(self.norm(mixed)))


def main() -> None:
    """Search the space of own_block.yaml, and say which designs of its front have the block."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--trials", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    said = parser.parse_args()

    file = Path(__file__).with_name("own_block.yaml")
    space = archbench.SearchSpace.load(file, overrides=said.set)
    print(f"{space.size()} candidates; the base has {archbench.count(space.base).macs:,} MACs")
    study = archbench.search(space, trials=said.trials, results=said.results)
    assert study is not None, "only a dry run gives no study"
    for design in study.front_records():
        has_it = any(Spec.kind in str(choice) for choice in design.choices.values())
        print(f"trial {design.number}: {'with' if has_it else 'without'} the block")


if __name__ == "__main__":
    main()
