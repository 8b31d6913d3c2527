"""How many parameters, MACs and activations has a network, in closed form?

One multiply-accumulate counts as 1, and convolutions, linears and the two products of attention
are counted; biases, norms, activation functions, softmax and pooling are not. That is what the
CvT, LeViT and DeiT papers print as "FLOPs". Activations are the outputs of the counted layers
(Radosavovic et al. 2020, arXiv:2003.13678, sec. 3, extended to both products of attention).
All counts are for one image.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Work(NamedTuple):
    """The arithmetic of a part: parameters, activations, and MACs by kind of work."""

    params: int = 0
    activations: int = 0
    convolution: int = 0
    linear: int = 0
    attention: int = 0
    mlp: int = 0

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all kinds together."""
        return self.convolution + self.linear + self.attention + self.mlp


@dataclass(frozen=True)
class StageWork:
    """The arithmetic of a stage: its embed with class tokens and positions, and its blocks."""

    embed: Work
    blocks: tuple[Work, ...]

    @property
    def total(self) -> Work:
        """Embed and blocks together."""
        return total(self.embed, *self.blocks)


@dataclass(frozen=True)
class Count:
    """The arithmetic of a network: its stages, and its head with pooling, norm, classifiers."""

    stages: tuple[StageWork, ...]
    head: Work

    @property
    def total(self) -> Work:
        """The whole network."""
        return total(*(stage.total for stage in self.stages), self.head)

    @property
    def params(self) -> int:
        """Learnt parameters."""
        return self.total.params

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return self.total.macs

    @property
    def activations(self) -> int:
        """Outputs of convolutions, linears and attention products of one image."""
        return self.total.activations


def total(*works: Work) -> Work:
    """The sum of several."""
    return Work(*map(sum, zip(*works, strict=True))) if works else Work()


def convolution(
    *,
    inputs: int,
    outputs: int,
    kernel: int,
    tokens: int,
    groups: int = 1,
    bias: bool = False,
    has_norm: bool = False,
) -> Work:
    """A 2-d convolution with square kernel that yields ``tokens`` positions, and its norm."""
    weights = kernel * kernel * (inputs // groups) * outputs
    params = weights + (bias + 2 * has_norm) * outputs
    return Work(params=params, activations=outputs * tokens, convolution=weights * tokens)


def linear(*, inputs: int, outputs: int, tokens: int, bias: bool) -> Work:
    """A linear layer on ``tokens`` tokens."""
    params = (inputs + bias) * outputs
    return Work(params=params, activations=outputs * tokens, linear=inputs * outputs * tokens)


def mlp(*, dim: int, hidden: int, tokens: int, bias: bool) -> Work:
    """Two linear layers with one activation between them."""
    return Work(
        params=2 * dim * hidden + bias * (dim + hidden),
        activations=(dim + hidden) * tokens,
        mlp=2 * dim * hidden * tokens,
    )


def attention(
    *, heads: int, queries: int, keys: int, key_dim: int, value_dim: int | None = None
) -> Work:
    """Both products of multi-head attention; widths are those of one head, equal by default."""
    value_dim = value_dim or key_dim
    return Work(
        activations=heads * queries * (keys + value_dim),
        attention=heads * queries * keys * (key_dim + value_dim),
    )


def norm(dim: int, *, number: int = 1) -> Work:
    """Batch or layer norms: a weight and a bias for each channel, no MACs."""
    return Work(params=2 * dim * number)
