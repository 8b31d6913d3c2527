"""torch.compile with Inductor, for one shape."""

from typing import Any

import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable, computed_precision, placed
from archbench.study.measurement import Conditions

PRECISIONS = {"cpu": ("fp32", "bf16", "fp16"), "cuda": ("fp32", "bf16", "fp16")}
COMPILES_ON = ("cpu",)
FORM = "portable"


def prepare(network: nn.Module, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Compiled and run once without gradients, the mode in which every pass runs.

    A network that is compiled without gradients and run in inference mode is compiled again, and
    the first pass is that. How often it is compiled is counted for each network; a compilation
    after the first pass is a complaint.
    """
    from torch._dynamo.utils import counters
    from torch._inductor.compile_fx import compile_fx

    ready, images = placed(network, example, conditions=conditions)
    graphs: list[int] = []

    def inductor(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        graphs.append(len(inputs))
        return compile_fx(graph, inputs)

    def forward(images: Tensor) -> object:
        return ready(images)

    # Dynamo keeps what it compiled by code object, eight networks for each; then it runs eagerly.
    forward.__code__ = forward.__code__.replace()
    compiled = torch.compile(forward, backend=inductor, dynamic=False)

    def run() -> object:
        with torch.no_grad():
            return compiled(images)

    hits = counters["inductor"]["fxgraph_cache_hit"]
    run()
    number = len(graphs)

    def complaint() -> str:
        return "it was compiled again while it was timed" if len(graphs) > number else ""

    is_cached = counters["inductor"]["fxgraph_cache_hit"] > hits
    return Runnable(
        run=run,
        precision=computed_precision(conditions),
        details={"graphs": number, "compiled_before": "yes" if is_cached else "no"},
        complaint=complaint,
    )
