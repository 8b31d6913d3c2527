"""Outputs of convolutions, linears and attention products, of one image."""

from archbench.study.objective import Objective

OBJECTIVE = Objective(
    name="activations",
    label="activations",
    source="arithmetic",
    description="outputs of convolutions, linears and attention products, one image",
    is_whole=True,
    shown_in="M activations",
    scale=1e6,
    digits=2,
    rank=4,
)
