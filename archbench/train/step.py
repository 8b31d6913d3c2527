"""One optimiser step: forward, loss, backward, clipping, AdamW."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.errors import UsageError
from archbench.train.recipe import Recipe

Precision = Literal["fp32", "bf16"]
MemoryFormat = Literal["contiguous", "channels_last"]

_DECAYED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


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
    ) -> None:
        self._memory_format = torch_memory_format(memory_format)
        self.network = network.to(device).to(memory_format=self._memory_format)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(network, weight_decay=recipe.weight_decay),
            lr=recipe.learning_rate(width),
            fused=True,
        )
        self._parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._recipe = recipe
        self._rate = recipe.learning_rate(width)
        self._num_classes = num_classes
        self._precision = precision
        self._device = device

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
        loss = self._loss(outputs, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, self._recipe.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate * share
        self.optimizer.step()
        return torch.stack([loss.detach(), norm])

    def state(self) -> dict[str, Tensor]:
        """All tensors that the next step depends on, by name."""
        moments = {
            f"optimizer/{index}/{key}": value
            for index, values in self.optimizer.state_dict()["state"].items()
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
                like = self._parameters[int(index)]
                moments.setdefault(int(index), {})[key] = _laid_out(tensor, like=like)
        self.network.load_state_dict(weights)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})

    def signature(self) -> str:
        """Sixteen hexadecimal digits of the names, shapes and types of the network's tensors."""
        lines = [
            f"{name} {tensor.dtype} {list(tensor.shape)}"
            for name, tensor in self.network.state_dict().items()
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def _loss(self, outputs: Tensor | tuple[Tensor, ...], labels: Tensor) -> Tensor:
        heads = (outputs,) if isinstance(outputs, Tensor) else outputs
        if heads[0].shape[1] != self._num_classes:
            raise UsageError(
                f"{heads[0].shape[1]} logits for {self._num_classes} classes",
                place="network",
                help=f"build it with num_classes {self._num_classes}",
            )
        losses = [
            F.cross_entropy(logits.float(), labels, label_smoothing=self._recipe.label_smoothing)
            for logits in heads
        ]
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


def _laid_out(tensor: Tensor, *, like: Tensor) -> Tensor:
    """The moments of a parameter in its memory format, which the fused step takes for granted."""
    if tensor.shape != like.shape:
        return tensor
    return torch.empty_like(like, dtype=tensor.dtype, requires_grad=False).copy_(tensor)


def parameter_groups(network: nn.Module, *, weight_decay: float) -> list[dict[str, object]]:
    """Two groups for an optimiser: the weights of linears and convolutions, and all others.

    What multiplies a feature is decayed; what is added to it (biases, position tables, class
    tokens) or scales it (norms) is not.

    Raises:
        UsageError: The network has no parameters to train.
    """
    decayed = {
        id(module.weight): module.weight
        for module in network.modules()
        if isinstance(module, _DECAYED) and module.weight.requires_grad
    }
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in decayed]
    groups: list[dict[str, object]] = [
        {"params": list(decayed.values()), "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise UsageError("the network has no parameters to train", place="network")
    return groups


def torch_memory_format(name: MemoryFormat) -> torch.memory_format:
    """PyTorch's object for a memory format of a plan."""
    return torch.channels_last if name == "channels_last" else torch.contiguous_format
