"""Which share of a split does a network classify rightly."""

from __future__ import annotations

import torch
from torch import nn

from archbench.data import Split, normalise
from archbench.errors import UsageError
from archbench.train.step import MemoryFormat, torch_memory_format


def accuracy(
    network: nn.Module,
    split: Split,
    *,
    batch: int = 128,
    device: str | torch.device = "cpu",
    memory_format: MemoryFormat = "contiguous",
) -> float:
    """The share of images whose largest logit is that of their label, 0 to 1.

    The network is evaluated in fp32 and left in the mode it came in.

    Raises:
        UsageError: The split is empty.
    """
    if len(split) == 0:
        raise UsageError("no images to take the accuracy on", place="data")
    was_training = network.training
    network.eval()
    try:
        num_right = _num_right(
            network, split, batch=batch, device=torch.device(device), memory_format=memory_format
        )
    finally:
        network.train(was_training)
    return num_right / len(split)


@torch.inference_mode()
def _num_right(
    network: nn.Module,
    split: Split,
    *,
    batch: int,
    device: torch.device,
    memory_format: MemoryFormat,
) -> int:
    total = torch.zeros((), dtype=torch.int64, device=device)
    for images, labels in zip(split.images.split(batch), split.labels.split(batch), strict=True):
        inputs = normalise(images.to(device))
        logits = network(inputs.contiguous(memory_format=torch_memory_format(memory_format)))
        total += (logits.argmax(dim=1) == labels.to(device)).sum()
    return int(total)
