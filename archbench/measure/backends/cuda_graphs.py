"""PyTorch's eager operators on a GPU, recorded once and replayed without the CPU."""

import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable, computed_precision, placed
from archbench.study.measurement import Conditions

PRECISIONS = {"cuda": ("fp32", "bf16", "fp16")}
FORM = "deployed"
SERVES = True

_WARM_UP = 3  # passes before recording, as PyTorch's notes on CUDA graphs ask for


def prepare(network: nn.Module, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Recorded on a stream of its own, from images that stay where they are.

    Raises:
        RuntimeError: The network does what cannot be recorded, such as waiting for the device.
    """
    ready, images = placed(network, example, conditions=conditions)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), torch.inference_mode():
        for _ in range(_WARM_UP):
            ready(images)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph):
        outputs = ready(images)

    # The graph knows addresses only: network and images must live as long as this function.
    def run(*, kept: tuple[nn.Module, Tensor] = (ready, images)) -> object:
        graph.replay()
        return outputs

    return Runnable(run=run, precision=computed_precision(conditions))
