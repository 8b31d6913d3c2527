"""A network without classifiers, as libraries publish it, is read under a new head."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from archbench.errors import WeightsError
from archbench.models import ArchSpec, build, convert_weights, load_weights
from tests.models.foreign import State, timm_network, transformers_cvt, transformers_network
from tests.models.test_checkpoints import IMAGES, behind, trained
from tests.models.test_weights import SMALL_DEIT, changed, levit, levit_of_transformers, small_deit

CVT = changed("cvt_13", name="", depths=[1, 2, 3])


def cvt_model() -> tuple[State, State]:
    """CvT of transformers, which ends before the last norm."""
    theirs = transformers_cvt([1, 2, 3])
    return theirs.state_dict(), theirs.cvt.state_dict()


def vit_model_with_pooler() -> tuple[State, State]:
    """ViT of transformers, with the pooler that its classifier does not use."""
    theirs = transformers_network("ViTForImageClassification", "ViTConfig", **SMALL_DEIT)
    pooler = {"pooler.dense.weight": torch.ones(48, 48), "pooler.dense.bias": torch.ones(48)}
    return theirs.state_dict(), theirs.vit.state_dict() | pooler


def levit_model() -> tuple[State, State]:
    """LeViT of transformers, behind a prefix of Lightning."""
    theirs = levit_of_transformers(1, [1, 2, 1])
    return theirs.state_dict(), behind("model.", theirs.levit.state_dict())


def vit_of_timm() -> tuple[State, State]:
    """ViT of timm with no classes."""
    return trained(), {name: v for name, v in trained().items() if not name.startswith("head.")}


def levit_of_timm() -> tuple[State, State]:
    """LeViT of timm without the classifiers, but with the norms before them."""
    state = timm_network("levit_128s", depth=(1, 1, 1)).state_dict()
    return state, {name: value for name, value in state.items() if ".linear." not in name[:17]}


HEADLESS: dict[Callable[[], tuple[State, State]], ArchSpec] = {
    cvt_model: CVT,
    vit_model_with_pooler: small_deit(1),
    levit_model: levit(1, [1, 2, 1]),
    vit_of_timm: small_deit(1),
    levit_of_timm: levit(2, [1, 1, 1]),
}


@pytest.mark.parametrize("make", HEADLESS)
def test_a_base_network_is_read_under_a_new_head(
    make: Callable[[], tuple[State, State]], tmp_path: Path
) -> None:
    spec = HEADLESS[make]
    torch.manual_seed(0)
    full, base = make()
    torch.save(full, tmp_path / "full.pth")
    torch.save(base, tmp_path / "base.pth")
    expected, found = build(spec, seed=1).eval(), build(spec, seed=2).eval()
    load_weights(expected, tmp_path / "full.pth")
    with pytest.raises(WeightsError, match="the file has no classifier: ask for a new head"):
        load_weights(found, tmp_path / "base.pth")
    found.head.load_state_dict(expected.head.state_dict())
    loaded = load_weights(found, tmp_path / "base.pth", new_head=True)
    assert all(one.startswith("head.") for one in loaded.fresh)
    with torch.no_grad():
        torch.testing.assert_close(found(IMAGES), expected(IMAGES), rtol=0, atol=0)


def test_a_base_network_comes_back_as_it_was(tmp_path: Path) -> None:
    _, base = cvt_model()
    torch.save(base, tmp_path / "base.pth")
    convert_weights(tmp_path / "base.pth", tmp_path / "a.safetensors", model=CVT, classes=7)
    convert_weights(tmp_path / "a.safetensors", tmp_path / "back.pth", to="transformers")
    again = torch.load(tmp_path / "back.pth", weights_only=True)
    assert set(again) == set(base)
    assert all(torch.equal(again[name], value) for name, value in base.items())
