"""Which kernel runs a layer fastest where it stands, packed ones for oneDNN among them?

PyTorch hands a linear layer to MKL, which lays out the weights anew in every call. oneDNN can do
so once, and applies the activation behind the layer while the result is still in the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from archbench.errors import UsageError

MARGIN = 0.02
MAX_ROUNDS = 12
KEPT_ROUNDS = 2 * MAX_ROUNDS
"""Of a race whose winners stay for the processes to come."""

Times = dict[str, list[float]]
"""Seconds of every run, by form."""

# What oneDNN applies behind a layer: its name there, and the algorithm.
_FUSED = {
    nn.GELU: ("gelu", "none"),
    nn.Hardswish: ("hardswish", ""),
    nn.ReLU: ("relu", ""),
    nn.SiLU: ("swish", ""),
}


def can_pack(example: Tensor) -> bool:
    """Whether layers that run on tensors like this one can be packed on this machine."""
    if not example.is_cpu or not torch.backends.mkldnn.is_available():
        return False
    if example.dtype == torch.bfloat16:
        return bool(_operator("_is_mkldnn_bf16_supported")())
    return example.dtype == torch.float32


def can_fuse(activation: nn.Module | None) -> bool:
    """Whether oneDNN can apply an activation behind a layer, to the same values."""
    is_exact = not isinstance(activation, nn.GELU) or activation.approximate == "none"
    return type(activation) in _FUSED and is_exact


class Packed(nn.Module):
    """A linear layer or convolution, and an activation behind it that ``can_fuse``.

    Its weights are packed: fixed to their precision, to this machine, and to inputs of one size;
    others are computed as well. The padding of a convolution is given in numbers.
    """

    def __init__(
        self, layer: nn.Linear | nn.Conv2d, *, activation: nn.Module | None, size: torch.Size
    ) -> None:
        super().__init__()
        weight, bias = layer.weight.detach(), layer.bias
        self.geometry: tuple[Any, ...] = ()
        if isinstance(layer, nn.Linear):
            self.weight = _operator("_reorder_linear_weight")(weight, size[:-1].numel())
            self._run = _operator("_linear_pointwise").default
        else:
            sides = (layer.padding, layer.stride, layer.dilation)
            self.geometry = (*map(list, sides), layer.groups)
            reorder = _operator("_reorder_convolution_weight")
            self.weight = reorder(weight, *self.geometry, list(size))
            self._run = _operator("_convolution_pointwise").default
        self.bias = None if bias is None else bias.detach().clone()
        self.attribute, self.algorithm = _FUSED[type(activation)] if activation else ("none", "")

    def forward(self, x: Tensor) -> Tensor:
        fused: tuple[Any, ...] = (self.attribute, [], self.algorithm)
        return self._run(x, self.weight, self.bias, *self.geometry, *fused)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> NoReturn:
        raise UsageError(
            "a packed network cannot change its precision or device",
            help="deploy the network again, after it was moved",
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Packed:
        """Of its own weights: copies of a network shall differ in memory as other layers do."""
        copied = type(self).__new__(type(self))
        nn.Module.__init__(copied)
        for name, value in self.__dict__.items():
            if name not in copied.__dict__:
                setattr(copied, name, value.clone() if isinstance(value, Tensor) else value)
        return copied.train(self.training)


def _operator(name: str) -> Any:
    """An operator that PyTorch registers for its compiler."""
    return getattr(torch.ops.mkldnn, name)


class Candidates(nn.Module):
    """Several forms of one layer, of which one runs and is timed.

    Each is timed inside the network that it belongs to, with the caches as they are there: alone
    and repeated, a layer finds its weights in the cache and packing seems to gain nothing.
    Equal layers share the ``seconds`` where times go, so that they decide together.
    """

    def __init__(
        self, forms: dict[str, nn.Module], *, clock: Callable[[], float], seconds: Times
    ) -> None:
        super().__init__()
        self.forms = nn.ModuleDict(forms)
        self.names = tuple(forms)
        self.current = self.names[0]
        self.clock = clock
        self.seconds = seconds
        self.seconds.update({name: [] for name in forms})

    def forward(self, *inputs: Tensor | None) -> Tensor:
        start = self.clock()
        output: Tensor = self.forms[self.current](*inputs)
        self.seconds[self.current].append(self.clock() - start)
        return output

    def quartiles(self) -> dict[str, float]:
        """The lower quartile of the seconds of each form; empty where there is only one."""
        if len(self.names) == 1:
            return {}
        return {name: sorted(times)[len(times) // 4] for name, times in self.seconds.items()}

    def fastest(self) -> str:
        """The name of the form to keep: the first, where none is faster by more than 2 %."""
        first, quartiles = self.names[0], self.quartiles()
        best = min(quartiles, key=quartiles.__getitem__, default=first)
        is_clear = best != first and quartiles[best] < quartiles[first] * (1 - MARGIN)
        return best if is_clear else first


def race(
    network: nn.Module,
    example: Tensor,
    *,
    candidates: Sequence[Candidates],
    budget_s: float,
    rounds: int = MAX_ROUNDS,
) -> None:
    """Runs the network with every form of every candidate, in turn, until the time is up.

    At least two rounds behind one that warms up, at most ``rounds``.
    """
    candidates = [candidate for candidate in candidates if len(candidate.names) > 1]
    if not candidates:
        return
    num_forms = max(len(candidate.names) for candidate in candidates)
    start = time.perf_counter()
    for round_ in range(rounds + 1):
        for form in range(num_forms):
            for candidate in candidates:
                candidate.current = candidate.names[form % len(candidate.names)]
            network(example)
        if round_ == 0:
            for candidate in candidates:
                candidate.seconds.update({name: [] for name in candidate.names})
        elif round_ >= 2 and time.perf_counter() - start > budget_s:
            return


def clock_of(example: Tensor) -> Callable[[], float]:
    """CPU time of this thread where it does all the work, else the time that passes."""
    if example.is_cuda:

        def synchronised() -> float:
            torch.cuda.synchronize(example.device)
            return time.perf_counter()

        return synchronised
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
