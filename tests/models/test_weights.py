"""Others' weights go in, compute what they computed, and come out again bit for bit."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from archbench.errors import UsageError, WeightsError
from archbench.models import ArchSpec, build, convert_weights, load_weights, save_weights
from archbench.models.catalogue import published
from archbench.models.deployment import deploy, deployment_error, fold
from archbench.models.network import as_spec
from archbench.models.weights.header import header
from archbench.models.weights.layout import FileForm, layout, layouts, table
from archbench.models.weights.load import describe_weights
from archbench.models.weights.skeleton import skeleton
from archbench.models.weights.translation import their_tensors
from archbench.models.weights.weight_file import read_weights, write_safetensors
from tests.models.foreign import (
    Logits,
    State,
    assert_same,
    official_cvt,
    official_levit,
    randomise,
    timm_network,
    transformers_cvt,
    transformers_files,
    transformers_network,
)

TOLERANCE = 1e-5
SMALL_DEIT = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
SMALL_DEIT |= {"intermediate_size": 96, "layer_norm_eps": 1e-6}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def changed(base: str, **fields: Any) -> ArchSpec:
    """A published network with other depths, number of classifiers, and so on."""
    document = published(base).to_document()
    for stage, depth in zip(document["stages"], fields.pop("depths", []), strict=False):
        stage["depth"] = depth
    for stage, dim in zip(document["stages"], fields.pop("dims", []), strict=False):
        stage["dim"] = dim
    document["head"]["num_classifiers"] = fields.pop(
        "classifiers", document["head"]["num_classifiers"]
    )
    document["stages"][0] |= fields.pop("first", {})
    return ArchSpec.from_document({**document, **fields})


def small_deit(class_tokens: int, *, classifiers: int | None = None) -> ArchSpec:
    """DeiT with two narrow layers."""
    first = {"dim": 48, "depth": 2, "class_tokens": class_tokens}
    block = {"kind": "vit", "num_heads": 3, "mlp_ratio": 2}
    return changed(
        "deit_tiny",
        name="small deit",
        first={**first, "block": block},
        classifiers=classifiers or class_tokens,
    )


@pytest.fixture(scope="module")
def levit_of_timm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of LeViT-128S as timm saves it."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("timm") / "a.pth"
    torch.save(timm_network("levit_128s").state_dict(), file)
    return file


class Case(NamedTuple):
    """A network of others: the layout that is to be seen, ours, theirs, and their file."""

    layout: str
    spec: ArchSpec
    theirs: nn.Module
    state: State
    wrapper: str


def case(
    layout: str,
    spec: ArchSpec | str,
    theirs: nn.Module,
    *,
    change: Callable[[State], State] = dict,
    wrapper: str = "",
) -> Case:
    state = change(theirs.state_dict())
    network = Logits(theirs) if hasattr(theirs, "config") else theirs
    return Case(layout, as_spec(spec), network, state, wrapper)


def levit(classifiers: int, depths: list[int]) -> ArchSpec:
    """LeViT-128S of other depths, unnamed."""
    return changed("levit_128s", name="", depths=depths, classifiers=classifiers)


def levit_of_transformers(classifiers: int, depths: list[int]) -> nn.Module:
    """The same of transformers, whose second classifier is a teacher's."""
    kind = "LevitForImageClassification" + "WithTeacher" * (classifiers == 2)
    return transformers_network(kind, "LevitConfig", depths=depths, num_attention_heads=[4, 6, 8])


def levit_case(classifiers: int, depths: list[int]) -> Case:
    theirs = levit_of_transformers(classifiers, depths)
    return case("levit_transformers", levit(classifiers, depths), theirs)


def deit_case(spec: ArchSpec, kind: str, *, config: str = "DeiTConfig") -> Case:
    """ViT or DeiT of transformers with two narrow layers, as in its files."""
    theirs = transformers_network(kind, config, **SMALL_DEIT)
    return case("vit_transformers", spec, theirs, change=transformers_files)


def cvt_case(layout: str, **how: Any) -> Case:
    spec = changed("cvt_13", name="", depths=[1, 2, 3])
    return case(layout, spec, transformers_cvt([1, 2, 3]), **how)


