"""The deployed form is the fastest of several that compute the same."""

import copy
import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from archbench.errors import InexactError, UsageError
from archbench.memory import keep_memory
from archbench.models import build, deploy, deployment, deployment_error, fold
from archbench.models.attention import ATTENTION_KERNELS, Attend
from archbench.models.deployment import observe
from archbench.models.kernels import Candidates, Packed, can_fuse, can_pack, race
from archbench.models.layer import QuickGELU
from tests.models.foreign import randomise
from tests.models.parts import amplify

needs_packing = pytest.mark.skipif(not can_pack(torch.zeros(1)), reason="no oneDNN here")
ACTIVATIONS = [nn.GELU(), nn.Hardswish(), nn.ReLU(), nn.SiLU(), None]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def favour(form: str) -> Callable[[Candidates], str]:
    """A judge that takes one form wherever it is offered."""
    return lambda candidates: form if form in candidates.names else candidates.names[0]


@pytest.mark.parametrize("form", ["plain", "packed", "products", "fused", "by_image"])
@pytest.mark.parametrize("name", ["levit_128s", "cvt_13"])
def test_every_form_computes_the_same(
    name: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build(name, seed=0)
    randomise(network)
    images = torch.randn(2, 3, 224, 224) if name == "levit_128s" else torch.randn(2, 3, 64, 64)
    monkeypatch.setattr(Candidates, "fastest", favour(form))
    deployed = deploy(network, images, budget_s=0.0)
    assert {choice.chosen for choice in deployed.choices} & {form, "plain", "products"}
    assert all(choice.chosen in choice.seconds for choice in deployed.choices)
    assert sum(deployed.summary().values()) == len(deployed.choices)
    assert deployment_error(network, deployed, images) <= 2e-6
    assert deployed.error == pytest.approx(deployment_error(network, deployed, images), abs=1e-6)


def test_the_network_itself_stays_as_it_is() -> None:
    network = build("levit_128s", seed=0).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    deploy(network, torch.randn(1, 3, 224, 224), budget_s=0.0)
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_weights_loaded_later_reach_the_network_and_not_its_deployed_form() -> None:
    images = torch.randn(1, 3, 224, 224)
    one, other = build("levit_128s", seed=0).eval(), build("levit_128s", seed=1).eval()
    for network in (one, other):
        randomise(network)
    with torch.inference_mode():
        older = deploy(one, images, budget_s=0.0)
        before = older(images)
        one(images)  # the released code, timm and transformers keep a stale bias from here on
        one.load_state_dict(other.state_dict())
        assert torch.equal(one(images), other(images))
        assert torch.equal(older(images), before)
        assert deployment_error(one, deploy(one, images, budget_s=0.0), images) <= 2e-6


class Foreign(nn.Module):
    """A convolution and its norm, whose input may be used a second time."""

    def __init__(self, *, twice: bool) -> None:
        super().__init__()
        self.twice = twice
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(3, 4, 3, bias=True)
        self.act = nn.ReLU()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = self.act(self.norm(x)).mean((2, 3))
        return self.head(y + x.mean((2, 3)) if self.twice else y)


@pytest.mark.parametrize("twice", [False, True])
def test_a_batch_norm_is_folded_where_it_alone_was_seen_behind_a_convolution(twice: bool) -> None:
    network = Foreign(twice=twice)
    randomise(network)
    images = torch.randn(2, 3, 9, 9)
    deployed = deploy(network, images, budget_s=0.0)
    assert any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules()) == twice
    assert deployment_error(network, deployed, images) <= 2e-6


def test_a_form_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 1.001

    network = nn.Sequential(nn.Conv2d(3, 4, 2))
    monkeypatch.setattr(deployment, "fold", lambda right: nn.Sequential(right, Wrong()))
    told = r"by 1\.0e-03 .* off the fp64 output by 1\.0e-03, the network by \d\.\de-0[678]"
    with pytest.raises(InexactError, match=told):
        deploy(network, torch.randn(1, 3, 8, 8), budget_s=0.0)


