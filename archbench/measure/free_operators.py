"""Which operators are known to hold no matrix product, by name.

The list is closed on purpose: an operator that stands neither here nor among the counted ones is
refused, so that a new kernel can never be dropped from a count in silence.
"""

from __future__ import annotations

_ELEMENTWISE = """
    abs add addcdiv addcmul bitwise_and bitwise_not bitwise_or ceil celu clamp clamp_max clamp_min
    clip cos deg2rad div divide elu eq erf erfc exp exp2 expm1 floor floor_divide fmod ge gelu glu
    gt hardshrink hardsigmoid hardswish hardtanh isfinite isinf isnan le leaky_relu lerp log log10
    log1p log2 logical_and logical_not logical_or logical_xor logit logsigmoid lt maximum minimum
    mish mul multiply ne neg negative nan_to_num pow prelu reciprocal relu relu6 remainder round
    rrelu rsqrt rsub selu sigmoid sign silu sin softplus softshrink softsign sqrt square sub
    subtract tan tanh threshold true_divide trunc where masked_fill
"""

_REDUCTIONS = """
    all amax amin any argmax argmin argsort count_nonzero cumprod cumsum log_softmax logsumexp max
    mean median min norm linalg_norm linalg_vector_norm normalize nansum prod softmax sort std
    std_mean sum topk var var_mean
"""

_NORMS_AND_POOLS = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d batch_norm
    cosine_similarity group_norm instance_norm layer_norm local_response_norm max_pool1d
    max_pool2d max_pool2d_with_indices max_pool3d native_batch_norm native_group_norm
    native_layer_norm rms_norm
"""

_RESIZING = """
    grid_sampler grid_sampler_2d pixel_shuffle pixel_unshuffle upsample_bicubic2d
    upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d
    upsample_nearest3d upsample_trilinear3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa
"""

_SHAPES_AND_COPIES = """
    Bool Float FloatImplicit Int IntImplicit ScalarImplicit __and__ __or__ __xor__ _cast_Float
    _reshape_alias _shape_as_tensor _unsafe_view alias alpha_dropout arange as_strided
    atleast_1d atleast_2d broadcast_tensors broadcast_to bernoulli cat channel_shuffle chunk clone
    col2im complex concat concatenate constant_pad_nd contiguous copy cpu cuda detach diag
    diagonal dim dropout dropout2d embedding empty empty_like expand expand_as feature_dropout
    fill flatten flip full full_like gather hstack im2col index index_add index_copy index_fill
    index_put index_select is_floating_point item lift_fresh linspace masked_scatter
    mH mT masked_select meshgrid moveaxis movedim narrow narrow_copy new_empty new_full new_ones
    new_zeros nonzero nonzero_numpy normal numel numpy_T one_hot ones ones_like pad permute rand
    rand_like randint randn randn_like ravel reflection_pad1d reflection_pad2d repeat
    repeat_interleave replication_pad1d replication_pad2d reshape reshape_as resolve_conj
    resolve_neg roll rot90 scalar_tensor scatter scatter_add select select_scatter size slice
    slice_scatter split split_with_sizes squeeze stack swapaxes swapdims t tensor tensor_split
    tile to transpose tril tril_indices triu triu_indices type_as unbind unflatten unfold uniform
    unsafe_chunk unsafe_split unsqueeze view view_as view_as_complex view_as_real vstack zero
    zeros zeros_like
"""

_NAMES = f"{_ELEMENTWISE} {_REDUCTIONS} {_NORMS_AND_POOLS} {_RESIZING} {_SHAPES_AND_COPIES}".split()

FREE_OPERATORS: frozenset[str] = frozenset(
    f"aten::{name}{in_place}" for name in _NAMES for in_place in ("", "_")
)