def resnet_case(*, change: Callable[[State], State] = dict) -> Case:
    models = pytest.importorskip("torchvision.models")
    theirs = models.ResNet(models.resnet.Bottleneck, [1, 2, 1, 1])
    randomise(theirs)
    spec = changed("resnet_50", name="", depths=[0, 0, 1, 0, 0])
    return case("resnet_torchvision", spec, theirs.eval(), change=change)


def mobilenet_case(layout: str, name: str) -> Case:
    return case(layout, changed(name, resolution=64), timm_network(name))


def in_memory_case() -> Case:
    theirs = transformers_network(f"DeiT{_TEACHER}", "DeiTConfig", **SMALL_DEIT)
    found = case("vit_transformers_5", small_deit(2), theirs)
    if not any("q_proj" in name for name in found.state):
        pytest.skip("this version of transformers has the names of its files in memory")
    return found


_TEACHER = "ForImageClassificationWithTeacher"
_LEVIT_RELEASED: dict[str, Any] = {
    "change": partial(official_levit, with_offsets=True),
    "wrapper": "model",
}

CASES: dict[str, Callable[[], Case]] = {
    "levit_timm": lambda: case("levit_timm", "levit_128s", timm_network("levit_128s")),
    "levit_timm_convolutions": lambda: case(
        "levit_timm", "levit_128s", timm_network("levit_conv_128s")
    ),
    "levit_timm_of_other_depths": lambda: case(
        "levit_timm", levit(2, [1, 2, 1]), timm_network("levit_128s", depth=(1, 2, 1))
    ),
    "levit_official": lambda: case(
        "levit_official", "levit_128s", timm_network("levit_128s"), **_LEVIT_RELEASED
    ),
    "levit_official_without_offsets": lambda: case(
        "levit_official",
        "levit_128s",
        timm_network("levit_128s"),
        change=partial(official_levit, with_offsets=False),
    ),
    "levit_official_convolutions": lambda: case(
        "levit_official",
        levit(2, [1, 1, 2]),
        timm_network("levit_conv_128s", depth=(1, 1, 2)),
        **_LEVIT_RELEASED,
    ),
    "levit_transformers": lambda: levit_case(1, [2, 3, 4]),
    "levit_transformers_with_teacher": lambda: levit_case(2, [1, 2, 1]),
    "cvt_transformers": lambda: cvt_case("cvt_transformers"),
    "cvt_official": lambda: cvt_case("cvt_official", change=official_cvt),
    "cvt_official_to_resume": lambda: cvt_case(
        "cvt_official",
        change=lambda state: {f"module.{k}": v for k, v in official_cvt(state).items()},
        wrapper="state_dict",
    ),
    "vit_timm": lambda: case(
        "vit_timm",
        changed("deit_tiny", name="", depths=[3]),
        timm_network("deit_tiny_patch16_224", depth=3),
        wrapper="model",
    ),
    "vit_timm_distilled": lambda: case(
        "vit_timm",
        changed("deit_tiny_distilled", name="", depths=[3]),
        timm_network("deit_tiny_distilled_patch16_224", depth=3),
    ),
    "vit_transformers": lambda: deit_case(
        small_deit(1), "ViTForImageClassification", config="ViTConfig"
    ),
    "vit_transformers_with_teacher": lambda: deit_case(small_deit(2), f"DeiT{_TEACHER}"),
    "vit_transformers_without_teacher": lambda: deit_case(
        small_deit(2, classifiers=1), "DeiTForImageClassification"
    ),
    "vit_transformers_5": in_memory_case,
    "mobilenetv3_timm": lambda: mobilenet_case("mobilenetv3_timm", "mobilenetv3_small_050"),
    "mobilenetv4_timm": lambda: mobilenet_case("mobilenetv4_timm", "mobilenetv4_conv_small_050"),
    "mobilenetv4_timm_with_attention": lambda: mobilenet_case(
        "mobilenetv4_timm", "mobilenetv4_hybrid_medium"
    ),
    "efficientvit_timm": lambda: case(
        "efficientvit_timm", "efficientvit_b0", timm_network("efficientvit_b0")
    ),
    "shvit_timm": lambda: case("shvit_timm", "shvit_s1", timm_network("shvit_s1")),
    "edgenext_timm": lambda: case(
        "edgenext_timm",
        changed("edgenext_xx_small", name="", depths=[1, 1, 1, 2, 1, 1, 1], resolution=64),
        timm_network("edgenext_xx_small", depths=(1, 2, 3, 2)),
    ),
    "mobileone_timm": lambda: case(
        "mobileone_timm",
        changed("mobileone_s4", name="", dims=[8, 24, 56, 112, 256], resolution=64),
        timm_network("mobileone_s4", width_factor=0.125),
    ),
    "mobileone_timm_branches": lambda: case(
        "mobileone_timm",
        changed("mobileone_s0", name="", dims=[24, 24, 64, 128, 512], resolution=64),
        timm_network("mobileone_s0", width_factor=0.5),
    ),
    "repvit_timm": lambda: case(
        "repvit_timm",
        changed("repvit_m0_9", name="", depths=[1, 2, 3, 1], dims=[16, 24, 32, 40], resolution=64),
        timm_network("repvit_m0_9", depth=(1, 2, 3, 1), embed_dim=(16, 24, 32, 40)),
    ),
    "resnet_torchvision": resnet_case,
    "resnet_torchvision_without_counters": lambda: resnet_case(
        change=lambda state: {k: v for k, v in state.items() if "num_batches_tracked" not in k}
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_weights_of_others_compute_the_same_and_come_back(case: str, tmp_path: Path) -> None:
    name, spec, theirs, state, wrapper = CASES[case]()
    file, ours, back = tmp_path / "a.pth", tmp_path / "ours.safetensors", tmp_path / "b.pth"
    torch.save({wrapper: state} if wrapper else state, file)

    network = build(spec, seed=1).eval()
    assert load_weights(network, file).layout == name
    assert deployment_error(theirs, network, torch.randn(2, 3, *spec.resolution)) < TOLERANCE

    convert_weights(file, ours, model=spec)
    assert convert_weights(ours, back, to=name).layout == name
    again = torch.load(back, weights_only=True)
    assert_same(again[wrapper] if wrapper else again, state)


def test_every_layout_has_a_test() -> None:
    assert set(layouts()) <= {"archbench", *CASES}


@pytest.mark.parametrize(
    "network",
    [
        *("levit_384", "cvt_w24_384", "deit_base_distilled", "resnet_50"),
        *("mobilenetv3_large_100", "mobilenetv4_hybrid_medium", "efficientvit_b3", "shvit_s4"),
        *("edgenext_base", "mobileone_s4", "repvit_m2_3"),
    ],
)
def test_no_two_tensors_of_a_published_network_share_a_name(network: str) -> None:
    spec = published(network)
    tensors = skeleton(spec).tensors
    for name in layouts():
        if not name.startswith(network.split("_")[0].replace("deit", "vit")):
            continue
        names = [one for entry in table(name, spec.resolved(), tensors) for one in entry.theirs]
        assert len(names) == len(set(names))
        assert len(their_tensors(tensors, name=name, form=FileForm(), spec=spec)) == len(names)


@pytest.mark.parametrize(
    ("network", "number"),
    [("cvt_13", 459), ("cvt_21", 731), ("cvt_w24", 833), ("levit_128s", 336), ("levit_256", 414)],
)
def test_the_released_code_has_as_many_names(network: str, number: int) -> None:
    spec, name = published(network), f"{network.split('_')[0]}_official"
    form = FileForm(offsets=layout(name).keeps_offsets)
    assert len(their_tensors(skeleton(spec).tensors, name=name, form=form, spec=spec)) == number


def test_half_precision_survives_a_conversion_and_goes_into_float32(tmp_path: Path) -> None:
    state = {
        name: value.to(torch.bfloat16) if value.is_floating_point() else value
        for name, value in build("levit_128s", seed=0).state_dict().items()
    }
    save_file(state, tmp_path / "half.safetensors")
    convert_weights(tmp_path / "half.safetensors", tmp_path / "t.safetensors", to="timm")
    converted = load_file(tmp_path / "t.safetensors")
    assert converted["stem.conv1.linear.weight"].dtype == torch.bfloat16
    network = build("levit_128s", seed=1)
    load_weights(network, tmp_path / "t.safetensors")
    assert network.head.classifiers[0].linear.weight.dtype == torch.float32
    assert_same({k: v.float() for k, v in network.state_dict().items()}, state, as_float=True)


def test_a_saved_network_knows_what_it_is(tmp_path: Path) -> None:
    network, path = build("levit_128s", seed=0), tmp_path / "a.safetensors"
    sha256 = save_weights(network, path, source={"trained": "here"})
    found = describe_weights(path)
    assert (found["sha256"], found["network"], found["verified"]) == (sha256, "levit_128s", True)
    assert found["source"] == {"trained": "here"}
    assert ArchSpec.from_document(found["spec"]) == published("levit_128s")
    other = build("levit_128s", seed=1)
    loaded = load_weights(other, path)
    assert (loaded.layout, loaded.verified, loaded.fresh) == ("archbench", True, ())
    assert_same(other.state_dict(), network.state_dict())


def test_a_converted_file_knows_its_training_and_its_classes(
    tmp_path: Path, tiny: ArchSpec
) -> None:
    side, classes = tiny.resolution.height, tiny.num_classes
    names = [f"class {number}" for number in range(classes)]
    images = {"resolution": side, "resize": side, "mean": [0.5], "class_names": names}
    told = {"data": "photos 0123", "epoch": "7", "accuracy": "0.5", "images": json.dumps(images)}
    network, path, new = build(tiny, seed=0), tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_safetensors(path, network.state_dict(), metadata={**header(tiny), **told})
    convert_weights(path, new)
    assert read_weights(new).metadata.items() >= told.items()
    convert_weights(path, new, resolution=2 * side)
    found = dict(read_weights(new).metadata)
    assert json.loads(found["images"]) == {
        **images, "resolution": 2 * side, "resize": 2 * side,
    }  # fmt: skip
    assert (found["data"], found["epoch"], "accuracy" in found) == ("photos 0123", "7", False)
    convert_weights(path, new, classes=classes + 1)
    assert json.loads(read_weights(new).metadata["images"]) == {**images, "class_names": []}


def test_the_network_of_others_weights_is_found_by_its_size(tmp_path: Path) -> None:
    torch.save(timm_network("levit_192").state_dict(), tmp_path / "a.pth")
    converted = convert_weights(tmp_path / "a.pth", tmp_path / "a.safetensors")
    assert converted.spec.name == "levit_192"


def test_a_changed_value_or_spec_is_refused(tmp_path: Path, tiny: ArchSpec) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(build(tiny, seed=0), path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="damaged or changed"):
        load_weights(build(tiny), path)
    save_weights(build(tiny, seed=0), path)
    path.write_bytes(path.read_bytes().replace(b'kv_stride\\": 2', b'kv_stride\\": 1'))
    with pytest.raises(WeightsError, match="damaged or changed"):
        describe_weights(path)


def test_the_same_shapes_of_another_network_are_refused(tmp_path: Path, tiny: ArchSpec) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(build(tiny, seed=0), path)
    document = tiny.to_document()
    document["stages"][0]["block"]["kv_stride"] = 1
    with pytest.raises(WeightsError, match=r"blocks\[0\]\.kv_stride: 2, here 1"):
        load_weights(build(document), path)


def test_what_does_not_fit_is_listed_and_the_network_stays(levit_of_timm: Path) -> None:
    network = build("levit_128", seed=0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(WeightsError) as refused:
        load_weights(network, levit_of_timm)
    assert_same(network.state_dict(), before)
    text = str(refused.value)
    assert "missing: 75 tensors (stages.0.blocks.2.attn.qkv.linear.weight, " in text
    assert "of another shape: 49 (" in text
    assert "384x256 in the file, 512x256 in the network" in text
    assert text.endswith("they have as many parameters as levit_128s")
    assert len(text) < 1500


def test_one_classifier_is_not_two(tmp_path: Path) -> None:
    _, spec, _, state, _ = CASES["levit_transformers"]()
    torch.save(state, tmp_path / "a.bin")
    with pytest.raises(WeightsError, match=r"missing: 7 tensors .*change head.num_classifiers"):
        load_weights(build("levit_128s"), tmp_path / "a.bin")
    state["classifier_distill.linear.weight"] = torch.zeros(1000, 384)
    torch.save(state, tmp_path / "a.bin")
    with pytest.raises(WeightsError, match=r"left over: 1 tensor \(classifier_distill.linear"):
        load_weights(build(spec), tmp_path / "a.bin")


def test_weights_of_another_family_are_refused(levit_of_timm: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"stages\[0\]\.embed is conv, not conv_stem"):
        load_weights(build("cvt_13"), levit_of_timm)
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"no layout that is known; it holds 1 tensor \(layer"):
        load_weights(build("levit_128s"), tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.index_fill(0, torch.tensor([0]), float("nan")), "not finite"),
        (lambda values: values.index_fill(0, torch.tensor([0]), float("-inf")), "not finite"),
        (lambda values: values - 2, "negative variances"),
        (lambda values: values.long(), "another type of number"),
    ],
)
def test_values_that_cannot_be_are_refused(
    change: Callable[[Tensor], Tensor], words: str, tmp_path: Path, tiny: ArchSpec
) -> None:
    state = build(tiny, seed=0).state_dict()
    name = "stages.0.blocks.0.attention.key_map.norm.running_var"
    torch.save({**state, name: change(state[name])}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=rf"{words} in 1 tensor \({name}"):
        load_weights(build(tiny), tmp_path / "a.pth")


