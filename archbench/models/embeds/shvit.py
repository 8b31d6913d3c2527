"""SHViT's downsampling: two blocks without attention, and between them one that shrinks the map.

Yun & Ro 2024 (arXiv:2401.16456), sec. 2.4, after Liu et al. 2023 (arXiv:2305.07027, sec. 3.1). The
middle is an inverted bottleneck: 1x1 to a larger width, 3x3 with the stride on each channel alone,
squeeze and excitation by a quarter of that width, 1x1 to the new one. As in the released code
there is no residual around it and its norms start at 1, as do those of both depthwise convolutions.
"""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from archbench.models.arithmetic import Work, total
from archbench.models.blocks import shvit
from archbench.models.blocks.shvit import ShvitBlock
from archbench.models.channels import Channels, within
from archbench.models.convolution import (
    ConvNorm,
    Convolution,
    chain,
    chain_layers,
    count_chain,
)
from archbench.models.layer import map_grid, map_tokens, token_map
from archbench.models.part import (
    Activation,
    Embed,
    Ratio,
    Site,
    Stride,
    hidden_width,
    multiple_of_8,
)
from archbench.models.squeeze_excite import SqueezeExcite, squeeze_excite_work


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set.

    The ``expansion`` is the width of the middle as a multiple of the one before, ``mlp_ratio`` and
    ``activation`` are also those of both blocks.
    """

    kind = "shvit"
    stride: Stride = 2
    expansion: Ratio = 4
    mlp_ratio: Ratio = 2
    activation: Activation = "relu"

    def count(self, site: Site) -> Work:
        """Both blocks, N*C*I + M*(9*I + I*C') and 2*I*S MACs; N tokens enter, M leave."""
        expanded, squeezed = self.widths(site)
        return total(
            *(self._block.count(one) for one in self._sites(site)),
            count_chain(self.merging(site), site.grid),
            squeeze_excite_work(expanded, squeezed),
        )

    def named_channels(self, site: Site) -> Channels:
        expanded, squeezed = self.widths(site)
        sizes = {"expanded": expanded, "squeezed": squeezed}
        names = {"before": {"width": "before", "hidden": "hidden_before"}, "after": {}}
        layers: dict[str, tuple[str, ...]] = {}
        for (name, renamed), one in zip(names.items(), self._sites(site), strict=True):
            channels = self._block.named_channels(one)
            sizes |= {renamed.get(word, word): size for word, size in channels.sizes.items()}
            layers |= {
                f"{name}.{layer}": tuple(renamed.get(words, words) for words in sides)
                for layer, sides in channels.layers.items()
            }
        merging = chain_layers(self.merging(site), ["before", "expanded", "expanded", "width"])
        return Channels(
            sizes,
            {
                **layers,
                **within("expand", {place: merging[place] for place in ("0", "2")}),
                "squeeze_excite.squeeze": ("squeezed", "expanded"),
                "squeeze_excite.excite": ("expanded", "squeezed"),
                "project": merging["4"],
            },
        )

    def module(self, site: Site) -> nn.Module:
        return Downsampling(self, site)

    def blocks(self, site: Site) -> list[ShvitBlock]:
        """The block before and that behind the middle."""
        return [ShvitBlock(self._block, one, zero_init=False) for one in self._sites(site)]

    def merging(self, site: Site) -> list[Convolution]:
        """The convolutions of the middle."""
        inner, _ = self.widths(site)
        return [
            Convolution(site.incoming_dim, inner),
            Convolution(inner, inner, kernel=3, stride=self.stride, groups=inner),
            Convolution(inner, site.dim),
        ]

    def widths(self, site: Site) -> tuple[int, int]:
        """The expanded and the squeezed width."""
        expanded = hidden_width(site.incoming_dim, self.expansion)
        return expanded, multiple_of_8(expanded / 4)

    @property
    def _block(self) -> shvit.Spec:
        return shvit.Spec(
            partial_ratio=0, key_dim=None, mlp_ratio=self.mlp_ratio, activation=self.activation
        )

    def _sites(self, site: Site) -> tuple[Site, Site]:
        before = replace(site, dim=site.incoming_dim)
        return before, replace(site, incoming_dim=site.dim, grid=self.outgoing(site.grid))


class Downsampling(nn.Module):
    """A block, the inverted bottleneck, a block; (B, C, H, W) to (B, C', H', W')."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        *expand, project = spec.merging(site)
        self.before, self.after = spec.blocks(site)
        self.expand = chain(expand, spec.activation, is_last_active=True)
        self.squeeze_excite = SqueezeExcite(*spec.widths(site), gate=nn.Sigmoid)
        self.project = ConvNorm(project)

    def forward(self, x: Tensor) -> Tensor:
        x = _on_tokens(self.before, x)
        x = self.project(self.squeeze_excite(self.expand(x)))
        return _on_tokens(self.after, x)


def _on_tokens(block: nn.Module, x: Tensor) -> Tensor:
    grid = map_grid(x)
    return token_map(block(map_tokens(x), grid), grid)
