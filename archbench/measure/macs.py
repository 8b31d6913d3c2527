"""How many multiply-accumulates and activations does a built network cost, operator by operator.

One multiply-accumulate counts 1, as in the papers of CvT, LeViT and DeiT; what is counted are
convolutions, linears and matrix products, without their bias. Normalisation, pooling, resizing,
softmax and everything elementwise count 0. Activations are the outputs of convolutions and
linears and of both attention products, so a fused attention also counts the weights that it never
writes.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from archbench.errors import UncountedOperatorError
from archbench.measure.einsum import einsum_macs
from archbench.measure.free_operators import FREE_OPERATORS

if TYPE_CHECKING:
    from fvcore.nn.jit_analysis import JitModelAnalysis

# A node of the traced graph; torch gives its type no public name.
Value = Any
Shape = tuple[int, ...]
Handle = Callable[[Sequence[Value], Sequence[Value]], "Counter[tuple[str, str]]"]


@dataclass(frozen=True, kw_only=True)
class OperatorCount:
    """What one forward pass in eval mode costs, for the batch of the example.

    Attributes:
        macs: Multiply-accumulates (one = 1).
        activations: Outputs of convolutions, linears and both attention products.
        params: Learnt parameters, shared ones once.
        by_operator: Operator name to MACs, for example ``conv`` and ``linear``.
        by_module: Module name to MACs, its children's included; ``""`` is the network.
        activations_by_operator: Operator name to activations.
    """

    macs: int
    activations: int
    params: int
    by_operator: Mapping[str, int]
    by_module: Mapping[str, int]
    activations_by_operator: Mapping[str, int]


def count_operators(network: nn.Module, example: Tensor) -> OperatorCount:
    """The cost of one forward pass of any network, from a trace of its operators.

    It takes one forward pass on the network's own device, in eval mode. A trace on the meta
    device would be free, but torch cannot make one: while it traces, sizes are tensors, which
    its Python shape functions refuse.

    Args:
        network: Its outputs may be tensors, tuples or dictionaries of them.
        example: The input; its batch is counted.

    Raises:
        UncountedOperatorError: The network uses an operator of which it is not known that it
            has no matrix products; the message names the operator and the module.
    """
    _refuse_scripted(network)
    with _counting(network):
        analysis = _analysis(_Flattened(network), example)
        counts = analysis.by_module_and_operator()
    _refuse_unknown(network, analysis=analysis)
    total = counts[""]
    return OperatorCount(
        macs=sum(number for (what, _), number in total.items() if what == "macs"),
        activations=sum(number for (what, _), number in total.items() if what == "activations"),
        params=sum(parameter.numel() for parameter in network.parameters()),
        by_operator=_part(total, "macs"),
        by_module={
            _own_name(name): sum(_part(count, "macs").values())
            for name, count in counts.items()
            if name
        },
        activations_by_operator=_part(total, "activations"),
    )


class _Flattened(nn.Module):
    """The network with whatever it returns as one tuple of tensors, which a trace can take."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The tensors of the network's output, in the order in which they stand there."""
        leaves = pytree.tree_leaves(self.network(images))
        return tuple(leaf for leaf in leaves if isinstance(leaf, Tensor))


