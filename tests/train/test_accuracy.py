from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archbench.data import Split
from archbench.errors import UsageError
from archbench.train.loop import accuracy
from tests.train.tiny import tiny_dataset, tiny_network


class _BrightestColour(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def test_accuracy_is_the_share_classified_rightly() -> None:
    labels = torch.arange(24) % 3
    images = torch.zeros(24, 3, 8, 8, dtype=torch.uint8)
    images[torch.arange(24), labels] = 200
    wrong = labels.clone()
    wrong[:6] = (wrong[:6] + 1) % 3
    assert accuracy(_BrightestColour(), Split(images, labels), batch=7) == 1.0
    assert accuracy(_BrightestColour(), Split(images, wrong), batch=7) == 0.75


def test_accuracy_leaves_the_network_as_it_came() -> None:
    network = tiny_network().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    accuracy(network, tiny_dataset().validation)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_accuracy_ignores_batch_size_and_memory_format() -> None:
    split, network = tiny_dataset().validation, tiny_network()
    assert accuracy(network, split, batch=1) == accuracy(
        network, split, batch=24, memory_format="channels_last"
    )


def test_empty_split_is_refused() -> None:
    split = tiny_dataset().validation
    with pytest.raises(UsageError, match="data: no images to take the accuracy on"):
        accuracy(tiny_network(), Split(split.images[:0], split.labels[:0]))
