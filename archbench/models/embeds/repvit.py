"""RepViT's downsampling: one of its blocks, a depthwise convolution that takes the step, an MLP.

Wang et al. 2024 (arXiv:2307.09283), sec. 3.3, "deeper downsampling layers", and fig. 4: the block
is as wide as what enters, and a 1x1 convolution leads to the new width. Every convolution has a
batch norm; see ``archbench/models/blocks/repvit.py``.
"""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from archbench.models.arithmetic import Work, total
from archbench.models.blocks import repvit
from archbench.models.channels import Channels, within
from archbench.models.convolution import Convolution, chain, chain_layers, count_chain
from archbench.models.layer import DropPath
from archbench.models.part import Activation, Embed, Kernel, Ratio, Site, Stride, hidden_width


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set: kernels of both depthwise convolutions, the step, and both MLPs."""

    kind = "repvit"
    kernel: Kernel = 3
    stride: Stride = 2
    mlp_ratio: Ratio = 2
    activation: Activation = "gelu"

    def count(self, site: Site) -> Work:
        """Those of a block, and k*k*M*C + M*C*C' + 2*r*M*C'*C' MACs for M tokens that leave."""
        return total(self.block.count(_before(site)), self._work_behind(site))

    def deployed_count(self, site: Site) -> Work:
        return total(self.block.deployed_count(_before(site)), self._work_behind(site))

    def named_channels(self, site: Site) -> Channels:
        first = self.block.named_channels(_before(site)).layers
        words = {"width": "before", "hidden": "hidden_before"}
        renamed = {name: tuple(words.get(w, w) for w in sides) for name, sides in first.items()}
        mlp = {"mlp.0": ("hidden", "width"), "mlp.2": ("width", "hidden")}
        down = within("down", chain_layers(self.convolutions(site), ["before", "before", "width"]))
        sizes = {"hidden": site.hidden(self.mlp_ratio)}
        sizes["hidden_before"] = hidden_width(site.incoming_dim, self.mlp_ratio)
        return Channels(sizes, {**within("block", renamed), **down, **mlp})

    def module(self, site: Site) -> nn.Module:
        return RepVitEmbed(self, site)

    @property
    def block(self) -> repvit.Spec:
        """What stands before the step."""
        return repvit.Spec(kernel=self.kernel, mlp_ratio=self.mlp_ratio, activation=self.activation)

    def convolutions(self, site: Site) -> list[Convolution]:
        """The depthwise one that takes the step, and the 1x1 to the new width."""
        before = site.incoming_dim
        step = Convolution(before, before, self.kernel, self.stride, groups=before)
        return [step, Convolution(before, site.dim)]

    def _work_behind(self, site: Site) -> Work:
        mlp = repvit.mlp_convolutions(site.dim, self.mlp_ratio)
        return count_chain([*self.convolutions(site), *mlp], site.grid)


class RepVitEmbed(nn.Module):
    """Block, step and MLP; (B, C, H, W) to (B, C', H', W')."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.block = repvit.RepVitBlock(spec.block, _before(site))
        self.down = chain(spec.convolutions(site), "none")
        self.mlp = repvit.channel_mixer(site.dim, spec.mlp_ratio, spec.activation)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(self.block.on_map(x))
        return x + self.drop_path(self.mlp(x))


def _before(site: Site) -> Site:
    """The site of the block, as wide as what enters."""
    return replace(site, dim=site.incoming_dim)
