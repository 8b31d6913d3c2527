"""The identity: a stage that goes on where the one before ended, class tokens included."""

from dataclasses import dataclass
from typing import Self

from torch import nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work
from archbench.models.part import Embed, Grid, Site


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """Nothing to set."""

    kind = "none"

    def resolved(self, site: Site) -> Self:
        if site.incoming_dim != site.dim:
            raise SpecError(
                f"an embed of kind none cannot change the width from {site.incoming_dim} to "
                f"{site.dim}",
                place="kind",
                help=f"set dim to {site.incoming_dim} or use an embed of another kind",
            )
        return self

    def outgoing(self, grid: Grid) -> Grid:
        return grid

    def with_stride_near(self, stride: float) -> Self:
        return self

    def carries_on(self, site: Site) -> bool:
        return True

    def count(self, site: Site) -> Work:
        return Work()

    def module(self, site: Site) -> nn.Module:
        return nn.Identity()
