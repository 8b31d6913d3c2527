"""Is what another form of a network gives the network's own output, but for rounding?"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from archbench.errors import FOREIGN_FAULTS

ROUNDING = 10.0
"""Times what rounding does to the network itself that a form of it may be off the fp64 output."""
PASSES = 8  # that tell what rounding does to a network


class Standard:
    """What the outputs of a network's other forms are held against: its own on the example.

    The network is in evaluation, and in the end in the mode it was in.
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self.network = network
        self.example = example
        self.output = _evaluated(network, example)

    def error(self, output: object) -> float:
        """Largest difference of an output, of all its tensors, over the network's largest one."""
        return _error(self.output, _flat(output))

    def fault(self, output: object) -> str:
        """Why an output is off by more than rounding explains; empty where it is not.

        Where weights amplify what is rounded, two forms of one network differ by as much as each
        of them is off the exact output, so neither can be held against the other alone.
        """
        try:
            exact = self._exact
        except FOREIGN_FAULTS:
            return "the network does not compute in fp64, which would tell why"
        error, rounding = _error(exact, _flat(output)), self._rounding
        if error <= ROUNDING * rounding:
            return ""
        return f"it is off the fp64 output by {error:.1e}, the network by {rounding:.1e}"

    @cached_property
    def _exact(self) -> Tensor:
        return _evaluated(copy.deepcopy(self.network).double(), self.example.double())

    @cached_property
    def _rounding(self) -> float:
        """How far rounding takes the network off its fp64 output, at most.

        Of several passes, on images that are rounded otherwise: of levit_128s with weights so large
        that it amplifies what is rounded, one pass may be a thousand times nearer than the next.
        """
        generator = torch.Generator().manual_seed(0)
        outputs = [self.output]
        for _ in range(PASSES):
            steps = torch.randint(-1, 2, self.example.shape, generator=generator)
            steps = steps.to(self.example) * torch.finfo(self.example.dtype).eps
            outputs.append(_evaluated(self.network, self.example * (1 + steps)))
        return max(_error(self._exact, output) for output in outputs)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """The network in evaluation; afterwards each of its modules is in the mode it was in."""
    before = {module: module.training for module in network.modules()}
    try:
        yield network.eval()
    finally:
        for module, training in before.items():
            module.training = training


def tensors_of(tree: object) -> list[Tensor]:
    """The tensors of an output or of arguments, however they are nested."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _evaluated(network: nn.Module, example: Tensor) -> Tensor:
    with evaluating(network), torch.no_grad():
        return _flat(network(example))


def _flat(output: object) -> Tensor:
    """All values of an output, in fp64 on the CPU."""
    return torch.cat([one.detach().flatten().cpu().double() for one in tensors_of(output)])


def _error(expected: Tensor, got: Tensor) -> float:
    scale = expected.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    # A comparison with what is not a number must not pass as a small one.
    error = (expected - got).abs().max() / scale
    return float(error.nan_to_num(nan=math.inf, posinf=math.inf))
