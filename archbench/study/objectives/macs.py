"""Multiply-accumulates of one image."""

from archbench.study.objective import Objective

OBJECTIVE = Objective(
    name="macs",
    label="MACs",
    source="arithmetic",
    description="multiply-accumulates of one image (one = 1, not 2)",
    is_whole=True,
    shown_in="M MACs",
    scale=1e6,
    rank=2,
)
