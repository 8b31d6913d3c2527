"""The form of a network that ships: norms folded, biases gathered, the same function."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from archbench.errors import ArchbenchError

TOLERANCE = 1e-4


class InexactError(ArchbenchError):
    """A deployed form that does not compute what the network computes."""

    exit_code = 70


def deploy(network: nn.Module, example: Tensor | None = None) -> nn.Module:
    """A copy for evaluation: batch norms folded into their neighbours, attention biases gathered.

    Folding is done in float64. The network itself is left as it is, so that loading other weights
    into it later cannot make the copy stale: deploy again.

    Args:
        network: Any network; what has no deployed form stays as it is.
        example: Images (B, 3, H, W) on which both forms are compared.

    Raises:
        InexactError: The forms differ by more than 1e-4 of the largest output.
    """
    deployed = _deployed(copy.deepcopy(network).eval()).requires_grad_(requires_grad=False)
    if example is not None and (error := deployment_error(network, deployed, example)) > TOLERANCE:
        raise InexactError(
            f"the deployed form differs from the network by {error:.1e} of the largest output",
            help="report this network; it is a fault in the folding",
        )
    return deployed


def deployment_error(network: nn.Module, deployed: nn.Module, example: Tensor) -> float:
    """Largest difference of the outputs in evaluation, over the largest output."""
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            expected, got = network(example), deployed(example)
    finally:
        network.train(was_training)
    scale = expected.abs().max().clamp_min(torch.finfo(expected.dtype).tiny)
    return float((expected - got).abs().max() / scale)


def _deployed(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, _deployed(child))
    make = getattr(module, "deployed", None)
    return make().eval() if callable(make) else module
