"""Which machine and software does this process measure on, its GPU included."""

from __future__ import annotations

from archbench.measure.device import gpu_name
from archbench.study.environment import Environment, capture


def capture_environment() -> Environment:
    """The environment of this process, with the first GPU's name where there is one."""
    return capture(gpu=gpu_name())
