"""A network as PyTorch's exported program, from which the files of other runtimes are made."""

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
