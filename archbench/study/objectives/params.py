"""Learnt parameters."""

from archbench.study.objective import Objective

OBJECTIVE = Objective(
    name="params",
    label="parameters",
    source="arithmetic",
    description="learnt parameters",
    is_whole=True,
    shown_in="M parameters",
    scale=1e6,
    digits=2,
    rank=3,
)
