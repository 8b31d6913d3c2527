from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.errors import UsageError
from archbench.train.recipe import Recipe
from archbench.train.step import FlatParameters, decayed_and_others
from tests.train.tiny import RESOLUTION, WIDTH, tiny_batch, tiny_network, tiny_trainer


def test_steps_are_adamw_on_the_mean_loss_of_all_logits() -> None:
    recipe = Recipe(clip=0.1)
    network, expected = tiny_network(dropout=0.0), tiny_network(dropout=0.0)
    trainer = tiny_trainer(network, recipe=recipe)
    decayed, others = decayed_and_others(expected)
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    for size, share in ((8, 0.5), (4, 1.0), (6, 0.3)):
        images, labels = tiny_batch(size)
        loss, norm = trainer.step(images, labels, share=share)
        losses = [F.cross_entropy(o, labels, label_smoothing=0.05) for o in expected(images)]
        optimizer.zero_grad()
        reference = (losses[0] + losses[1]) / 2
        reference.backward()
        reference_norm = nn.utils.clip_grad_norm_(expected.parameters(), 0.1)
        for group in optimizer.param_groups:
            group["lr"] = share * recipe.learning_rate(WIDTH)
        optimizer.step()
        assert float(loss) == pytest.approx(reference.item())
        assert float(norm) == pytest.approx(float(reference_norm))
        assert norm > 0.1  # or nothing was clipped
    for name, parameter in expected.named_parameters():
        torch.testing.assert_close(network.get_parameter(name), parameter, msg=name)


def test_other_number_of_logits_than_classes_is_refused() -> None:
    images, labels = tiny_batch()
    with pytest.raises(UsageError, match="network: 4 logits for 10 classes; build it with"):
        tiny_trainer(tiny_network(), num_classes=10).step(images, labels, share=1.0)


def _gradients(network: nn.Module) -> dict[str, Tensor]:
    images = torch.randn(4, 3, RESOLUTION, RESOLUTION, generator=torch.Generator().manual_seed(1))
    network.eval()
    network(images).square().sum().backward()
    found = {name: p.grad for name, p in network.named_parameters()}
    return {name: gradient.clone() for name, gradient in found.items() if gradient is not None}


def test_only_weights_of_linears_and_convolutions_decay() -> None:
    network = tiny_network()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decayed, others = decayed_and_others(network)
    weights = {f"{layer}.weight" for layer in ("stem", "qkv", "heads.0", "heads.1")}
    assert {names[id(p)] for p in decayed} == weights
    assert len(decayed) + len(others) == len(names)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_network_computes_and_learns_as_before(memory_format: torch.memory_format) -> None:
    expected = tiny_network().to(memory_format=memory_format)
    network = copy.deepcopy(expected)
    flat = FlatParameters(network)
    for (name, one), other in zip(network.named_parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other), name
        assert one.stride() == other.stride(), name
        assert one.data_ptr() % 64 == 0, name
    mine, theirs = _gradients(network), _gradients(expected)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    squares = sum(float(gradient.double().square().sum()) for gradient in theirs.values())
    assert float(flat.gradient.norm()) == pytest.approx(squares**0.5)


def test_clipping_scales_a_long_gradient_and_leaves_a_short_one() -> None:
    flat = FlatParameters(nn.Linear(2, 1, bias=False))
    flat.gradient[:2] = torch.tensor([3.0, 4.0])
    assert float(flat.clip(10.0)) == 5.0
    assert flat.gradient[:2].tolist() == [3.0, 4.0]
    assert float(flat.clip(0.5)) == 5.0
    assert flat.gradient[:2].tolist() == pytest.approx([0.3, 0.4])


def test_parameters_that_are_not_trained_stay_where_they_are() -> None:
    network = nn.Linear(2, 3)
    network.bias.requires_grad_(False)
    place = network.bias.data_ptr()
    FlatParameters(network)
    assert network.bias.data_ptr() == place
    assert network.bias.grad is None


@pytest.mark.parametrize("types", [(), (torch.float32, torch.float64)])
def test_parameters_of_no_type_or_of_two_are_refused(types: tuple[torch.dtype, ...]) -> None:
    network = nn.Sequential(*(nn.Linear(2, 2, dtype=dtype) for dtype in types))
    with pytest.raises(UsageError, match=f"parameters of {len(types)} types and devices"):
        FlatParameters(network)