def test_a_network_that_amplifies_rounding_is_deployed() -> None:
    network = build("levit_128s").eval()
    generator = torch.Generator().manual_seed(18)
    amplify(network, scale=1.2, generator=generator)
    images = torch.randn(1, 3, 224, 224, generator=generator)
    deployed = deploy(network, images, budget_s=0.0)
    assert 1e-4 < deployed.error < 0.1


def test_quick_gelu_between_linears_becomes_silu() -> None:
    network = nn.Sequential(nn.Linear(8, 16), QuickGELU(), nn.Linear(16, 3)).eval()
    folded = fold(network)
    assert not any(isinstance(module, QuickGELU) for module in folded.modules())
    x = torch.randn(5, 8)
    torch.testing.assert_close(folded(x), network(x), rtol=1e-5, atol=1e-6)


@needs_packing
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(24, 40), (3, 7, 24)),
        (nn.Linear(24, 40, bias=False), (3, 7, 24)),
        (nn.Conv2d(8, 16, 3, stride=2, padding=1), (2, 8, 13, 11)),
        (nn.Conv2d(8, 16, 1), (2, 8, 13, 11)),
        (nn.Conv2d(8, 16, 3, padding=1, groups=8, bias=False), (2, 8, 13, 11)),
        (nn.Conv2d(8, 16, (3, 5), padding=(1, 2), dilation=2), (2, 8, 13, 11)),
    ],
    ids=str,
)
def test_a_packed_layer_equals_the_plain_one(
    activation: nn.Module | None, layer: nn.Linear | nn.Conv2d, shape: tuple[int, ...]
) -> None:
    x = torch.randn(shape) * 3
    x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
    packed = Packed(layer, activation=activation, size=x.shape)
    with torch.no_grad():
        expected, got = (activation or nn.Identity())(layer(x)), packed(x)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(packed(x[:1]), expected[:1], rtol=1e-5, atol=1e-5)
    assert got.ndim < 4 or got.is_contiguous(memory_format=torch.channels_last)


def test_tanh_gelu_is_not_taken_for_the_exact_one() -> None:
    assert can_fuse(nn.GELU())
    assert not can_fuse(nn.GELU(approximate="tanh"))


@pytest.mark.parametrize("kernel", ATTENTION_KERNELS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("has_bias", [True, False])
def test_kernels_of_attention_agree(kernel: str, batch: int, has_bias: bool) -> None:
    shape = (batch, 2, 6, 4)
    q, k, v = torch.randn(shape), torch.randn(shape), torch.randn(batch, 2, 6, 7)
    bias = torch.randn(2, 6, 6) if has_bias else None
    expected = Attend(0.5, kernel="products")(q, k, v, bias)
    with torch.inference_mode():
        got = Attend(0.5, kernel=kernel)(q, k, v, bias)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    assert got.shape == (batch, 6, 14)


def test_the_fastest_form_wins_by_a_margin_or_not_at_all() -> None:
    candidates = Candidates(
        {"plain": nn.Identity(), "packed": nn.Identity()}, clock=time.perf_counter, seconds={}
    )
    candidates.seconds = {"plain": [1.0] * 8, "packed": [0.99] * 8}
    assert candidates.fastest() == "plain"
    candidates.seconds["packed"] = [0.9] * 6 + [5.0] * 2
    assert candidates.fastest() == "packed"


def test_a_race_times_every_form_on_the_clock_it_is_given() -> None:
    ticks = itertools.count()
    forms: dict[str, nn.Module] = {"one": nn.Identity(), "two": nn.Identity()}
    network = nn.Sequential(Candidates(forms, clock=lambda: float(next(ticks)), seconds={}))
    (candidates,) = network
    race(network, torch.zeros(1), candidates=[candidates], budget_s=0.0)  # type: ignore[list-item]
    assert candidates.seconds == {"one": [1.0, 1.0], "two": [1.0, 1.0]}


def test_equal_layers_decide_together() -> None:
    layers = [nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64)]
    squares = (float(tick**2) for tick in itertools.count())  # no two runs take equally long
    deployed = deploy(
        nn.Sequential(*layers), torch.randn(1, 4, 64), clock=lambda: next(squares), budget_s=0
    )
    first, second, last = (choice.seconds for choice in deployed.choices)
    assert first == second
    assert first != last  # nothing is behind it that could be packed with it


