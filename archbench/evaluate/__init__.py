"""What does a network cost and reach: the one room that knows networks and numbers.

Heavy libraries come in with the first name that is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archbench.evaluate.comparison import Compared, compare
    from archbench.evaluate.predictor import Predictor, keep_stored, stored_predictor
    from archbench.evaluate.pretrained import fetch_weights
    from archbench.evaluate.pricing import Price, price
    from archbench.evaluate.profiled import ModelProfile, Profile, StageProfile
    from archbench.evaluate.profiling import profile
    from archbench.evaluate.proxy import (
        Proxy,
        describe,
        open_data,
        open_teacher,
        teacher_in_words,
    )
    from archbench.evaluate.target import Target, calibrated, warm_up
    from archbench.evaluate.training import train_network, trial_spec
    from archbench.measure.device import capture_environment
    from archbench.models import ArchSpec, count, published_names
    from archbench.models.network import as_spec
    from archbench.train.loop import NonFiniteLossError
    from archbench.train.plan import Plan
    from archbench.train.recipe import Recipe

__all__ = [
    "ArchSpec",
    "Compared",
    "ModelProfile",
    "NonFiniteLossError",
    "Plan",
    "Predictor",
    "Price",
    "Profile",
    "Proxy",
    "Recipe",
    "StageProfile",
    "Target",
    "as_spec",
    "calibrated",
    "capture_environment",
    "compare",
    "count",
    "describe",
    "fetch_weights",
    "keep_stored",
    "open_data",
    "open_teacher",
    "price",
    "profile",
    "published_names",
    "stored_predictor",
    "teacher_in_words",
    "train_network",
    "trial_spec",
    "warm_up",
]

_HOMES = {
    "ArchSpec": "archbench.models",
    "Compared": "archbench.evaluate.comparison",
    "ModelProfile": "archbench.evaluate.profiled",
    "NonFiniteLossError": "archbench.train.loop",
    "Plan": "archbench.train.plan",
    "Predictor": "archbench.evaluate.predictor",
    "Price": "archbench.evaluate.pricing",
    "Profile": "archbench.evaluate.profiled",
    "Proxy": "archbench.evaluate.proxy",
    "Recipe": "archbench.train.recipe",
    "StageProfile": "archbench.evaluate.profiled",
    "Target": "archbench.evaluate.target",
    "as_spec": "archbench.models.network",
    "calibrated": "archbench.evaluate.target",
    "capture_environment": "archbench.measure.device",
    "compare": "archbench.evaluate.comparison",
    "count": "archbench.models",
    "describe": "archbench.evaluate.proxy",
    "fetch_weights": "archbench.evaluate.pretrained",
    "keep_stored": "archbench.evaluate.predictor",
    "open_data": "archbench.evaluate.proxy",
    "open_teacher": "archbench.evaluate.proxy",
    "price": "archbench.evaluate.pricing",
    "profile": "archbench.evaluate.profiling",
    "published_names": "archbench.models",
    "stored_predictor": "archbench.evaluate.predictor",
    "teacher_in_words": "archbench.evaluate.proxy",
    "train_network": "archbench.evaluate.training",
    "trial_spec": "archbench.evaluate.training",
    "warm_up": "archbench.evaluate.target",
}


def __getattr__(name: str) -> object:
    """A public name, imported from the file it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
