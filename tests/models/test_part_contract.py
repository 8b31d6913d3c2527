"""What every embed and block keeps to; a new file is tested before its author writes a test."""

import copy
import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from archbench.measure.macs import count_operators
from archbench.models import build, deploy, deployment_error, fold
from archbench.models.part import Role
from tests.models.foreign import randomise
from tests.models.parts import ROLES_AND_KINDS, Alone, Drawn, counts, draw

EXAMPLES = 12
PRECISE = 5e-6
UNTRANSLATED = {"aten::size", "aten::Int", "prim::NumToTensor"}
"""Operators of a trace that converters, as Core ML's, take for more than plain numbers."""

each_kind = pytest.mark.parametrize(("role", "kind"), ROLES_AND_KINDS, ids=lambda value: str(value))
some = given(seed=st.integers(0, 2**32))
Test = Callable[..., None]
usual = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
few = settings(usual, max_examples=2)
# That tracing is to go, which PyTorch says in one category or the other.
quiet = pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
quiet_as_before = pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")


def contract(test: Test) -> Test:
    """A test of some parts of every kind."""
    return each_kind(usual(some(test)))


def drawn(role: Role, kind: str, seed: int) -> tuple[Drawn, Alone]:
    """A part of a kind with weights that all matter."""
    found = draw(role, kind, random.Random(seed))
    torch.manual_seed(seed)
    network = Alone(found)
    randomise(network)
    return found, network


def images(found: Drawn, batch: int) -> Tensor:
    """What a part takes, a map in channels_last memory."""
    x = torch.randn(found.shape(batch))
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


@contract
def test_it_gives_the_shape_it_says_and_trains(role: Role, kind: str, seed: int) -> None:
    found, network = drawn(role, kind, seed)
    y = network.train()(images(found, 3))
    assert tuple(y.shape) == found.outgoing(3)
    if not any(True for _ in network.parameters()):
        return
    y.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name


@contract
def test_its_deployed_form_computes_the_same(role: Role, kind: str, seed: int) -> None:
    found, network = drawn(role, kind, seed)
    x = images(found, 2)
    assert deployment_error(network, fold(network), x) < PRECISE
    assert deployment_error(network, deploy(network, x, budget_s=0.0), x) < PRECISE


@contract
def test_its_arithmetic_is_that_of_the_built_part(role: Role, kind: str, seed: int) -> None:
    found, network = drawn(role, kind, seed)
    built = count_operators(network.eval(), images(found, 1))
    assert counts(built) == counts(found.part.count(found.site))


@contract
def test_it_says_which_channels_every_tensor_has(role: Role, kind: str, seed: int) -> None:
    found, network = drawn(role, kind, seed)
    channels = found.part.named_channels(found.site)
    streams = {"before": found.site.incoming_dim, "width": found.site.dim}
    channels = channels._replace(sizes={**channels.sizes, **streams})
    for name, tensor in network.part.state_dict().items():
        sides = channels.sides(name, ndim=tensor.ndim)
        assert tensor.ndim == 0 or any(sides), name
        sizes = [channels.length(w) if w else n for w, n in zip(sides, tensor.shape, strict=True)]
        assert sizes == list(tensor.shape), name


@contract
def test_its_weights_can_be_kept_and_put_back(role: Role, kind: str, seed: int) -> None:
    found, network = drawn(role, kind, seed)
    other = Alone(found)
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    x = images(found, 2)
    with torch.inference_mode():
        assert torch.equal(other.eval()(x), network.eval()(x))


@contract
def test_one_image_alone_gives_what_it_gives_in_a_batch(role: Role, kind: str, seed: int) -> None:
    found, network = drawn(role, kind, seed)
    x = images(found, 3)
    with torch.inference_mode():
        together, alone = network.eval()(x)[:1], network(x[:1])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


@each_kind
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
@usual
@some
def test_it_runs_in_half_precision(
    role: Role, kind: str, precision: torch.dtype, seed: int
) -> None:
    found, network = drawn(role, kind, seed)
    x = images(found, 2)
    with torch.inference_mode():
        expected = network.eval()(x)
        got = network.to(precision)(x.to(precision))
    assert got.dtype == precision
    error = (got.float() - expected).abs().max() / expected.abs().max()
    assert float(error) < 16 * torch.finfo(precision).eps


@each_kind
@few
@some
def test_it_can_be_exported_whole(role: Role, kind: str, seed: int) -> None:
    found, network = drawn(role, kind, seed)
    x = images(found, 2)
    exported = torch.export.export(network.eval(), (x,), strict=True)
    with torch.inference_mode():
        torch.testing.assert_close(exported.module()(x), network(x))


@each_kind
@few
@some
@quiet
@quiet_as_before
def test_its_trace_holds_no_arithmetic_on_sizes_and_no_strided_slice(
    role: Role, kind: str, seed: int
) -> None:
    found, network = drawn(role, kind, seed)
    check_trace(fold(network), images(found, 1), images(found, 3))


@pytest.mark.parametrize("name", ["levit_128s", "deit_tiny_distilled", "ceit_tiny"])
@quiet
@quiet_as_before
def test_a_network_s_trace_holds_none_either(name: str) -> None:
    network = fold(build(name, seed=0))
    check_trace(network, torch.randn(1, 3, 224, 224), torch.randn(2, 3, 224, 224))


def check_trace(network: torch.nn.Module, x: Tensor, several: Tensor) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(network, x, check_trace=False)
        assert torch.equal(traced(x), network(x))
        torch.testing.assert_close(traced(several), network(several))
    nodes = list(traced.inlined_graph.nodes())
    assert {node.kind() for node in nodes}.isdisjoint(UNTRANSLATED)
    slices = [list(node.inputs()) for node in nodes if node.kind() == "aten::slice"]
    assert {inputs[-1].toIValue() for inputs in slices} <= {1}