def test_offsets_that_are_numbered_otherwise_are_refused(tmp_path: Path) -> None:
    _, spec, _, state, _ = CASES["levit_official"]()
    name = "blocks.0.m.attention_bias_idxs"
    torch.save({"model": {**state, name: state[name].flip(0)}}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="other offsets between queries and keys"):
        load_weights(build(spec), tmp_path / "a.pth")


def test_other_classes_need_a_new_head(levit_of_timm: Path) -> None:
    spec = replace(published("levit_128s"), num_classes=37)
    network = build(spec, seed=5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match="for 1000 classes, and the network has 37"):
        load_weights(network, levit_of_timm)
    loaded = load_weights(network, levit_of_timm, new_head=True)
    assert set(loaded.fresh) == {name for name in before if name.startswith("head.classifiers.")}
    for name, value in network.state_dict().items():
        moved = name.endswith("weight") and not torch.equal(value, before[name])
        assert moved == (name.endswith("weight") and name not in loaded.fresh)
    one = build(changed("levit_128s", classifiers=1), seed=0)
    assert len(load_weights(one, levit_of_timm, new_head=True).fresh) == 7


def test_another_resolution_is_refused_with_the_one_that_fits(tmp_path: Path) -> None:
    torch.save(
        timm_network("deit_tiny_patch16_224", img_size=384, depth=1).state_dict(), tmp_path / "a"
    )
    spec = changed("deit_tiny", name="", depths=[1])
    with pytest.raises(WeightsError, match=r"24x24, not 14x14; build it at 384, or ask"):
        load_weights(build(spec), tmp_path / "a")
    loaded = load_weights(build(spec), tmp_path / "a", interpolate=True)
    assert loaded.interpolated == ("stages.0.position",)
    assert loaded.spec.resolution == (384, 384)
    assert load_weights(build(replace(spec, resolution=loaded.spec.resolution)), tmp_path / "a")


