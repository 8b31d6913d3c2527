"""A network as PyTorch's exported program, from which the files of other runtimes are made."""

import copy

import torch
from torch import Tensor, nn

from archbench.exactness import evaluating


def exported_program(
    network: nn.Module, example: Tensor, *, dynamic_batch: bool = False
) -> torch.export.ExportedProgram:
    """The network in evaluation, for the example's shape or for any number of such images.

    The images are in the precision and on the device of the network, which stays as it is.
    """
    shapes = None
    if dynamic_batch:
        shapes = ({0: torch.export.Dim("batch")},)
        example = torch.cat((example, example))  # a single image would be taken for a constant
    with torch.no_grad(), evaluating(network):
        return torch.export.export(network, (example,), dynamic_shapes=shapes)


class InHalf(nn.Module):
    """A copy of a network that computes in fp16, and takes and gives fp32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.half()).float()
