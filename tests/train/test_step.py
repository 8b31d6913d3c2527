from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.errors import UsageError
from archbench.train.recipe import Recipe
from archbench.train.step import Trainer, decayed_and_others
from tests.train.tiny import NUM_CLASSES, RESOLUTION, WIDTH, TinyHybrid, tiny_network

CPU = torch.device("cpu")


def _trainer(
    network: nn.Module, *, recipe: Recipe | None = None, num_classes: int = NUM_CLASSES
) -> Trainer:
    return Trainer(
        network,
        recipe=recipe or Recipe(),
        width=WIDTH,
        num_classes=num_classes,
        precision="fp32",
        memory_format="contiguous",
        device=CPU,
    )


def _batch(size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(size, 3, RESOLUTION, RESOLUTION, generator=generator)
    return images, torch.arange(size) % NUM_CLASSES


def test_steps_are_adamw_on_the_mean_loss_of_all_logits() -> None:
    recipe = Recipe(clip=0.1)
    network, expected = tiny_network(dropout=0.0), tiny_network(dropout=0.0)
    trainer = _trainer(network, recipe=recipe)
    decayed, others = decayed_and_others(expected)
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    for size, share in ((8, 0.5), (4, 1.0), (6, 0.3)):
        images, labels = _batch(size)
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


def test_batch_of_two_images_passes_batch_norm() -> None:
    images, labels = _batch(2)
    assert torch.isfinite(_trainer(tiny_network()).step(images, labels, share=1.0)).all()


def test_restored_state_takes_the_same_next_step() -> None:
    images, labels = _batch()
    one, other = (_trainer(tiny_network(seed=seed, dropout=0.0)) for seed in (0, 1))
    one.step(images, labels, share=1.0)
    other.restore({name: tensor.clone() for name, tensor in one.state().items()})
    assert torch.equal(one.step(images, labels, share=1.0), other.step(images, labels, share=1.0))
    for mine, theirs in zip(one.state().items(), other.state().items(), strict=True):
        assert mine[0] == theirs[0]
        assert torch.equal(mine[1], theirs[1])


def test_signature_tells_networks_apart() -> None:
    assert _trainer(tiny_network(seed=0)).signature() == _trainer(tiny_network(seed=1)).signature()
    assert _trainer(TinyHybrid(num_classes=5)).signature() != _trainer(tiny_network()).signature()


def test_other_number_of_logits_than_classes_is_refused() -> None:
    images, labels = _batch()
    with pytest.raises(UsageError, match="network: 4 logits for 10 classes; build it with"):
        _trainer(tiny_network(), num_classes=10).step(images, labels, share=1.0)