def test_interpolated_positions_are_those_of_timm(tmp_path: Path) -> None:
    theirs = timm_network("deit_tiny_patch16_224", depth=1)
    torch.save(theirs.state_dict(), tmp_path / "a.pth")
    spec = changed("deit_tiny", name="", depths=[1], resolution=160)
    network = build(spec).eval()
    load_weights(network, tmp_path / "a.pth", interpolate=True)
    theirs.set_input_size((160, 160))  # type: ignore[operator]
    assert deployment_error(theirs, network, torch.randn(1, 3, 160, 160)) < TOLERANCE


def test_biases_come_to_a_resolution_that_is_not_square(tmp_path: Path) -> None:
    state = official_levit(timm_network("levit_128s").state_dict(), with_offsets=True)
    torch.save({"model": state}, tmp_path / "a.pth")
    converted = convert_weights(
        tmp_path / "a.pth", tmp_path / "a.safetensors", model="levit_128s", resolution=(160, 288)
    )
    assert len(converted.loaded.interpolated) == 11
    network = build(converted.spec).eval()
    load_weights(network, tmp_path / "a.safetensors")
    assert network(torch.zeros(1, 3, 160, 288)).isfinite().all()
    with pytest.raises(WeightsError, match=r"images of 160x288, .* build it at 160x288"):
        load_weights(build("levit_128s"), tmp_path / "a.safetensors")