@needs_packing
def test_a_known_form_is_taken_without_a_race_and_an_unheard_of_one_is_not() -> None:
    layers = [nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 32)]
    network, example = nn.Sequential(*layers), torch.randn(1, 4, 64)
    first = deploy(network, example, budget_s=0)
    decided = first.decided()
    assert len(decided) == 2
    assert first.raced() == 3

    def no_clock() -> float:
        raise AssertionError("it is timed")

    for form in ("plain", "packed"):
        again = deploy(network, example, clock=no_clock, known=dict.fromkeys(decided, form))
        assert again.summary() == {form: 3}
        assert (again.raced(), again.decided()) == (0, {})
    unheard_of = deploy(network, example, budget_s=0, known=dict.fromkeys(decided, "folded"))
    assert unheard_of.raced() == 3


def test_a_deployed_network_is_exported_for_any_number_of_images_unless_it_is_packed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = build("levit_128s", seed=0)
    randomise(network)
    images = torch.randn(3, 3, 224, 224)
    shapes = ({0: torch.export.Dim("batch")},)
    for form in ("by_image", "fused"):
        monkeypatch.setattr(Candidates, "fastest", favour(form))
        deployed = deploy(network, images[:2], budget_s=0.0)
        assert form in deployed.summary()
        program = torch.export.export(deployed, (images[:2],), dynamic_shapes=shapes)
        with torch.inference_mode():
            found, expected = program.module()(images), deployed(images)
        assert (found - expected).abs().max() <= 2e-6 * expected.abs().max()


@needs_packing
def test_a_packed_network_is_not_exported() -> None:
    deployed = deploy(nn.Sequential(nn.Linear(64, 64)), torch.randn(1, 4, 64), budget_s=0)
    deployed.choices = tuple(choice._replace(chosen="packed") for choice in deployed.choices)
    with pytest.raises(UsageError, match=r"packed for this machine .* archbench\.fold"):
        torch.export.export(deployed, (torch.randn(1, 4, 64),))


def test_a_layer_in_two_places_is_left_alone() -> None:
    shared = nn.Linear(4, 4)
    network = nn.Sequential(shared, shared, nn.Linear(4, 2))
    flow = observe(network, torch.randn(1, 4))
    assert list(flow.places.values()) == ["2"]


def test_memory_is_kept_where_the_c_library_can_and_in_huge_pages() -> None:
    assert keep_memory() == keep_memory()
    if keep_memory() != "kept in huge pages":
        pytest.skip("this system has no huge pages to give")
    regions = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    heap = [region for region in regions if region.split("\n", 1)[0].endswith("[heap]")]
    assert any(re.search(r"VmFlags:.* hg\b", region) for region in heap)


@needs_packing
def test_copies_of_packed_layers_share_no_weights_and_none_can_move() -> None:
    example = torch.randn(1, 8, 6, 6)
    conv = nn.Conv2d(8, 16, 1).requires_grad_(requires_grad=False)
    packed = Packed(conv, activation=nn.Hardswish(), size=example.shape).eval()
    copied = copy.deepcopy(packed)
    assert torch.equal(copied(example), packed(example))
    assert copied.weight is not packed.weight
    assert copied.bias.data_ptr() != packed.bias.data_ptr()
    assert not copied.training
    with pytest.raises(UsageError, match="cannot change its precision or device"):
        nn.Sequential(packed).double()
