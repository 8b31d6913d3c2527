"""What holds for every backend."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archbench.measure.calibration import BACKENDS
from archbench.records.measurement import Conditions


class Seen(nn.Module):
    """Writes down how it was run."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.seen: list[tuple[bool, bool, torch.dtype]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append((self.training, torch.is_inference_mode_enabled(), images.dtype))
        output: Tensor = self.layer(images)
        return output


@pytest.mark.parametrize("name", BACKENDS.names)
def test_one_call_is_one_forward_pass(name: str) -> None:
    network, example = nn.Linear(4, 2).eval(), torch.randn(3, 4)
    forward = BACKENDS.load(name).prepare(network, example, conditions=Conditions(backend=name))
    assert torch.allclose(torch.as_tensor(forward()), network(example), atol=1e-5)


@pytest.mark.parametrize("name", BACKENDS.names)
def test_the_network_stays_in_training_mode(name: str) -> None:
    network = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))
    conditions = Conditions(backend=name)
    BACKENDS.load(name).prepare(network, torch.randn(3, 4), conditions=conditions)()
    assert network.training
    assert int(network[1].num_batches_tracked) == 0


def test_eager_runs_in_inference_mode_and_precision() -> None:
    network = Seen().eval()
    backend = BACKENDS.load("eager")
    backend.prepare(network, torch.zeros(1, 4), conditions=Conditions())()
    assert network.seen == [(False, True, torch.float32)]
    bf16 = Conditions(precision="bf16")
    forward = backend.prepare(network, torch.zeros(1, 4), conditions=bf16)
    assert forward().dtype == torch.bfloat16
    assert network.layer.weight.dtype == torch.float32


def test_eager_runs_a_ready_network_without_a_copy() -> None:
    network = Seen().eval()
    BACKENDS.load("eager").prepare(network, torch.zeros(1, 4), conditions=Conditions())()
    assert len(network.seen) == 1
