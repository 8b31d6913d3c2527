"""How do many small parameters cost the optimiser as little as one large one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from archbench.errors import UsageError

_DECAYED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ALIGNMENT = 16  # elements; 64 bytes of fp32, as the allocator aligns


class FlatParameters:
    """A network's trainable parameters as two vectors, with one vector of their gradients.

    The network's own parameters become views of the vectors, in their memory format, and so do
    their gradients. Clearing, clipping and updating 80 small tensors took 9 % of a step of a
    network of width 32; on vectors it takes 2 %.

    Args:
        network: On its device and in its memory format; its parameters are moved.

    Attributes:
        decayed: Weights of linears and convolutions.
        others: Everything else. What multiplies a feature is decayed; what is added to it
            (biases, position tables, class tokens) or scales it (norms) is not.
        gradient: Of both, the decayed first.

    Raises:
        UsageError: There is no parameter to train, or they are of several types or devices.
    """

    def __init__(self, network: nn.Module) -> None:
        decayed, others = decayed_and_others(network)
        kinds = {(p.dtype, p.device) for p in (*decayed, *others)}
        if len(kinds) != 1:
            raise UsageError(
                f"parameters of {len(kinds)} types and devices, where one is needed",
                place="network",
                help="train a network in fp32 on one device",
            )
        dtype, device = kinds.pop()
        sizes = [sum(map(_aligned_size, group)) for group in (decayed, others)]
        weights = torch.zeros(sum(sizes), dtype=dtype, device=device)
        self.gradient = torch.zeros_like(weights)
        self.decayed, self.others = map(nn.Parameter, weights.split(sizes))
        self.decayed.grad, self.others.grad = self.gradient.split(sizes)
        _move([*decayed, *others], weights=weights, gradient=self.gradient)

    def clip(self, limit: float) -> Tensor:
        """Scales the gradient down to a norm of at most ``limit``; gives its norm before."""
        norm = torch.linalg.vector_norm(self.gradient)
        self.gradient.mul_((limit / (norm + 1e-6)).clamp(max=1.0))
        return norm


def decayed_and_others(
    network: nn.Module,
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable weights of linears and convolutions, and all other trainable parameters."""
    weights = {id(m.weight) for m in network.modules() if isinstance(m, _DECAYED)}
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trained if id(parameter) in weights]
    return decayed, [parameter for parameter in trained if id(parameter) not in weights]


def _aligned_size(parameter: Tensor) -> int:
    return -(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT


def _move(parameters: Sequence[nn.Parameter], *, weights: Tensor, gradient: Tensor) -> None:
    offset = 0
    for parameter in parameters:
        stride = torch.empty_like(parameter).stride()  # dense, in the parameter's memory format
        view = weights.as_strided(parameter.shape, stride, offset)
        view.copy_(parameter.detach())
        parameter.data = view
        parameter.grad = gradient.as_strided(parameter.shape, stride, offset)
        offset += _aligned_size(parameter)
