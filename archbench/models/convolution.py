"""A convolution with its norm: the map that leaves it, its arithmetic, its layers.

Shapes: B batch, C channels, H W map.
"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from torch import Tensor, nn

from archbench.models import arithmetic
from archbench.models.arithmetic import Work, total
from archbench.models.depthwise import convolved
from archbench.models.folding import fold_norm
from archbench.models.layer import activation
from archbench.models.part import Grid


class Convolution(NamedTuple):
    """A square kernel and the norm behind it: ``batch``, ``layer`` (over channels) or ``none``.

    A padding that is not given is half of the kernel. A batch norm takes a bias only away again;
    CeiT has one all the same. The ``epsilon`` is that of a layer norm.
    """

    inputs: int
    outputs: int
    kernel: int = 1
    stride: int = 1
    padding: int | None = None
    groups: int = 1
    bias: bool = False
    norm: str = "batch"
    epsilon: float = 1e-5

    @property
    def margin(self) -> int:
        """Zeros on each side of the map."""
        return self.kernel // 2 if self.padding is None else self.padding

    def outgoing(self, grid: Grid) -> Grid:
        """The map that leaves it; a side is below 1 where the kernel does not fit."""
        if self.stride == 1 and self.padding is None and self.kernel % 2:
            return grid
        return grid.strided(kernel=self.kernel, stride=self.stride, padding=self.margin)

    def work(self, tokens: int) -> Work:
        """Its arithmetic, where so many tokens leave it."""
        return arithmetic.convolution(
            inputs=self.inputs,
            outputs=self.outputs,
            kernel=self.kernel,
            tokens=tokens,
            groups=self.groups,
            bias=self.bias,
            has_norm=self.norm != "none",
        )


class ConvNorm(nn.Module):
    """The layers of a convolution; (B, C, H, W) to (B, C', H', W')."""

    def __init__(self, spec: Convolution) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            spec.inputs,
            spec.outputs,
            spec.kernel,
            spec.stride,
            spec.margin,
            groups=spec.groups,
            bias=spec.bias,
        )
        norms = {"batch": nn.BatchNorm2d, "none": nn.Identity}
        self.norm: nn.Module
        if spec.norm == "layer":
            self.norm = MapLayerNorm(spec.outputs, eps=spec.epsilon)
        else:
            self.norm = norms[spec.norm](spec.outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(convolved(self.conv, x))

    def deployed(self) -> nn.Module:
        """One convolution that computes the same in evaluation; itself without a batch norm."""
        return fold_norm(self.conv, self.norm) if isinstance(self.norm, nn.BatchNorm2d) else self


class MapLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of a map (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def init_convolutions(network: nn.Module) -> nn.Module:
    """A network of which every convolution starts normal with the gain of a ReLU by its outputs.

    He et al. 2015 (arXiv:1502.01852), eq. 14; of a depthwise one each input has one channel of
    outputs.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[:, 0].numel() // layer.groups
            nn.init.normal_(layer.weight, std=sqrt(2) / sqrt(fan_out))
    return network


def count_chain(convolutions: Sequence[Convolution], grid: Grid) -> Work:
    """The arithmetic of convolutions, each behind the one before, on a map that enters."""
    works = []
    for convolution in convolutions:
        grid = convolution.outgoing(grid)
        works.append(convolution.work(grid.tokens))
    return total(*works)


def chain(
    convolutions: Sequence[Convolution], activation_name: str, *, is_last_active: bool = False
) -> nn.Sequential:
    """Such convolutions with an activation behind each, behind the last only where asked."""
    layers: list[nn.Module] = []
    for convolution in convolutions:
        made = ConvNorm(convolution)
        # With another norm than of batches, both have names of their own among the weights.
        both = [made.conv, made.norm] if convolution.norm == "layer" else [made.conv]
        layers += [made] if convolution.norm == "batch" else both
        layers.append(activation(activation_name))
    return nn.Sequential(*(layers if is_last_active else layers[:-1]))


def chain_layers(
    convolutions: Sequence[Convolution], names: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Outputs and inputs of the layers of ``chain``, for ``Channels``.

    The names are of the channels that enter, and of those that leave each convolution.
    """
    found: dict[str, tuple[str, ...]] = {}
    place = 0
    for spec, inputs, outputs in zip(convolutions, names, names[1:], strict=False):
        found[str(place)] = outputs, inputs if spec.groups == 1 else ""
        if spec.norm == "layer":
            place += 1
            found[str(place)] = outputs, ""
        place += 2
    return found
