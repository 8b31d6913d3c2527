"""Operators and bytes, against what a person counts by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archbench.measure.traffic import Traffic, traffic


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x)).transpose(0, 1)  # a view
        return y + 1


def test_each_operator_reads_its_inputs_and_writes_its_outputs_once() -> None:
    network = Small().eval()
    parts = {"a": network.first, "b": network.second}
    found = traffic(network, torch.zeros(2, 4), parts=parts)
    assert found["a"] == Traffic(
        operators=1, weight_bytes=4 * (4 * 8 + 8), activation_bytes=4 * (2 * 4 + 2 * 8)
    )
    assert found["b"] == Traffic(operators=1, activation_bytes=4 * (2 * 8 + 2 * 8))
    assert found[""] == Traffic(operators=1, activation_bytes=4 * (2 * 8 + 2 * 8))


def test_no_hook_stays() -> None:
    network = Small().eval()
    traffic(network, torch.zeros(2, 4), parts={"a": network.first})
    assert not network.first._forward_hooks
