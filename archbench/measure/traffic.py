"""How many operators does each part of a network run, and how many bytes do they move?

The rule: every operator reads each of its inputs once and writes its outputs once; views move
nothing, and neither does making an empty tensor. A fused operator counts what enters and leaves
it. So it is the form that is given which is counted, here and now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What a part runs in one pass.

    Attributes:
        operators: Those that are no views.
        weight_bytes: Read of weights and of what was made of them once and for all.
        activation_bytes: Read and written of all else.
    """

    operators: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0


def traffic(
    network: nn.Module, example: Tensor, *, parts: Mapping[str, nn.Module]
) -> dict[str, Traffic]:
    """The traffic of each part in one pass; what runs outside of all of them is under ``""``.

    Args:
        network: In evaluation.
        example: What it takes.
        parts: Modules of the network by any names, none inside another.
    """
    counter = _Counter(example)
    with torch.inference_mode(), _told(counter, parts), counter:
        network(example)
    return {
        name: Traffic(
            operators=operators, weight_bytes=weight_bytes, activation_bytes=activation_bytes
        )
        for name, (operators, weight_bytes, activation_bytes) in counter.sums.items()
    }


class _Counter(TorchDispatchMode):
    """Sees every operator; knows which tensors follow from the input."""

    def __init__(self, example: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.part = ""
        self.sums: dict[str, list[int]] = {"": [0, 0, 0]}
        # Held until the end: a freed tensor lends its identity to others.
        self.moving: dict[int, Tensor] = {id(example): example}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        inputs = _tensors((args, kwargs))
        outputs = _tensors(output)
        follows = not inputs or any(id(tensor) in self.moving for tensor in inputs)
        if follows:
            self.moving |= {id(tensor): tensor for tensor in outputs}
        if not func.is_view and "empty" not in func.__name__:
            sums = self.sums.setdefault(self.part, [0, 0, 0])
            sums[0] += 1
            for tensor in inputs:
                sums[2 if id(tensor) in self.moving else 1] += _bytes(tensor)
            sums[2] += sum(map(_bytes, outputs))
        return output


@contextmanager
def _told(counter: _Counter, parts: Mapping[str, nn.Module]) -> Iterator[None]:
    """Tells the counter which part runs."""
    handles = []
    for name, module in parts.items():

        def enter(module: nn.Module, inputs: Any, name: str = name) -> None:
            counter.part = name

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            counter.part = ""

        counter.sums[name] = [0, 0, 0]
        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
