"""How many multiply-accumulates and activations does a built network cost, operator by operator?

One multiply-accumulate counts 1, as in the papers of CvT, LeViT and DeiT; what is counted are
convolutions, linears and matrix products, without their bias. Normalisation, pooling, resizing,
softmax and everything elementwise count 0. Activations are the outputs of convolutions and
linears and of both attention products, so a fused attention also counts the weights that it never
writes.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archbench.errors import UncountedOperatorError
from archbench.exactness import evaluating, tensors_of

if TYPE_CHECKING:
    from fvcore.nn.jit_analysis import JitModelAnalysis

_Value = Any  # a node of the traced graph; torch gives its type no public name
_Values = Sequence[_Value]
_Counts = Counter[tuple[str, str]]
_Handle = Callable[[_Values, _Values], _Counts]


@dataclass(frozen=True, kw_only=True)
class OperatorCount:
    """What one forward pass in eval mode costs, for the batch of the example.

    Shared parameters count once. Operators are named as ``conv`` and ``linear``; the MACs of a
    module are with those of its children, and ``""`` is the network.
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

    Raises:
        UncountedOperatorError: The network uses an operator of which it is not known that it
            has no matrix products; the message names the operator and the module.
    """
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UncountedOperatorError(
                "a scripted module hides its operators",
                place=name or type(network).__name__,
                help="count the module from which it was scripted",
            )
    # Its fast path hides the products of nn.MultiheadAttention in one operator.
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluating(network), torch.no_grad():
            analysis = _analysis(_Flattened(network), example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    _refuse_unknown(network, analysis=analysis)
    counts = analysis.by_module_and_operator()
    macs = {name: _part(count, "macs") for name, count in counts.items()}
    activations = _part(counts[""], "activations")
    return OperatorCount(
        macs=sum(macs[""].values()),
        activations=sum(activations.values()),
        params=sum(parameter.numel() for parameter in network.parameters()),
        by_operator=macs[""],
        by_module={_own_name(name): sum(found.values()) for name, found in macs.items() if name},
        activations_by_operator=activations,
    )


class _Flattened(nn.Module):
    """The network with whatever it returns as one tuple of tensors, which a trace can take."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_of(self.network(images)))


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
        "or add it to FREE_OPERATORS there if it holds none",
    )


def _own_name(module: str) -> str:
    """The module's name in the network that was handed in, which stands in a wrapper here."""
    return module.removeprefix("network").removeprefix(".")


def _part(count: Mapping[tuple[str, str], int], what: str) -> dict[str, int]:
    return {operator: number for (part, operator), number in count.items() if part == what}


def _counted(operator: str, *, macs: int, activations: int) -> _Counts:
    return Counter({("macs", operator): macs, ("activations", operator): activations})


def _shape(value: _Value) -> tuple[int, ...]:
    return tuple(value.type().sizes())


def _product(operator: str, *, left: int | None) -> _Handle:
    """A handle for a matrix product whose left factor is the input at place `left`.

    Each output element takes as many multiply-accumulates as the left factor is wide, however
    the batch dimensions broadcast; an outer product has no such factor and takes one.
    """

    def handle(inputs: _Values, outputs: _Values) -> _Counts:
        size = prod(_shape(outputs[0]))
        width = 1 if left is None else _shape(inputs[left])[-1]
        return _counted(operator, macs=size * width, activations=size)

    return handle


def _convolution(inputs: _Values, outputs: _Values) -> _Counts:
    images, weight, output = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
    is_transposed = inputs[6].toIValue()
    # The weight is (out, in / groups, ...) or, transposed, (in, out / groups, ...).
    positions = prod(images) if is_transposed else prod(output)
    return _counted("conv", macs=positions * prod(weight[1:]), activations=prod(output))


def _fused_attention(inputs: _Values, outputs: _Values) -> _Counts:
    """Both products in full: a mask, causal or not, only hides what was computed.

    Query heads that share a key (grouped queries) show in the output's batch dimensions.
    """
    query, key, output = _shape(inputs[0]), _shape(inputs[1]), _shape(outputs[0])
    weights = prod(output[:-1]) * key[-2]  # (..., T, S)
    macs = weights * (query[-1] + output[-1])
    name = "scaled_dot_product_attention"
    return _counted(name, macs=macs, activations=weights + prod(output))


