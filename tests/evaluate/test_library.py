"""What is written in the terms of timm, transformers and plain torch computes the same."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from archbench.data.image_preparation import Preparation
from archbench.evaluate.library import write_module, write_timm, write_transformers
from archbench.models import Network, as_spec, build
from tests.evaluate.toy import SPEC
from tests.models.foreign import randomise


def _network(name: str, *, num_classes: int = 5) -> Network:
    network = build(as_spec(name), seed=0, num_classes=num_classes)
    randomise(network)
    return network.eval()


def _images(network: Network, *, number: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(number, 3, *network.resolution, generator=generator)


def _preparation(network: Network, *, names: tuple[str, ...] = tuple("abcde")) -> Preparation:
    side = network.resolution[0]
    return Preparation(resolution=side, resize=side, class_names=names)


def _logits(network: Network, images: Tensor) -> Tensor:
    with torch.inference_mode():
        logits: Tensor = network(images)
    return logits


def _assert_close(found: Tensor, expected: Tensor) -> None:
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize(
    "name", ["levit_128s", "cvt_13", "ceit_tiny", "graft_0_12", "deit_tiny_distilled", "resnet_50"]
)
def test_a_python_module_computes_the_same_bits(name: str, tmp_path: Path) -> None:
    network = _network(name)
    write_module(network, tmp_path)
    where = importlib.util.spec_from_file_location("written", tmp_path / "model.py")
    assert where is not None
    assert where.loader is not None
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    for number in (1, 3):
        images = _images(network, number=number)
        assert torch.equal(module.Model()(images), _logits(network, images))
    text = (tmp_path / "model.py").read_text()
    assert {line for line in text.splitlines() if line.startswith(("import ", "from "))} == {
        "import json", "import torch", "from pathlib import Path", "from torch import Tensor, nn",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("levit_128s", "levit_128s"),
        ("levit_192", "levit_192"),
        ("deit_tiny", "deit_tiny_patch16_224"),
        ("deit_tiny_distilled", "deit_tiny_distilled_patch16_224"),
        ("resnet_50", "resnet50"),
        ("mobilenetv4_conv_small_050", "mobilenetv4_conv_small_050"),
    ],
)
def test_timm_creates_the_published_networks(name: str, kind: str, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    network = _network(name)
    found = write_timm(network, tmp_path, preparation=_preparation(network))
    assert (found.library, found.kind, found.reason) == ("timm", kind, "")
    checkpoint = str(tmp_path / "model.safetensors")
    theirs = timm.create_model(kind, num_classes=5, checkpoint_path=checkpoint, **found.settings)
    images = _images(network)
    with torch.inference_mode():
        _assert_close(theirs.eval()(images), _logits(network, images))
        again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
        _assert_close(again(images), _logits(network, images))
    assert tuple(again.pretrained_cfg["mean"]) == (0.5, 0.5, 0.5)
    assert json.loads((tmp_path / "config.json").read_text())["label_names"] == list("abcde")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("levit_128s", "LevitForImageClassificationWithTeacher"),
        ("deit_tiny", "ViTForImageClassification"),
        ("deit_tiny_distilled", "DeiTForImageClassificationWithTeacher"),
    ],
)
def test_transformers_loads_the_published_networks(name: str, kind: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    network = _network(name)
    found = write_transformers(network, tmp_path, preparation=_preparation(network))
    assert (found.library, found.kind, found.reason) == ("transformers", kind, "")
    theirs = getattr(transformers, kind).from_pretrained(tmp_path).eval()
    images = _images(network)
    with torch.inference_mode():
        _assert_close(theirs(images).logits, _logits(network, images))
    assert theirs.config.id2label == dict(enumerate("abcde"))


def test_a_levit_with_one_classifier_is_transformers_plain_one(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    document = {**as_spec("levit_128s").to_document(), "num_classes": 5}
    document["head"] = {**document["head"], "num_classifiers": 1}
    network = build(as_spec(document), seed=0).eval()
    found = write_transformers(network, tmp_path, preparation=_preparation(network))
    assert (found.kind, found.reason) == ("LevitForImageClassification", "")


def test_transformers_cvt_loads_strictly_and_says_that_it_differs(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    network = _network("cvt_13")
    found = write_transformers(network, tmp_path, preparation=_preparation(network))
    assert (found.library, found.reason) == ("transformers", "")
    assert "GELU" in found.note
    theirs, told = transformers.CvtForImageClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(told.values())
    theirs.eval()
    images = _images(network)
    with torch.inference_mode():
        assert not torch.allclose(theirs(images).logits, _logits(network, images), atol=1e-5)


def test_a_cvt_with_gelu_is_exactly_transformers_one(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    document = {**as_spec("cvt_13").to_document(), "num_classes": 5}
    for stage in document["stages"]:
        stage["block"] = {**stage["block"], "activation": "gelu"}
    network = build(as_spec(document), seed=0)
    randomise(network)
    found = write_transformers(network.eval(), tmp_path, preparation=_preparation(network))
    assert (found.library, found.reason, found.note) == ("transformers", "", "")
    images = _images(network)
    _assert_close(found.run(images), _logits(network, images))


def test_pictures_are_prepared_by_transformers_as_here(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    network = _network("levit_128s")
    write_transformers(network, tmp_path, preparation=_preparation(network))
    from PIL import Image

    picture = Image.linear_gradient("L").resize((224, 224)).convert("RGB")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    values = processor(picture, return_tensors="pt")["pixel_values"]
    expected = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    torch.testing.assert_close(values, (expected / 255 - 0.5) / 0.25, atol=1e-4, rtol=0)


@pytest.mark.parametrize("write", [write_timm, write_transformers])
def test_what_a_library_does_not_have_becomes_a_module(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("timm")
    pytest.importorskip("transformers")
    network = build(as_spec(SPEC), seed=0).eval()
    found = write(network, tmp_path, preparation=_preparation(network, names=tuple("abc")))
    assert found.library == "torch"
    assert found.reason
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.py", "model.safetensors"]
    images = _images(network)
    assert torch.equal(found.run(images), _logits(network, images))
