"""Which layer runs behind which: seen on an example, in any network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archbench.models.layer import Attend


@dataclass(frozen=True)
class Flow:
    """What was seen of the layers that ran exactly once and stand in one place.

    Attributes:
        network: The one that was seen.
        places: Path of each layer.
        sizes: Shapes of what each layer took, in order; None for what is no tensor.
        pairs: A layer and another that took its very output.
    """

    network: nn.Module
    places: dict[nn.Module, str]
    sizes: dict[nn.Module, tuple[torch.Size | None, ...]]
    pairs: tuple[tuple[nn.Module, nn.Module], ...]


def observe(network: nn.Module, example: Tensor) -> Flow:
    """Runs the network once and looks at its layers."""
    runs: list[tuple[nn.Module, tuple[torch.Size | None, ...], Tensor, Any]] = []

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            sizes = tuple(x.shape if isinstance(x, Tensor) else None for x in inputs)
            runs.append((module, sizes, inputs[0], output))

    places = _single_places(network)
    handles = [module.register_forward_hook(look) for module in places]
    try:
        network(example)
    finally:
        for handle in handles:
            handle.remove()
    once = [run for run in runs if sum(run[0] is other[0] for other in runs) == 1]
    # Tensors are compared while all of them are alive: a freed one lends its identity to others.
    maker = {id(output): module for module, _, _, output in once if isinstance(output, Tensor)}
    takers: dict[nn.Module, list[nn.Module]] = {}
    for module, _, first, _ in once:
        if id(first) in maker:
            takers.setdefault(maker[id(first)], []).append(module)
    return Flow(
        network=network,
        places={module: places[module] for module, *_ in once},
        sizes={module: sizes for module, sizes, _, _ in once},
        pairs=tuple((first, then[0]) for first, then in takers.items() if len(then) == 1),
    )


def put(network: nn.Module, place: str, module: nn.Module) -> None:
    """Puts a module in a place of a network."""
    parent, _, name = place.rpartition(".")
    setattr(network.get_submodule(parent), name, module)


def _single_places(network: nn.Module) -> dict[nn.Module, str]:
    """The innermost layers, and attention, that stand in one place only."""
    found: dict[nn.Module, list[str]] = {}
    for place, module in network.named_modules(remove_duplicate=False):
        if place and (isinstance(module, Attend) or not any(True for _ in module.children())):
            found.setdefault(module, []).append(place)
    return {module: places[0] for module, places in found.items() if len(places) == 1}
