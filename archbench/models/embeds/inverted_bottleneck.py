"""MobileNets' inverted bottleneck that widens or shrinks the map; see also the block of this kind.

Sandler et al. 2018 (arXiv:1801.04381), sec. 3.3: 1x1 to a larger width, depthwise there, 1x1 back.
Howard et al. 2019 (arXiv:1905.02244), sec. 5, add squeeze and excitation and hard swish; Qin et al.
2024 (arXiv:2404.10518), sec. 4 and 6, make both depthwise convolutions optional, the universal
inverted bottleneck, and fuse the first two layers near the image.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Annotated, Self

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, total
from archbench.models.channels import Channels, within
from archbench.models.convolution import ConvNorm, Convolution, count_chain, init_convolutions
from archbench.models.layer import DropPath, LayerScale, activation
from archbench.models.part import (
    Activation,
    Check,
    Embed,
    Epsilon,
    Part,
    Ratio,
    Site,
    Stride,
    choice,
    multiple_of_8,
    number,
    odd,
)
from archbench.models.squeeze_excite import SqueezeExcite, squeeze_excite_work


def _odd_or_none(high: int) -> Check:
    def check(name: str, value: object) -> None:
        if value != 0 or isinstance(value, bool):
            odd(high)(name, value)

    return check


@dataclass(frozen=True, kw_only=True)
class InvertedBottleneckSpec(Part):
    """What the embed and the block have in common.

    The ``expansion`` is the width of the middle as a multiple of that which enters, rounded as
    MobileNets do; left out, no convolution expands. ``start_kernel`` is of the depthwise
    convolution before the expansion, ``kernel`` of the one behind it, 0 where there is none. So 0
    and 3 are an inverted bottleneck, 3 and 0 ConvNext-like, 3 and 3 ExtraDW, 0 and 0 an FFN.
    With ``fused`` one k x k convolution of all channels expands in place of two.

    ``squeeze`` is the width that channels are squeezed to, as a share of the middle's and rounded
    alike; at 0 nothing is squeezed. An activation stands behind what expands and what is behind
    it, with ``ends_active`` also behind the last 1x1 convolution. The ``layer_scale`` is the first
    value of a learnt factor of each channel that leaves, if there is one. With ``norm: last`` only
    the last convolution has a norm, all others a bias.
    """

    expansion: Ratio | None = None
    start_kernel: Annotated[int, _odd_or_none(31)] = 0
    kernel: Annotated[int, _odd_or_none(31)] = 3
    fused: bool = False
    squeeze: Annotated[float, number(0, 1)] = 0.0
    norm: Annotated[str, choice("batch", "last")] = "batch"
    activation: Activation = "relu"
    ends_active: bool = False
    layer_scale: Epsilon | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fused and not self.kernel:
            raise SpecError("there is no convolution to fuse with", place="kernel", help="use 3")

    @property
    def step(self) -> int:
        """By how much the map shrinks."""
        return 1

    def resolved(self, site: Site) -> Self:
        if self.step > 1 and not (self.start_kernel or self.kernel):
            raise SpecError(
                f"no depthwise convolution takes the step of {self.step}",
                place="stride",
                help="use a stride of 1, or a kernel or start_kernel of 3",
            )
        return replace(self, squeeze=float(self.squeeze))

    def count(self, site: Site) -> Work:
        """N*(s*s*C + C*I) + M*(k*k*I + I*C') MACs and 2*I*S; N tokens enter, M leave.

        I is the width of the middle, S the squeezed one; a step is taken by the last depthwise
        convolution.
        """
        convolutions = self.convolutions(site)
        work = count_chain([*convolutions.values()], site.grid)
        if squeezed := self.squeezed(site):
            work = total(work, squeeze_excite_work(convolutions["project"].inputs, squeezed))
        return total(work, Work(params=site.dim if self.layer_scale is not None else 0))

    def named_channels(self, site: Site) -> Channels:
        middle = "before" if self.expansion is None and not self.fused else "expanded"
        sizes = {"expanded": self._middle(site), "squeezed": self.squeezed(site)}
        layers = {
            "start": ("before", ""),
            "expand": (middle, "before"),
            "depthwise": (middle, ""),
            "squeeze_excite.squeeze": ("squeezed", middle),
            "squeeze_excite.excite": (middle, "squeezed"),
            "project": ("width", middle),
            "scale": ("width",),
        }
        return Channels(sizes, within("branch", layers))

    def convolutions(self, site: Site) -> dict[str, Convolution]:
        """Those of the branch by name, in order."""
        inputs, middle, step = site.incoming_dim, self._middle(site), self.step
        found = {}
        if self.start_kernel:
            stride = 1 if self.kernel else step
            found["start"] = Convolution(inputs, inputs, self.start_kernel, stride, groups=inputs)
        if self.fused:
            found["expand"] = Convolution(inputs, middle, self.kernel, step)
        elif self.expansion is not None:
            found["expand"] = Convolution(inputs, middle)
        if self.kernel and not self.fused:
            found["depthwise"] = Convolution(middle, middle, self.kernel, step, groups=middle)
        if self.norm == "last":
            found = {name: one._replace(bias=True, norm="none") for name, one in found.items()}
        return {**found, "project": Convolution(middle, site.dim)}

    def squeezed(self, site: Site) -> int:
        """The width that the middle is squeezed to; 0 where it is not."""
        return multiple_of_8(self._middle(site) * self.squeeze) if self.squeeze else 0

    def is_residual(self, site: Site) -> bool:
        """Whether the branch is added to what enters: neither width nor map changes."""
        return self.step == 1 and site.incoming_dim == site.dim

    def _middle(self, site: Site) -> int:
        if self.expansion is None:
            return site.incoming_dim
        return multiple_of_8(site.incoming_dim * self.expansion)


@dataclass(frozen=True, kw_only=True)
class Spec(InvertedBottleneckSpec, Embed):
    """What may be set; the last depthwise or the fused convolution takes the step."""

    kind = "inverted_bottleneck"
    stride: Stride = 2

    @property
    def step(self) -> int:
        return self.stride

    def carries_on(self, site: Site) -> bool:
        return self.is_residual(site)

    def module(self, site: Site) -> nn.Module:
        return InvertedBottleneck(self, site)


class InvertedBottleneck(nn.Module):
    """Convolutions on a map (B, C, H, W), beside an identity where neither side of it changes."""

    def __init__(self, spec: InvertedBottleneckSpec, site: Site) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for name, convolution in spec.convolutions(site).items():
            if name == "project" and spec.squeeze:
                squeezed = spec.squeezed(site)
                layers["squeeze_excite"] = SqueezeExcite(convolution.inputs, squeezed)
            layers[name] = ConvNorm(convolution)
            if name in ("expand", "depthwise") or (name == "project" and spec.ends_active):
                layers[f"{name}_activation"] = activation(spec.activation)
        if spec.layer_scale is not None:
            layers["scale"] = LayerScale(site.dim, initial=spec.layer_scale)
        self.branch = init_convolutions(nn.Sequential(layers))
        self.is_residual = spec.is_residual(site)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)
        return x + self.drop_path(y) if self.is_residual else y
