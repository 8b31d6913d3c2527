"""One optimiser step: forward, loss, backward, clipping, AdamW."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.errors import UsageError
from archbench.train.flat import FlatParameters
from archbench.train.recipe import Recipe

Precision = Literal["fp32", "bf16"]
MemoryFormat = Literal["contiguous", "channels_last"]
Answers = Callable[[Tensor], Tensor]


class Trainer:
    """A network in training: its optimiser and how a step is computed.

    Args:
        network: Moved to the device and trained in place.
        recipe: How it is trained.
        width: Channels of its widest stage, for the learning rate.
        num_classes: Logits that are expected.
        precision: ``bf16`` runs the forward pass under autocast; weights stay fp32.
        memory_format: Of the images and the convolutions' weights.
        device: Where it is trained.
        answers: Gives a teacher's classes (B,) of images (B, 3, H, W); None without a teacher.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        recipe: Recipe,
        width: int,
        num_classes: int,
        precision: Precision,
        memory_format: MemoryFormat,
        device: torch.device,
        answers: Answers | None = None,
    ) -> None:
        self._memory_format = torch_memory_format(memory_format)
        self.network = network.to(device).to(memory_format=self._memory_format)
        self._flat = FlatParameters(self.network)
        self._optimizer = torch.optim.AdamW(
            [
                {"params": [self._flat.decayed], "weight_decay": recipe.weight_decay},
                {"params": [self._flat.others], "weight_decay": 0.0},
            ],
            fused=True,
        )
        self._recipe = recipe
        self._rate = recipe.learning_rate(width)
        self._num_classes = num_classes
        self._precision = precision
        self._device = device
        self._answers = answers

    def step(self, images: Tensor, labels: Tensor, *, share: float) -> Tensor:
        """Takes one step and gives loss and gradient norm before clipping, on the device.

        Args:
            images: (B, 3, H, W), normalised.
            labels: (B,).
            share: Share of the peak learning rate.

        Raises:
            UsageError: The network gives another number of logits than there are classes.
        """
        images = images.contiguous(memory_format=self._memory_format)
        with torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=self._precision == "bf16"
        ):
            outputs = self.network(images)
        taught = self._answers(images) if self._answers else None
        loss = self._loss(outputs, labels, taught)
        self._flat.gradient.zero_()
        loss.backward()
        norm = self._flat.clip(self._recipe.clip)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * share
        self._optimizer.step()
        return torch.stack([loss.detach(), norm])

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next step depends on, by name."""
        moments = {
            f"optimizer/{index}/{key}": value
            for index, values in self._optimizer.state_dict()["state"].items()
            for key, value in values.items()
        }
        return {f"network/{k}": v for k, v in self.network.state_dict().items()} | moments

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what ``state`` gave, in a network of the same signature."""
        weights: dict[str, Tensor] = {}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "network":
                weights[rest] = tensor
            else:
                index, _, key = rest.partition("/")
                moments.setdefault(int(index), {})[key] = tensor
        self.network.load_state_dict(weights)
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def signature(self) -> str:
        """Sixteen hexadecimal digits of the names, shapes and types of the network's tensors."""
        lines = [
            f"{name} {tensor.dtype} {list(tensor.shape)}"
            for name, tensor in self.network.state_dict().items()
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def _loss(
        self, outputs: Tensor | tuple[Tensor, ...], labels: Tensor, taught: Tensor | None
    ) -> Tensor:
        """The mean over the classifiers; with a teacher, hard distillation.

        The first classifier then learns the label and the last the teacher's answer, which is not
        smoothed; a single classifier learns both. Touvron et al. 2021 (arXiv:2012.12877), sec. 4,
        equation 3.
        """
        heads = (outputs,) if isinstance(outputs, Tensor) else outputs
        if heads[0].shape[1] != self._num_classes:
            raise UsageError(
                f"{heads[0].shape[1]} logits for {self._num_classes} classes",
                place="network",
                help=f"build it with num_classes {self._num_classes}",
            )
        smoothing = self._recipe.label_smoothing
        if taught is not None:
            share = self._recipe.teacher_share
            own = F.cross_entropy(heads[0].float(), labels, label_smoothing=smoothing)
            return (1 - share) * own + share * F.cross_entropy(heads[-1].float(), taught)
        losses = [
            F.cross_entropy(logits.float(), labels, label_smoothing=smoothing) for logits in heads
        ]
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


def torch_memory_format(name: MemoryFormat) -> torch.memory_format:
    """PyTorch's object for a memory format of a plan."""
    return torch.channels_last if name == "channels_last" else torch.contiguous_format
