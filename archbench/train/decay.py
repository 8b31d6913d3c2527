"""Which parameters does the weight decay of a recipe spare?"""

from collections.abc import Callable, Mapping, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from archbench.models.attention import AttentionBias

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)

NO_DECAY: Mapping[str, Callable[[nn.Module, str, nn.Parameter], bool]] = {
    "1d": lambda module, name, parameter: parameter.ndim <= 1,
    "norm": lambda module, name, parameter: isinstance(module, _NORMS),
    "bias": lambda module, name, parameter: name == "bias",
    "attention_bias": lambda module, name, parameter: isinstance(module, AttentionBias),
    "class_token": lambda module, name, parameter: name == "class_token",
    "position": lambda module, name, parameter: name in {"position", "layer_position"},
}
"""Kinds of parameters: whether one is of it, by its module, its name in this and itself."""


def decay_groups(
    network: nn.Module, *, no_decay: Sequence[str]
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters that decay, and those of the kinds that do not, in their order."""
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    seen: set[int] = set()
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            is_spared = any(NO_DECAY[kind](module, name, parameter) for kind in no_decay)
            (others if is_spared else decayed).append(parameter)
    return decayed, others
