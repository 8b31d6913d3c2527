"""CeiT, and LeViT without batch norms, against themselves written out in plain functions."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models import ArchSpec, build
from archbench.models.blocks.levit import Spec as LevitBlock
from archbench.models.catalogue import published
from archbench.models.embeds.image_to_tokens import Spec as ImageToTokens
from archbench.models.part import Grid, Site
from tests.models.foreign import randomise

State = dict[str, Tensor]


def _document(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = published("ceit_tiny").to_document()
    document |= {"resolution": [48, 32], "num_classes": 5}
    document["stages"][0] |= {"dim": 16, "depth": 3, "drop_path": 0.0}
    document["stages"][0]["embed"] |= {"stride": 8, "channels": 6}
    document["stages"][0]["block"] = {"kind": "ceit", "num_heads": 2, "mlp_ratio": 2}
    document["head"] |= changes
    return document


def test_a_small_one_equals_plain_functions() -> None:
    torch.manual_seed(0)
    network = build(ArchSpec.from_document(_document())).eval()
    randomise(network)
    # Large enough that attention is far from even, and that a layer's embedding matters.
    for parameter in (p for name, p in network.named_parameters() if "norm" not in name):
        nn.init.normal_(parameter, std=0.4)
    images = torch.randn(2, 3, 48, 32)
    state = network.state_dict()
    with torch.inference_mode():
        torch.testing.assert_close(network(images), _ceit(images, state), rtol=1e-4, atol=1e-5)


def test_each_classifier_reads_its_own_class_token() -> None:
    torch.manual_seed(0)
    document = _document(num_classifiers=2)
    document["stages"][0]["class_tokens"] = 2
    network = build(ArchSpec.from_document(document))
    randomise(network)
    attention = network.head.layer_attention
    tokens = torch.randn(4, 3, 2, 16)
    both = attention(tokens)
    torch.testing.assert_close(both[:, 1:], attention(tokens[:, :, 1:]))
    tokens[:, :, 0] = 0.0
    torch.testing.assert_close(attention(tokens)[:, 1], both[:, 1])


_HEADS = "the 3 heads of the last block do not divide"


@pytest.mark.parametrize(
    ("changes", "behind", "message"),
    [
        ({"block": {"kind": "levit", "num_heads": 3}}, [], _HEADS),
        ({"block": {"kind": "cvt", "num_heads": 3, "head_dim": 4}}, [], _HEADS),
        ({}, [{"embed": {"kind": "none"}, "dim": 16}], "takes heads and mlp_ratio from the last"),
        ({"class_tokens": 0}, [], "1 classifiers cannot read 0 class tokens"),
    ],
)
def test_the_last_attention_needs_layers_class_tokens_and_heads_that_divide(
    changes: dict[str, Any], behind: list[Any], message: str
) -> None:
    document = _document()
    document["stages"] = [document["stages"][0] | changes, *behind]
    with pytest.raises(SpecError, match=message):
        ArchSpec.from_document(document).resolved()


@pytest.mark.parametrize(
    ("wanted", "stride"), [(0.3, 1), (1.6, 2), (3.1, 4), (5.0, 4), (6.1, 8), (1000, 64)]
)
def test_the_nearest_stride_is_one_that_it_can_take(wanted: float, stride: int) -> None:
    assert ImageToTokens().with_stride_near(wanted).stride == stride


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecError, match="patches of 4 do not fit the pooled map of 3x10"):
        ImageToTokens().outgoing(Grid(12, 40))


def test_levit_without_batch_norms_has_those_of_its_stem_and_no_zero_start() -> None:
    network = build("levit_128s/a3")
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    batch = [name for name, module in network.named_modules() if isinstance(module, norms)]
    assert batch == [f"stages.0.embed.{i}.norm" for i in (0, 2, 4, 6)]
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]
    assert all(bool(weight.any()) for weight in weights)


def test_its_block_is_two_pre_norm_branches() -> None:
    torch.manual_seed(0)
    site = Site(grid=Grid(2, 3), incoming_dim=8, dim=8)
    block = LevitBlock(key_dim=4, num_heads=1, norm="layer").resolved(site).module(site)
    state = block.state_dict()
    x = torch.randn(2, 6, 8)
    q, k, v = _linear(F.layer_norm(x, [8]), state, "attention.query_key_value").split([4, 4, 8], -1)
    attended = (q @ k.mT / 2).softmax(-1) @ v
    y = x + _linear(F.hardswish(attended), state, "attention.projection")
    hidden = F.hardswish(_linear(F.layer_norm(y, [8]), state, "mlp.0"))
    torch.testing.assert_close(block(x, Grid(2, 3)), y + _linear(hidden, state, "mlp.2"))


def _ceit(images: Tensor, state: State) -> Tensor:
    """The network of ``_document`` in evaluation: two heads of 8, patches of 2."""
    x = F.conv2d(images, state["stages.0.embed.stem.conv.weight"], stride=2, padding=3)
    x = F.max_pool2d(_batch_norm(x, state, "stages.0.embed.stem.norm"), 3, 2, padding=1)
    name = "stages.0.embed.projection"
    x = F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=2)
    height, width = x.shape[-2:]
    token = state["stages.0.class_token"].expand(len(x), -1, -1)
    x = torch.cat((token, x.flatten(2).mT), dim=1) + state["stages.0.position"]
    layers = []
    for number in range(3):
        x = _block(x, state, f"stages.0.blocks.{number}", height=height, width=width)
        layers.append(x[:, 0])
    x = torch.stack(layers, dim=1) + state["head.layer_attention.layer_position"]
    name = "head.layer_attention"
    y = _layer_norm(x, state, f"{name}.attention_norm")
    q = _linear(y, state, f"{name}.query")
    k, v = _linear(y, state, f"{name}.key_value").chunk(2, dim=-1)
    # Every layer asks here; only the last one's answer is read.
    x = (x + _linear(_attention(q, k, v), state, f"{name}.projection"))[:, -1]
    y = F.gelu(_linear(_layer_norm(x, state, f"{name}.mlp_norm"), state, f"{name}.mlp.0"))
    x = _layer_norm(x + _linear(y, state, f"{name}.mlp.2"), state, "head.norm")
    return _linear(x, state, "head.classifiers.0")


def _block(x: Tensor, state: State, name: str, *, height: int, width: int) -> Tensor:
    y = _linear(
        _layer_norm(x, state, f"{name}.attention_norm"), state, f"{name}.attention.query_key_value"
    )
    x = x + _linear(_attention(*y.chunk(3, dim=-1)), state, f"{name}.attention.projection")
    y = _layer_norm(x, state, f"{name}.mlp_norm")
    token, y = y[:, :1], y[:, 1:].mT.unflatten(-1, (height, width))
    for layer, groups in ((0, 1), (2, 32), (4, 1)):
        convolution = f"{name}.mlp.layers.{layer}"
        weight, bias = state[f"{convolution}.conv.weight"], state[f"{convolution}.conv.bias"]
        y = F.conv2d(y, weight, bias, padding=weight.shape[-1] // 2, groups=groups)
        y = _batch_norm(y, state, f"{convolution}.norm")
        y = y if layer == 4 else F.gelu(y)
    return x + torch.cat((token, y.flatten(2).mT), dim=1)


def _attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.unflatten(-1, (2, 8)).transpose(1, 2) for x in (q, k, v))
    return ((q @ k.mT / 8**0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)


def _linear(x: Tensor, state: State, name: str) -> Tensor:
    return x @ state[f"{name}.weight"].mT + state[f"{name}.bias"]


def _layer_norm(x: Tensor, state: State, name: str) -> Tensor:
    return F.layer_norm(x, [16], state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)


def _batch_norm(x: Tensor, state: State, name: str) -> Tensor:
    values = ("running_mean", "running_var", "weight", "bias")
    return F.batch_norm(x, *(state[f"{name}.{value}"] for value in values))