@contextmanager
def _counting(network: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; afterwards the network is as it was.

    The fast path of nn.MultiheadAttention is off: it hides its products in one operator.
    """
    training = [module for module in network.modules() if module.training]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    network.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module in training:
            module.training = True


def _analysis(network: nn.Module, example: Tensor) -> JitModelAnalysis:
    """The walk of fvcore over a trace, with our handles only: none of its own counts."""
    with warnings.catch_warnings():
        # fvcore scripts a loss when it is imported, which torch deprecates: our users cannot act.
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is (deprecated|not supp)")
        from fvcore.nn.jit_analysis import JitModelAnalysis

        analysis = JitModelAnalysis(network, (example,))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.set_op_handle(**_HANDLES, **dict.fromkeys(FREE_OPERATORS))
        analysis.total()
    return analysis


def _refuse_unknown(network: nn.Module, *, analysis: JitModelAnalysis) -> None:
    if not (unknown := analysis.unsupported_ops()):
        return
    operator = min(unknown)
    modules = [name for name in analysis.by_module() if operator in analysis.unsupported_ops(name)]
    innermost = max(modules, key=lambda name: name.count("."))
    raise UncountedOperatorError(
        f"the operator {operator} may hold matrix products and it is not known how many",
        place=_own_name(innermost) or type(network).__name__,
        help="give it a handle in archbench/measure/macs.py, "
        "or add it to archbench/measure/free_operators.py if it holds none",
    )


def _refuse_scripted(network: nn.Module) -> None:
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UncountedOperatorError(
                "a scripted module hides its operators",
                place=name or type(network).__name__,
                help="count the module from which it was scripted",
            )


def _own_name(module: str) -> str:
    """The module's name in the network that was handed in, which stands in a wrapper here."""
    return module.removeprefix("network").removeprefix(".")


def _part(count: Mapping[tuple[str, str], int], what: str) -> dict[str, int]:
    return {operator: number for (part, operator), number in count.items() if part == what}


def _counted(operator: str, *, macs: int, activations: int) -> Counter[tuple[str, str]]:
    return Counter({("macs", operator): macs, ("activations", operator): activations})


def _shape(value: Value) -> Shape:
    return tuple(value.type().sizes())


def _product(operator: str, *, left: int) -> Handle:
    """A handle for a matrix product whose left factor is the input at place `left`.

    Each output element takes as many multiply-accumulates as the left factor is wide, however
    the batch dimensions broadcast.
    """

    def handle(inputs: Sequence[Value], outputs: Sequence[Value]) -> Counter[tuple[str, str]]:
        size = prod(_shape(outputs[0]))
        return _counted(operator, macs=size * _shape(inputs[left])[-1], activations=size)

    return handle


def _outer(inputs: Sequence[Value], outputs: Sequence[Value]) -> Counter[tuple[str, str]]:
    size = prod(_shape(outputs[0]))
    return _counted("outer", macs=size, activations=size)


def _convolution(inputs: Sequence[Value], outputs: Sequence[Value]) -> Counter[tuple[str, str]]:
    images, weight, output = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
    is_transposed = inputs[6].toIValue()
    # The weight is (out, in / groups, ...) or, transposed, (in, out / groups, ...).
    positions = prod(images) if is_transposed else prod(output)
    return _counted("conv", macs=positions * prod(weight[1:]), activations=prod(output))


def _fused_attention(inputs: Sequence[Value], outputs: Sequence[Value]) -> Counter[tuple[str, str]]:
    """Both products in full: a mask, causal or not, only hides what was computed.

    Query heads that share a key (grouped queries) show in the output's batch dimensions.
    """
    query, key, output = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
    weights = prod(output[:-1]) * key[-2]  # (..., T, S)
    macs = weights * (query[-1] + output[-1])
    name = "scaled_dot_product_attention"
    return _counted(name, macs=macs, activations=weights + prod(output))


def _einsum(inputs: Sequence[Value], outputs: Sequence[Value]) -> Counter[tuple[str, str]]:
    shapes = [_shape(value) for value in inputs[1].node().inputs()]
    path = [value.toIValue() for value in inputs[2].node().inputs()] if len(inputs) > 2 else None
    macs = einsum_macs(inputs[0].toIValue(), shapes, path=path)
    return _counted("einsum", macs=macs, activations=prod(_shape(outputs[0])) if macs else 0)


_HANDLES: dict[str, Handle] = {
    "aten::_convolution": _convolution,
    "aten::linear": _product("linear", left=0),
    "aten::addmm": _product("linear", left=1),
    "aten::mm": _product("matmul", left=0),
    "aten::mv": _product("matmul", left=0),
    "aten::dot": _product("matmul", left=0),
    "aten::bmm": _product("matmul", left=0),
    "aten::matmul": _product("matmul", left=0),
    "aten::addmv": _product("matmul", left=1),
    "aten::baddbmm": _product("baddbmm", left=1),
    "aten::outer": _outer,
    "aten::einsum": _einsum,
    "aten::scaled_dot_product_attention": _fused_attention,
}
