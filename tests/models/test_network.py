"""Any legal mixture builds, trains and deploys, and counts in closed form what fvcore counts."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.errors import SpecError, UsageError
from archbench.measure.macs import count_operators
from archbench.models import ArchSpec, build, count, deploy, deployment_error, fold, proxy
from archbench.models.attention import AttentionBias, CachedBias
from archbench.models.catalogue import published
from archbench.models.layer import DropPath, QuickGELU
from archbench.models.part import Grid
from tests.models.foreign import randomise
from tests.models.parts import counts, random_spec

SEEDS = range(12)


def _logits(output: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_mixture_trains(seed: int) -> None:
    spec = random_spec(random.Random(seed))
    network = build(spec, seed=seed).train()
    randomise(network)
    outputs = _logits(network(torch.randn(3, 3, *spec.resolution)))
    assert len(outputs) == spec.head.num_classifiers
    assert all(output.shape == (3, spec.num_classes) for output in outputs)
    sum(output.square().mean() for output in outputs).backward()  # type: ignore[union-attr]
    for name, parameter in network.named_parameters():
        reached = parameter.grad is not None
        # Pooled over the map, the class tokens of the last block reach nothing.
        assert reached or "class_token" in name, name
        assert not reached or bool(torch.isfinite(parameter.grad).all()), name  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_deployed_form_computes_the_same(seed: int) -> None:
    spec = random_spec(random.Random(seed))
    network = build(spec, seed=seed)
    randomise(network)
    images = torch.randn(2, 3, *spec.resolution)
    deployed = deploy(network, images, budget_s=0.0)
    assert deployment_error(network, deployed, images) < 5e-6
    kinds = {type(module) for module in fold(network).modules()}
    assert not kinds & {nn.BatchNorm1d, nn.BatchNorm2d, AttentionBias}


def test_a_seed_gives_the_same_weights_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build("levit_128s", seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    second = build("levit_128s", seed=5).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_batch_norm_starts_at_zero_only_where_levit_has_it() -> None:
    last_of_branches = ("mlp.2.norm.weight", "attention.projection.norm.weight")
    for name, parameter in build("levit_128s").named_parameters():
        if name.endswith("norm.weight"):
            assert bool(parameter.any()) != name.endswith(last_of_branches), name


def test_linears_of_cvt_start_truncated_and_convolutions_as_pytorch_does() -> None:
    network = build("cvt_13", seed=0)
    linear = network.get_parameter("stages.2.blocks.0.mlp.0.weight")
    depthwise = network.get_parameter("stages.2.blocks.0.attention.query_map.conv.weight")
    assert float(linear.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert float(depthwise.detach().std()) == pytest.approx(0.19, abs=0.02)


def test_attention_bias_is_numbered_by_distance_on_the_finer_grid() -> None:
    bias = AttentionBias(1, queries=(Grid(2, 2), 2), keys=(Grid(3, 4), 1))
    expected = [
        [abs(2 * (q // 2) - k // 4) * 4 + abs(2 * (q % 2) - k % 4) for k in range(12)]
        for q in range(4)
    ]
    assert bias.index.tolist() == expected


def test_attention_bias_of_class_tokens_is_zero() -> None:
    bias = AttentionBias(2, queries=(Grid(2, 2), 1), keys=(Grid(2, 2), 1), class_tokens=1)
    nn.init.constant_(bias.values, 3.0)
    assert torch.equal(bias(), F.pad(torch.full((2, 4, 4), 3.0), (1, 0, 1, 0)))


def test_the_cached_bias_moves_with_its_network() -> None:
    deployed = fold(build("levit_128s"))
    caches = [m for m in deployed.modules() if isinstance(m, CachedBias)]
    assert len(caches) == 11
    assert {m.bias.dtype for m in deployed.double().modules() if isinstance(m, CachedBias)} == {
        torch.float64
    }


def test_a_map_travels_in_channels_last_memory_and_tokens_share_it() -> None:
    seen: list[Tensor] = []
    network = build("levit_128s").eval()
    for stage in network.stages:
        stage.register_forward_hook(lambda _m, _i, output: seen.append(output[0]))
    with torch.inference_mode():
        network(torch.randn(2, 3, 224, 224))
    for x in seen:
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert x.permute(0, 2, 3, 1).flatten(1, 2).data_ptr() == x.data_ptr()


def test_drop_path_keeps_the_mean_and_drops_whole_samples() -> None:
    torch.manual_seed(0)
    layer = DropPath(0.25).train()
    dropped = layer(torch.ones(4000, 3, 2))
    per_sample = dropped.flatten(1)
    assert bool((per_sample == per_sample[:, :1]).all())
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.03)
    assert layer.eval()(dropped) is dropped


def test_drop_path_ramps_over_the_layers_of_a_stage() -> None:
    network = build("cvt_13")
    probabilities = [block.drop_path.probability for block in network.stages[2].blocks]
    assert probabilities == pytest.approx([0.1 * i / 9 for i in range(10)])


@pytest.mark.parametrize(
    ("name", "side", "grid"),
    [
        *(("ceit_tiny", side, grid) for side, grid in ((32, 16), (64, 16), (96, 12), (448, 14))),
        ("cvt_13", 64, 64),
        ("deit_tiny", 64, 13),
        ("levit_128s", 64, 16),
        ("resnet_50", 64, 64),
        ("vit_pytorch_cvt", 64, 64),
    ],
)
def test_a_proxy_keeps_about_the_token_grid_of_its_target(name: str, side: int, grid: int) -> None:
    spec = proxy(published(name), resolution=side, num_classes=10)
    assert (spec.resolution, spec.num_classes) == ((side, side), 10)
    assert spec.resolved().stages[0].grid == (grid, grid)
    assert build(spec).eval()(torch.randn(1, 3, side, side)).shape == (1, 10)


def test_the_digest_ignores_name_key_order_and_what_does_nothing() -> None:
    document = published("levit_128s").to_document()
    document["stages"][0]["block"] = {"kind": "cvt", "num_heads": 4, "projection": "linear"}
    document["stages"][0]["depth"] = 1
    spec = ArchSpec.from_document(document)
    turned = {key: document[key] for key in reversed(document)} | {"name": "another"}
    turned["stages"][0]["block"] |= {"kv_stride": 1, "mlp_ratio": 4.0}
    assert ArchSpec.from_document(turned).digest == spec.digest
    turned["stages"][0]["block"] |= {"mlp_ratio": 2}
    assert ArchSpec.from_document(turned).digest != spec.digest


def test_quick_gelu_is_x_times_the_sigmoid_of_1_702_x() -> None:
    x = torch.linspace(-20, 20, 401, dtype=torch.float64)
    torch.testing.assert_close(QuickGELU()(x), x / (1 + torch.exp(-1.702 * x)))


def test_both_counts_agree_on_random_specs() -> None:
    for seed in range(100):  # the parts by themselves are in test_part_contract.py
        spec = random_spec(random.Random(seed))
        built = count_operators(build(spec).eval(), torch.zeros(1, 3, *spec.resolution))
        assert counts(built) == counts(count(spec, training=True)), seed


@pytest.mark.parametrize(
    "name", ["ceit_tiny", "cvt_13", "deit_tiny_distilled", "graft_1_9", "levit_128s", "levit_384"]
)
def test_both_counts_agree_on_published_networks(name: str) -> None:
    built = count_operators(build(name).eval(), torch.zeros(1, 3, 224, 224))
    assert counts(built) == counts(count(name))


def test_classes_and_resolution_may_be_others() -> None:
    network = build("levit_128s", num_classes=10, resolution=128, seed=0)
    assert (network.spec.num_classes, network.resolution) == (10, (128, 128))
    assert network.eval()(torch.zeros(1, 3, 128, 128)).shape == (1, 10)
    assert count("levit_128s", num_classes=10).params == count(build("levit_128s")).params - (
        990 * 385 * 2
    )
    assert build(network).spec is network.spec
    for wrong in ({"num_classes": 0}, {"num_classes": "10"}, {"resolution": (1, 2, 3)}):
        with pytest.raises(SpecError, match=r"num_classes: |resolution: "):
            build("levit_128s", **wrong)  # type: ignore[arg-type]


def test_a_network_that_was_built_is_counted_and_one_that_was_changed_is_not() -> None:
    network = build("levit_128s")
    assert count(network) == count("levit_128s")
    network.head = nn.Identity()  # type: ignore[assignment]
    for change in (network, deploy(build("levit_128s"), torch.zeros(1, 3, 224, 224))):
        with pytest.raises(UsageError, match=r"archbench.profile"):
            count(change)


@pytest.mark.parametrize("given", [5, None, ["levit_128s"], nn.Linear(2, 2)])
def test_what_is_no_network_of_ours_is_refused_in_our_words(given: object) -> None:
    with pytest.raises(UsageError, match=r"network: got .*, which cannot be taken here; give a"):
        count(given)  # type: ignore[arg-type]