def test_a_deployed_form_takes_and_gives_no_weights(tmp_path: Path, tiny: ArchSpec) -> None:
    network = build(tiny, seed=0)
    save_weights(network, tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match=r"before archbench\.deploy"):
        load_weights(fold(network), tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match="not its deployed form"):
        save_weights(fold(network), tmp_path / "b.safetensors")
    deployed = deploy(network, torch.zeros(1, 3, 32, 32), budget_s=0.0)
    with pytest.raises(UsageError, match="neither takes nor gives weights"):
        save_weights(deployed, tmp_path / "b.safetensors")
    with pytest.raises(UsageError, match="neither takes nor gives weights"):
        load_weights(deployed, tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match=r"a network of archbench\.build"):
        load_weights(nn.Linear(1, 1), tmp_path / "a.safetensors")


def test_our_weights_without_a_sha256_are_not_verified(tmp_path: Path, tiny: ArchSpec) -> None:
    network = build(tiny, seed=0)
    header = {"format": "archbench.weights/1", "spec": json.dumps(tiny.to_document())}
    save_file(network.state_dict(), tmp_path / "a.safetensors", metadata=header)
    assert not load_weights(build(tiny, seed=1), tmp_path / "a.safetensors").verified


def test_a_sha256_without_its_spec_verifies_nothing(tmp_path: Path, tiny: ArchSpec) -> None:
    state = build(tiny, seed=0).state_dict()
    save_file(state, tmp_path / "a.safetensors", metadata={"sha256": "0" * 64})
    assert not describe_weights(tmp_path / "a.safetensors")["verified"]
    assert not load_weights(build(tiny, seed=1), tmp_path / "a.safetensors").verified


