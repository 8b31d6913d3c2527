"""Squeeze and excitation: each channel of a map is weighed by the means of all channels.

Hu et al. 2018 (arXiv:1709.01507), sec. 3, with 1x1 convolutions in place of linear layers. In
MobileNetV3 the weights are hard sigmoids (Howard et al. 2019, arXiv:1905.02244, sec. 5.3).
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models.arithmetic import Work, convolution, total


def squeeze_excite_work(dim: int, squeezed: int) -> Work:
    """2*C*S MACs for an image; pooling and weighing are not counted."""
    squeeze = convolution(inputs=dim, outputs=squeezed, kernel=1, tokens=1, bias=True)
    excite = convolution(inputs=squeezed, outputs=dim, kernel=1, tokens=1, bias=True)
    return total(squeeze, excite)


def squeezed_width(dim: int, share: float) -> int:
    """The multiple of 8 that is nearest to a share of the width, at least 8; 0 of no share."""
    return max(8, int(dim * share + 4) // 8 * 8) if share else 0


class SqueezeExcite(nn.Module):
    """Pools a map, squeezes to fewer channels, and weighs the map's; (B, C, H, W) to the same."""

    def __init__(
        self, dim: int, squeezed: int, *, gate: Callable[[], nn.Module] = nn.Hardsigmoid
    ) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(dim, squeezed, 1)
        self.activation = nn.ReLU()
        self.excite = nn.Conv2d(squeezed, dim, 1)
        self.gate = gate()
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)  # (B, C, 1, 1)
        return x * self.gate(self.excite(self.activation(self.squeeze(pooled))))
