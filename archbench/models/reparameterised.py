"""A convolution that is several branches while it is trained, and one convolution when it ships.

Ding et al. 2021 (arXiv:2101.03697), sec. 3.2 and 3.3, in the form of Vasu et al. 2022
(arXiv:2206.04040), sec. 3.2: every branch is linear in evaluation, so their sum is one kernel.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models.arithmetic import Work, norm, total
from archbench.models.convolution import ConvNorm, Convolution
from archbench.models.folding import fold_norm
from archbench.models.layer import DropPath


class Reparameterised(NamedTuple):
    """A convolution with batch norm of which there are ``num_branches``, all added.

    A 1x1 convolution stands beside larger kernels, and a batch norm of what enters beside one that
    changes neither map nor width.
    """

    convolution: Convolution
    num_branches: int = 1

    @property
    def narrow(self) -> Convolution | None:
        """The 1x1 convolution beside it; None beside one that is 1x1 itself."""
        is_larger = self.convolution.kernel > 1
        return self.convolution._replace(kernel=1) if is_larger else None

    @property
    def has_identity(self) -> bool:
        """Whether what enters is added, behind a norm."""
        spec = self.convolution
        return spec.stride == 1 and spec.inputs == spec.outputs

    def work(self, tokens: int) -> Work:
        """The arithmetic of all branches, where so many tokens leave."""
        branches = [self.convolution] * self.num_branches
        branches += [] if self.narrow is None else [self.narrow]
        identity = norm(self.convolution.outputs, number=self.has_identity)
        return total(*(branch.work(tokens) for branch in branches), identity)

    def deployed_work(self, tokens: int) -> Work:
        """The arithmetic of the one convolution, which has a bias."""
        return self.convolution._replace(bias=True, norm="none").work(tokens)


class Branches(nn.Module):
    """The layers of a reparameterised convolution; (B, C, H, W) to (B, C', H', W')."""

    def __init__(self, spec: Reparameterised, *, drop_path: float = 0.0) -> None:
        super().__init__()
        self.wide = nn.ModuleList(ConvNorm(spec.convolution) for _ in range(spec.num_branches))
        self.narrow = ConvNorm(spec.narrow) if spec.narrow else None
        self.identity = nn.BatchNorm2d(spec.convolution.outputs) if spec.has_identity else None
        # What is dropped has the identity beside it.
        self.drop_path = DropPath(drop_path if spec.has_identity else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        convolved = [branch(x) for branch in self._convolutions()]
        y = self.drop_path(sum(convolved[1:], start=convolved[0]))
        return y if self.identity is None else y + self.identity(x)

    def deployed(self) -> nn.Conv2d:
        branches = self._convolutions()
        return fused(branches if self.identity is None else [*branches, self.identity])

    def _convolutions(self) -> list[nn.Module]:
        return [*self.wide, *([] if self.narrow is None else [self.narrow])]


def fused(branches: Iterable[nn.Module]) -> nn.Conv2d:
    """One convolution that is the sum of several branches in evaluation, by float64.

    They are convolutions of one stride whose odd kernels are padded by half, of which the first has
    the largest one, batch norms and identities.
    """
    first, *others = branches
    assert isinstance(first, nn.Conv2d)
    weight, bias = first.weight.double(), _bias(first)
    for branch in others:
        conv = branch if isinstance(branch, nn.Conv2d) else _unit(branch, like=first)
        margin = (weight.shape[-1] - conv.weight.shape[-1]) // 2
        weight = weight + F.pad(conv.weight.double(), [margin] * 4)
        bias = bias + _bias(conv)
    made = nn.Conv2d(
        first.in_channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        groups=first.groups,
    ).to(first.weight)
    with torch.no_grad():
        made.weight.copy_(weight)
        made.bias.copy_(bias)  # type: ignore[union-attr]
    return made


def _unit(branch: nn.Module, *, like: nn.Conv2d) -> nn.Conv2d:
    """A batch norm or an identity as a 1x1 convolution of as many groups as another."""
    channels, inputs = like.weight.shape[:2]
    places = torch.arange(channels)
    made = nn.Conv2d(channels, channels, 1, groups=like.groups, bias=False).to(like.weight)
    with torch.no_grad():
        made.weight.zero_()
        made.weight[places, places % inputs] = 1.0
    if isinstance(branch, nn.BatchNorm2d):
        folded = fold_norm(made.eval(), branch)
        assert isinstance(folded, nn.Conv2d)
        return folded
    return made


def _bias(conv: nn.Conv2d) -> Tensor:
    zeros = conv.weight.new_zeros(conv.out_channels, dtype=torch.float64)
    return zeros if conv.bias is None else conv.bias.double()
