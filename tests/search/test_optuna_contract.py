"""Optuna's own contract for samplers, held by ``CostAwareSampler`` as it is by default.

Its fourth class is for samplers that refuse several objectives, which is what this one is for.
"""

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)

from archbench import CostAwareSampler


class TestContract(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return CostAwareSampler
