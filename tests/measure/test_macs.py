"""Operator counts against numbers worked out by hand and against known networks."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archbench.errors import UncountedOperatorError
from archbench.measure.macs import count_operators


class Computed(nn.Module):
    """A network that is one function, with the layer that it uses."""

    def __init__(
        self, function: Callable[[Tensor], object], layer: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.function = function
        self.layer = layer

    def forward(self, images: Tensor) -> object:
        return self.function(images)


def count(function: Callable[[Tensor], object], *shape: int) -> tuple[int, int]:
    counted = count_operators(Computed(function), torch.zeros(shape))
    return counted.macs, counted.activations


@pytest.mark.parametrize(
    ("layer", "shape", "macs", "activations"),
    [
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), (2, 3, 9, 7), 2 * 8 * 5 * 4 * 27, 2 * 8 * 5 * 4),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (1, 8, 6, 6), 8 * 36 * 9, 8 * 36),
        (nn.Conv2d(8, 4, 3, dilation=2), (1, 8, 9, 9), 4 * 25 * 72, 4 * 25),
        (nn.Conv1d(4, 6, 3), (1, 4, 10), 6 * 8 * 12, 6 * 8),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 5), 4 * 25 * 6 * 4, 6 * 100),
        (nn.ConvTranspose2d(4, 6, 2, groups=2), (1, 4, 5, 5), 4 * 25 * 3 * 4, 6 * 36),
        (nn.Linear(5, 7), (2, 3, 5), 2 * 3 * 5 * 7, 2 * 3 * 7),
        (nn.Linear(5, 7, bias=False), (5,), 5 * 7, 7),
    ],
)
def test_layers(layer: nn.Module, shape: tuple[int, ...], macs: int, activations: int) -> None:
    counted = count_operators(layer, torch.zeros(shape))
    assert (counted.macs, counted.activations) == (macs, activations)


@pytest.mark.parametrize(
    ("function", "shape", "macs", "activations"),
    [
        (lambda x: x @ x.transpose(-1, -2), (2, 3, 4, 5), 2 * 3 * 4 * 4 * 5, 2 * 3 * 16),
        (lambda x: x[:1, :1] @ x.transpose(-1, -2), (1, 8, 4, 5), 8 * 4 * 4 * 5, 8 * 16),
        (lambda x: x @ x[0, 0, 0], (2, 3, 4, 5), 2 * 3 * 4 * 5, 2 * 3 * 4),
        (lambda x: x[0] @ x.t(), (4, 5), 4 * 5, 4),
        (lambda x: torch.mv(x, x[0]), (4, 5), 4 * 5, 4),
        (lambda x: torch.dot(x, x), (7,), 7, 1),
        (lambda x: torch.outer(x, x[:3]), (7,), 21, 21),
        (lambda x: torch.mm(x, x.t()), (4, 5), 4 * 4 * 5, 16),
        (lambda x: torch.bmm(x, x.mT), (2, 4, 5), 2 * 16 * 5, 2 * 16),
        (lambda x: torch.addmm(x[0, :4], x, x.t()), (4, 5), 4 * 4 * 5, 16),
        (lambda x: torch.addmv(x[:, 0], x, x[0]), (4, 5), 4 * 5, 4),
        (lambda x: torch.baddbmm(x[:, :, :1], x, x.mT), (2, 4, 5), 2 * 16 * 5, 2 * 16),
        (lambda x: torch.einsum("bhld,bhmd->bhlm", x, x), (1, 2, 49, 16), 2 * 49 * 49 * 16, 4802),
        (lambda x: torch.einsum("bij,bij->bij", x, x), (2, 4, 5), 0, 0),
    ],
)  # fmt: skip
def test_products(
    function: Callable[[Tensor], object], shape: tuple[int, ...], macs: int, activations: int
) -> None:
    assert count(function, *shape) == (macs, activations)


# B 2, h 4, T 5, S 7, d 8, value width 6
QUERY, KEY, VALUE = torch.zeros(2, 4, 5, 8), torch.zeros(2, 4, 7, 8), torch.zeros(2, 4, 7, 6)


@pytest.mark.parametrize(
    "attention",
    [
        lambda q: F.scaled_dot_product_attention(q, KEY, VALUE),
        lambda q: F.scaled_dot_product_attention(q, KEY, VALUE, torch.zeros(5, 7)),
        lambda q: F.scaled_dot_product_attention(q, KEY, VALUE, attn_mask=torch.ones(5, 7) > 0),
        lambda q: F.scaled_dot_product_attention(q, KEY, VALUE, is_causal=True, scale=0.1),
        lambda q: F.scaled_dot_product_attention(q, KEY, VALUE, dropout_p=0.1),
        lambda q: F.scaled_dot_product_attention(q, KEY[:, :2], VALUE[:, :2], enable_gqa=True),
        lambda q: F.scaled_dot_product_attention(q, KEY[:1, :1], VALUE[:1, :1]),
    ],
    ids=["plain", "mask", "mask_by_name", "causal", "dropout", "grouped", "broadcast"],
)
def test_fused_attention_counts_both_products(attention: Callable[[Tensor], Tensor]) -> None:
    counted = count_operators(Computed(attention), QUERY)
    weights = 2 * 4 * 5 * 7
    assert counted.macs == weights * (8 + 6)
    assert counted.activations == weights + 2 * 4 * 5 * 6
    assert set(counted.by_operator) == {"scaled_dot_product_attention"}


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(4),
        nn.GroupNorm(2, 4),
        nn.LayerNorm([4, 6, 6]),
        nn.InstanceNorm2d(4, affine=True),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.AdaptiveAvgPool2d(1),
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Sequential(nn.GELU(), nn.Hardswish(), nn.SiLU(inplace=True), nn.Softmax(-1)),
        nn.Dropout2d(0.5),
        nn.PixelShuffle(2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_norms_pools_and_elementwise_cost_nothing(layer: nn.Module) -> None:
    counted = count_operators(layer, torch.zeros(2, 4, 6, 6))
    assert (counted.macs, counted.activations) == (0, 0)


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, images: Tensor) -> Tensor:
        return images @ images

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is:")
@pytest.mark.parametrize(
    ("build", "told"),
    [
        (
            lambda: nn.Sequential(nn.Flatten(1), nn.Sequential(nn.LSTM(4, 4))),
            r"1\.0: the operator aten::lstm may hold .* add it to FREE_OPERATORS there",
        ),
        (lambda: Computed(lambda x: torch.cdist(x, x)), "Computed: the operator aten::cdist"),
        (lambda: Computed(Double.apply), r"PythonOp\.Double"),
        (
            lambda: nn.Sequential(torch.jit.script(nn.Linear(4, 4))),
            "0: a scripted module hides its operators",
        ),
    ],
    ids=["unknown", "hidden", "custom", "scripted"],
)
def test_what_hides_its_products_is_refused(build: Callable[[], nn.Module], told: str) -> None:
    with pytest.raises(UncountedOperatorError, match=told):
        count_operators(build(), torch.zeros(4, 4))


def test_multihead_attention_is_counted_without_its_fast_path() -> None:
    layer = nn.MultiheadAttention(64, 4, batch_first=True).eval()
    network = Computed(lambda x: layer(x, x, x, need_weights=False), layer)
    assert torch.backends.mha.get_fastpath_enabled()
    counted = count_operators(network, torch.zeros(2, 10, 64))
    assert counted.macs == 2 * (4 * 10 * 64 * 64 + 2 * 10 * 10 * 64)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(
    "outputs",
    [lambda y: (y, [y, None]), lambda y: {"logits": y, "loss": 3}],
    ids=["tuple", "dictionary"],
)
def test_tuples_and_dictionaries_may_be_returned(outputs: Callable[[Tensor], object]) -> None:
    layer = nn.Linear(4, 4)
    network = Computed(lambda x: outputs(layer(x)), layer)
    assert count_operators(network, torch.zeros(1, 4)).macs == 16


def test_modules_hold_what_their_children_cost() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    counted = count_operators(network, torch.zeros(1, 4))
    assert counted.by_module == {"": 96, "0": 32, "1": 64, "1.0": 64, "1.1": 0}
    assert counted.by_operator == {"linear": 96}
    assert counted.activations_by_operator == {"linear": 16}
    assert counted.params == 4 * 8 + 8 + 8 * 8 + 8


def test_a_layer_used_twice_counts_twice_with_its_parameters_once() -> None:
    layer = nn.Linear(4, 4)
    counted = count_operators(nn.Sequential(layer, layer), torch.zeros(1, 4))
    assert (counted.macs, counted.params) == (32, 20)


def test_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    network[2].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count_operators(network, torch.ones(1, 3, 4, 4))
    assert [module.training for module in network.modules()] == [True, True, True, False]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_networks_of_timm_to_the_unit() -> None:
    timm, images = pytest.importorskip("timm"), torch.zeros(1, 3, 224, 224)
    levit = count_operators(timm.create_model("levit_128s"), images)
    assert (levit.macs, levit.activations) == (304_660_832, 1_875_074)
    assert (levit.params, levit.by_module["stem"]) == (7_777_058, 48_771_072)
    deit = count_operators(timm.create_model("deit_tiny_patch16_224"), images)
    assert (deit.macs, deit.activations) == (1_253_683_200, 5_974_636)
    assert "scaled_dot_product_attention" in deit.by_operator


def test_cvt_13_with_einsum_to_the_unit() -> None:
    transformers = pytest.importorskip("transformers")
    network = transformers.CvtForImageClassification(transformers.CvtConfig(num_labels=1000))
    counted = count_operators(network, torch.zeros(1, 3, 224, 224))
    assert (counted.macs, counted.activations) == (4_566_089_216, 16_981_504)
    assert counted.by_operator["einsum"] == 508_365_824


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("bhlk,bhtk->bhlt", [(2, 3, 197, 64), (2, 3, 50, 64)], 2 * 3 * 197 * 50 * 64),
        ("ij,ij->ij", [(3, 4), (3, 4)], 0),  # elementwise
        ("i,j->ij", [(3,), (4,)], 0),  # an outer product
        ("ij->i", [(3, 4)], 0),
        ("ij,kj->i", [(3, 4), (5, 4)], 12),  # k is summed before the product
        ("bij, bjk", [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),  # what is written once is kept
        ("...ij,...jk->...ik", [(2, 1, 3, 4), (6, 4, 5)], 2 * 6 * 3 * 4 * 5),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]], macs: int) -> None:
    first, *others = map(torch.zeros, shapes)
    assert count(lambda x: torch.einsum(equation, x, *others), *first.shape)[0] == macs


@pytest.mark.parametrize(
    ("path", "macs"),
    [
        (None, 2 * 3 * 5 + 2 * 5 * 7 + 2 * 7 * 11),
        ([0, 1, 0, 1, 0, 1], 2 * 3 * 5 + 5 * 7 * 11 + 2 * 5 * 11),
        ([2, 3, 1, 2, 0, 1], 5 * 7 * 11 + 3 * 5 * 11 + 2 * 3 * 11),
    ],
)
def test_follows_the_path_of_the_contraction(path: list[int] | None, macs: int) -> None:
    others = [torch.zeros(shape) for shape in ((3, 5), (5, 7), (7, 11))]
    equation = "ij,jk,kl,lm->im"
    assert count(lambda x: torch._VF.einsum(equation, (x, *others), path=path), 2, 3)[0] == macs