@pytest.mark.parametrize(
    ("target", "to", "words"),
    [
        ("a.pth", "archbench", "does not end in .safetensors"),
        ("a.txt", "official", "ends neither in .safetensors nor"),
        ("a.pth", "timm", "timm has no layout for tiny"),
        ("a.pth", "tim", "unknown layout 'tim'; known: archbench, official"),
    ],
)
def test_what_cannot_be_written_is_refused(
    target: str, to: str, words: str, tmp_path: Path, tiny: ArchSpec
) -> None:
    save_weights(build(tiny, seed=0), tmp_path / "in.safetensors")
    with pytest.raises(UsageError, match=words):
        convert_weights(tmp_path / "in.safetensors", tmp_path / target, to=to)
    assert not (tmp_path / target).exists()


def test_a_form_that_was_tampered_with_is_refused(tmp_path: Path, tiny: ArchSpec) -> None:
    source = {"layout": "cvt_official", "form": {"wrapper": 3}}
    save_weights(build(tiny, seed=0), tmp_path / "a.safetensors", source=source)
    with pytest.raises(WeightsError, match="the form of the file"):
        convert_weights(tmp_path / "a.safetensors", tmp_path / "a.pth", to="official")


@pytest.fixture
def tiny() -> ArchSpec:
    """CvT with a block in each stage, for small images of three classes."""
    return changed("cvt_13", name="tiny", depths=[1, 1, 1], resolution=32, num_classes=3)