def _einsum(inputs: _Values, outputs: _Values) -> _Counts:
    """The contractions into which torch takes it apart, pair by pair in the order it recorded.

    A pair that sums over nothing is an elementwise or outer product and costs nothing, like any
    multiplication of two tensors.
    """
    from torch.utils.flop_counter import FlopCounterMode  # takes 0.2 s

    factors = [torch.empty(_shape(value), device="meta") for value in inputs[1].node().inputs()]
    path = [value.toIValue() for value in inputs[2].node().inputs()]
    einsum = torch._VF.einsum  # type: ignore[attr-defined]  # noqa: SLF001  it takes a path
    with FlopCounterMode(display=False) as counter:
        einsum(inputs[0].toIValue(), factors, path=path or None)
    macs = counter.get_total_flops() // 2
    return _counted("einsum", macs=macs, activations=prod(_shape(outputs[0])) if macs else 0)


_HANDLES: dict[str, _Handle] = {
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
    "aten::outer": _product("outer", left=None),
    "aten::einsum": _einsum,
    "aten::scaled_dot_product_attention": _fused_attention,
}


# Elementwise; reductions; norms and pools; resizing; shapes and copies.
_NAMES = """
    abs add addcdiv addcmul bitwise_and bitwise_not bitwise_or ceil celu clamp clamp_max clamp_min
    clip cos deg2rad div divide elu eq erf erfc exp exp2 expm1 floor floor_divide fmod ge gelu glu
    gt hardshrink hardsigmoid hardswish hardtanh isfinite isinf isnan le leaky_relu lerp log log10
    log1p log2 logical_and logical_not logical_or logical_xor logit logsigmoid lt maximum minimum
    mish mul multiply ne neg negative nan_to_num pow prelu reciprocal relu relu6 remainder round
    rrelu rsqrt rsub selu sigmoid sign silu sin softplus softshrink softsign sqrt square sub
    subtract tan tanh threshold true_divide trunc where masked_fill
    all amax amin any argmax argmin argsort count_nonzero cumprod cumsum log_softmax logsumexp max
    mean median min norm linalg_norm linalg_vector_norm normalize nansum prod softmax sort std
    std_mean sum topk var var_mean
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d batch_norm
    cosine_similarity group_norm instance_norm layer_norm local_response_norm max_pool1d max_pool2d
    max_pool2d_with_indices max_pool3d native_batch_norm native_group_norm native_layer_norm
    rms_norm
    grid_sampler grid_sampler_2d pixel_shuffle pixel_unshuffle upsample_bicubic2d
    upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
    upsample_trilinear3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa
    Bool Float FloatImplicit Int IntImplicit ScalarImplicit __and__ __or__ __xor__ _cast_Float
    _reshape_alias _shape_as_tensor _unsafe_view alias alpha_dropout arange as_strided atleast_1d
    atleast_2d broadcast_tensors broadcast_to bernoulli cat channel_shuffle chunk clone col2im
    complex concat concatenate constant_pad_nd contiguous copy cpu cuda detach diag diagonal dim
    dropout dropout2d embedding empty empty_like expand expand_as feature_dropout fill flatten flip
    full full_like gather hstack im2col index index_add index_copy index_fill index_put index_select
    is_floating_point item lift_fresh linspace masked_scatter mH mT masked_select meshgrid moveaxis
    movedim narrow narrow_copy new_empty new_full new_ones new_zeros nonzero nonzero_numpy normal
    numel numpy_T one_hot ones ones_like pad permute rand rand_like randint randn randn_like ravel
    reflection_pad1d reflection_pad2d repeat repeat_interleave replication_pad1d replication_pad2d
    reshape reshape_as resolve_conj resolve_neg roll rot90 scalar_tensor scatter scatter_add select
    select_scatter size slice slice_scatter split split_with_sizes squeeze stack swapaxes swapdims t
    tensor tensor_split tile to transpose tril tril_indices triu triu_indices type_as unbind
    unflatten unfold uniform unsafe_chunk unsafe_split unsqueeze view view_as view_as_complex
    view_as_real vstack zero zeros zeros_like
"""

FREE_OPERATORS = [f"aten::{name}{in_place}" for name in _NAMES.split() for in_place in ("", "_")]
