"""What holds for every backend.

Those that are not installed are skipped. Those that compile take seconds a network: run them with
``pytest -m slow tests/measure/test_backends.py``.
"""

import itertools
import logging
import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from archbench import errors
from archbench.errors import InexactError, MissingError, UsageError
from archbench.exactness import Standard
from archbench.measure.agreement import LIMITS, checked_error, prepared
from archbench.measure.backend import (
    BACKENDS,
    PRECISIONS,
    Runnable,
    absence,
    computed_precision,
    quiet,
    write_artifact,
)
from archbench.measure.backends import _onnx, aotinductor, eager
from archbench.measure.machine import pinned
from archbench.models import as_spec, build, fold
from archbench.models.layer import AveragePool
from archbench.study.environment import usable_cores
from archbench.study.measurement import Conditions
from tests.models.parts import amplify, random_spec

COMPILING = {"compiled", "aotinductor"}
EXAMPLE, BF16 = torch.randn(1, 3, 8, 8), Conditions(precision="bf16")


def has(name: str, attribute: str, precision: str = "fp32") -> bool:
    """Whether a backend holds an attribute, and computes a precision on a CPU."""
    backend = BACKENDS.load(name)
    return hasattr(backend, attribute) and precision in backend.PRECISIONS.get("cpu", ())


def with_attribute(attribute: str, precision: str = "fp32") -> list[object]:
    """Every backend that holds an attribute and computes a precision on a CPU."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name in COMPILING else [])
        for name in BACKENDS.names
        if has(name, attribute, precision)
    ]


def cases(*, device: str, have: str = "FORM") -> list[object]:
    """Every backend that holds an attribute, in every precision that it has on a device."""
    marks = {name: [pytest.mark.slow] for name in COMPILING}
    return [
        pytest.param(
            name, precision, marks=marks.get(name, []) if device == "cpu" else [pytest.mark.gpu]
        )
        for name in BACKENDS.names
        for precision in BACKENDS.load(name).PRECISIONS.get(device, ())
        if hasattr(BACKENDS.load(name), have)
    ]


def usable(name: str, precision: str, *, device: str = "cpu") -> Conditions:
    if missing := absence(name, device=device):
        pytest.skip(missing.message)
    if (name, precision) == ("openvino", "int8"):
        pytest.importorskip("nncf")
    return Conditions(backend=name, precision=precision, device=device)


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(288, 5))


@pytest.mark.parametrize(("name", "precision"), cases(device="cpu"))
def test_computes_what_eager_computes(name: str, precision: str) -> None:
    conditions = usable(name, precision)
    rng = random.Random(4)
    for _ in range(1 if name in COMPILING else 2):
        spec = random_spec(rng)
        network, sides = fold(build(spec, seed=0)), tuple(spec.resolution)
        if precision == "int8":  # an untrained deep network may lose everything
            network, sides = small().eval(), (8, 8)
        example = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(0))
        found = prepared(network, example, conditions=conditions, images=[example])
        standard = Standard(network, example)
        assert standard.error(found.run()) <= 1.01 * (found.error or 0.0)
        assert found.complaint() == ""


@pytest.mark.parametrize(("name", "precision"), cases(device="cuda"))
def test_computes_on_a_gpu_what_eager_computes(name: str, precision: str) -> None:
    conditions = usable(name, precision, device="cuda")
    network = fold(build(random_spec(random.Random(4)), seed=0))
    example = torch.randn(2, 3, 32, 32)
    found = prepared(small(), torch.randn(2, 3, 8, 8), conditions=conditions)
    assert found.error is not None
    assert prepared(network, example, conditions=conditions).complaint() == ""


@pytest.mark.parametrize(("name", "precision"), cases(device="cpu"))
def test_the_network_stays_as_it_was(name: str, precision: str) -> None:
    conditions = usable(name, precision)
    network = small()
    network[1].eval()
    before = [tensor.clone() for tensor in network.state_dict().values()]
    example = torch.randn(2, 3, 8, 8)
    prepared(network, example, conditions=conditions, images=[example]).run()
    assert [module.training for module in network] == [True, False, True, True]
    after = network.state_dict().values()
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize(("name", "precision"), cases(device="cpu", have="open_artifact"))
def test_an_artifact_that_was_kept_runs_as_one_that_is_not(
    name: str, precision: str, tmp_path: Path
) -> None:
    conditions, network = usable(name, precision), small().eval()
    path = tmp_path / f"kept{BACKENDS.load(name).SUFFIX}"
    files = write_artifact(network, EXAMPLE, path=path, conditions=conditions, images=[EXAMPLE])
    assert files[0] == path
    assert sorted(files) == sorted(tmp_path.iterdir())
    found = prepared(network, EXAMPLE, conditions=conditions, images=[EXAMPLE])
    kept = prepared(network, EXAMPLE, conditions=conditions, artifact=path)
    assert (kept.error, kept.precision) == (found.error, found.precision)
    size = sum(file.stat().st_size for file in files)
    assert found.details["artifact_bytes"] == pytest.approx(size, rel=0.01)  # names are in it


@pytest.mark.parametrize("name", with_attribute("DYNAMIC_BATCH"))
def test_an_artifact_of_a_dynamic_batch_runs_any_number_of_images(
    name: str, tmp_path: Path
) -> None:
    conditions, path = usable(name, "fp32"), tmp_path / f"network{BACKENDS.load(name).SUFFIX}"
    if name == "onnxruntime":
        pytest.importorskip("onnxscript")
    network = fold(build(random_spec(random.Random(4)), seed=0))
    example = torch.randn(3, 3, 32, 32)
    write_artifact(network, example[:1], path=path, conditions=conditions, dynamic_batch=True)
    for number in (1, 3):
        prepared(network, example[:number], conditions=conditions, artifact=path)


@pytest.mark.parametrize("name", with_attribute("open_artifact"))
def test_a_pass_of_an_artifact_reads_the_images(name: str, tmp_path: Path) -> None:
    conditions, network = usable(name, "fp32"), small().eval()
    path = tmp_path / f"network{BACKENDS.load(name).SUFFIX}"
    write_artifact(network, EXAMPLE, path=path, conditions=conditions)
    with quiet():
        opened = BACKENDS.load(name).open_artifact(path, EXAMPLE, conditions=conditions)
    assert opened.images is not None
    other = torch.randn(EXAMPLE.shape, generator=torch.Generator().manual_seed(1))
    for images in (EXAMPLE, other, EXAMPLE):
        opened.images.copy_(images)
        assert Standard(network, images).error(opened.run()) < 1e-5


@pytest.mark.parametrize("name", with_attribute("write_metadata"))
def test_a_file_keeps_a_text_and_computes_the_same(name: str, tmp_path: Path) -> None:
    conditions, network, backend = usable(name, "fp32"), small().eval(), BACKENDS.load(name)
    path, text = tmp_path / f"network{backend.SUFFIX}", '{"classes": ["käse", "<&\\"]}' * 99
    write_artifact(network, EXAMPLE, path=path, conditions=conditions)
    before = prepared(network, EXAMPLE, conditions=conditions, artifact=path)
    assert backend.read_metadata(path) == ""
    backend.write_metadata(path, text)
    assert backend.read_metadata(path) == text
    after = prepared(network, EXAMPLE, conditions=conditions, artifact=path)
    assert (after.error, after.details) == (before.error, before.details)


@pytest.mark.parametrize("traced", [True, False], ids=["traced", "not traced"])
def test_a_network_that_cannot_be_traced_comes_to_onnx_too(
    traced: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    conditions, asked = usable("onnxruntime", "fp32"), list[str]()
    if not traced:
        pytest.importorskip("onnxscript")
    # The exporter that traces takes no mean over parts of different sizes.
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.AdaptiveAvgPool2d(2 if traced else 3)).eval()
    exported = _onnx.exported_program
    monkeypatch.setattr(
        _onnx, "exported_program", lambda *a, **k: asked.append("exported") or exported(*a, **k)
    )
    found = prepared(network, EXAMPLE, conditions=conditions)
    assert found.error is not None
    assert found.error < 1e-5
    assert asked == ([] if traced else ["exported"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("sides", [(3, 5, 1), (3, 2, 1), (2, 2, 0)], ids=str)
def test_ncnn_rounds_a_pooled_map_up_as_pytorch_does(sides: tuple[int, int, int]) -> None:
    conditions = usable("ncnn", "fp32")
    network = nn.Sequential(nn.Conv2d(3, 8, 1), AveragePool(*sides), nn.Conv2d(8, 4, 1)).eval()
    found = prepared(network, torch.randn(2, 3, 18, 33), conditions=conditions)
    assert found.error is not None
    assert found.error < 1e-5


def test_ncnn_takes_the_mean_of_two_classifiers() -> None:
    conditions = usable("ncnn", "fp32")
    document = {**as_spec("deit_tiny_distilled").to_document(), "resolution": 32}
    document["stages"][0]["depth"] = 1
    network = fold(build(document, num_classes=5, seed=0))
    prepared(network, torch.randn(2, 3, 32, 32), conditions=conditions)


@pytest.mark.parametrize("name", ["executorch", "litert", "ncnn", "onnxruntime", "openvino"])
def test_operators_left_outside_are_counted(name: str) -> None:
    found = prepared(small().eval(), EXAMPLE, conditions=usable(name, "fp32")).details
    number = int(found["operators_outside"])
    assert 0 <= number <= 2
    assert number < int(found.get("operators", 3))
    assert ("outside" in found) == bool(number)


@pytest.mark.parametrize("name", with_attribute("write", "int8"))
def test_int8_is_calibrated_on_the_images_given(name: str, tmp_path: Path) -> None:
    conditions, errors = usable(name, "int8"), []
    torch.manual_seed(1)
    network, example = small().eval(), torch.randn(1, 3, 8, 8)
    generator = torch.Generator().manual_seed(0)
    path = tmp_path / f"network{BACKENDS.load(name).SUFFIX}"
    for scale in (1.0, 100.0):  # the example has deviation 1
        images = (scale * torch.randn(1, 3, 8, 8, generator=generator) for _ in range(8))
        write_artifact(network, example, path=path, conditions=conditions, images=images)
        run = BACKENDS.load(name).open_artifact(path, example, conditions=conditions).run
        with torch.inference_mode():
            errors.append(float((network(example) - run()[0]).abs().max()))
    assert errors[1] > 3 * errors[0]


def test_an_artifact_that_cannot_be_written_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, path: Path, **__: object) -> None:
        path.write_text("half")
        raise RuntimeError("no space is left")

    monkeypatch.setattr(aotinductor, "write", breaks)
    monkeypatch.setattr(aotinductor, "COMPILES_ON", ())
    path, conditions = tmp_path / "network.pt2", Conditions(backend="aotinductor")
    path.write_text("whole")
    with pytest.raises(RuntimeError, match="no space"):
        write_artifact(small(), EXAMPLE, path=path, conditions=conditions)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("network.pt2", "whole")
    ]


@pytest.mark.parametrize(
    ("backend", "file", "dynamic_batch", "told"),
    [
        ("eager", "network.pt2", False, "eager: it runs no file; use aotinductor, .*openvino"),
        ("aotinductor", "network.onnx", False, r"network\.onnx does not end in \.pt2"),
        ("executorch", "network.pte", True, "its file has a fixed batch; use .*onnxruntime"),
    ],
)
def test_an_artifact_that_cannot_be_is_refused(
    backend: str, file: str, dynamic_batch: bool, told: str, tmp_path: Path
) -> None:
    conditions, path = usable(backend, "fp32"), tmp_path / file
    with pytest.raises(UsageError, match=told):
        write_artifact(
            small(), EXAMPLE, path=path, conditions=conditions, dynamic_batch=dynamic_batch
        )


def test_a_backend_without_a_file_opens_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it runs no file"):
        prepared(small(), EXAMPLE, conditions=Conditions(), artifact=tmp_path / "network.pt2")


@pytest.mark.skipif(usable_cores() < 2, reason="one core only")
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_threads_are_those_asked_for_after_one_was_pinned(name: str) -> None:
    conditions = usable(name, "fp32")
    for threads in (1, 2):
        with pinned(threads=threads):
            asked = replace(conditions, threads=threads)
            assert prepared(small(), EXAMPLE, conditions=asked).precision == "fp32"


@pytest.mark.parametrize("name", BACKENDS.names)
def test_keeps_the_protocol(name: str) -> None:
    backend = BACKENDS.load(name)
    assert backend.FORM in ("deployed", "portable")
    assert set(backend.PRECISIONS) <= {"cpu", "cuda"}
    precisions = set(itertools.chain(*backend.PRECISIONS.values()))
    assert precisions <= set(PRECISIONS) <= set(LIMITS)
    missing = absence(name, device="cpu")
    assert missing is None or (missing.message and missing.help)


def test_what_preparing_took_and_the_error_are_told() -> None:
    ticks = itertools.count(step=5.0)
    found = prepared(small(), EXAMPLE, conditions=BF16, wall=lambda: next(ticks))
    assert (found.seconds, found.precision) == (5.0, "bf16")
    assert found.error is not None
    assert 1e-6 < found.error < LIMITS["bf16"]


def test_eager_itself_has_nothing_to_be_compared_with_but_in_another_precision() -> None:
    network, seen = nn.Linear(4, 2).eval(), []

    def look(module: nn.Module, images: tuple[Tensor]) -> None:
        seen.append((module.training, torch.is_inference_mode_enabled(), images[0].dtype))

    network.register_forward_pre_hook(look)
    found = prepared(network, torch.zeros(1, 4), conditions=Conditions())
    assert (found.error, seen) == (None, [])
    found.run()
    assert seen == [(False, True, torch.float32)]
    other = eager.prepare(network, torch.zeros(1, 4), conditions=BF16)
    assert other.run().dtype == torch.bfloat16  # type: ignore[attr-defined]
    assert network.weight.dtype == torch.float32


def test_another_output_than_eagers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(network: nn.Module, example: Tensor, *, conditions: Conditions) -> Runnable:
        output = network(example) * 1.01
        return Runnable(run=lambda: output, precision="fp32")

    monkeypatch.setattr(eager, "prepare", wrong)
    with pytest.raises(InexactError, match=r"differs from eager's by 1\.0e-02 .* fp32 explains 1e"):
        prepared(small().eval(), EXAMPLE, conditions=BF16)


def test_an_output_that_is_not_a_number_is_no_small_difference() -> None:
    output = torch.tensor([1.0, float("nan")])
    standard = Standard(nn.Identity(), torch.ones(2))
    with pytest.raises(InexactError, match="by inf of the largest one"):
        checked_error(standard, output, precision="int8", backend="it")


def test_a_network_that_amplifies_rounding_is_held_against_the_fp64_output() -> None:
    network = build("levit_128s").eval()
    generator = torch.Generator().manual_seed(18)
    amplify(network, scale=1.2, generator=generator)
    standard = Standard(network, torch.randn(1, 3, 224, 224, generator=generator))
    with torch.inference_mode():
        right = fold(network)(standard.example)
    assert standard.error(right) > LIMITS["fp32"]
    checked_error(standard, right, precision="fp32", backend="it")
    with pytest.raises(InexactError, match=r"off the fp64 output by .*, the network by"):
        checked_error(standard, 1.5 * right, precision="fp32", backend="it")


def test_work_in_threads_that_cpu_time_cannot_see_is_refused() -> None:
    own, everyone = itertools.count(step=0.1), itertools.count(step=1.0)
    clocks = {"own_cpu": own.__next__, "all_cpu": everyone.__next__}
    with pytest.raises(InexactError, match=r"this one spends 10%"):
        prepared(small(), EXAMPLE, conditions=BF16, **clocks)


@pytest.mark.parametrize(
    ("changed", "error", "told"),
    [
        ({"backend": "egaer"}, UsageError, "unknown backend 'egaer'; did you mean eager"),
        ({"precision": "fp8"}, UsageError, "unknown precision 'fp8'"),
        ({"precision": "int8"}, UsageError, r"does not compute int8 on cpu; use fp32, bf16, fp16;"),
        ({"backend": "cuda_graphs"}, MissingError, "it does not run on cpu; it runs on cuda"),
    ],
)
def test_what_cannot_be_is_refused(
    changed: dict[str, str], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        prepared(small(), EXAMPLE, conditions=replace(Conditions(), **changed))


def test_a_library_that_is_not_there_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"openvino is not installed; pip .*archbench\[openvino"):
        prepared(small(), EXAMPLE, conditions=Conditions(backend="openvino"))


@pytest.mark.parametrize(
    ("needs", "remedy"),
    [
        ({}, "pip install ruamel"),
        ({"torch": "", "numpy": ""}, "pip install ruamel"),
        ({"torch": "", "numpy": "x", "PIL": "x"}, r"pip install 'archbench\[x\]'"),
    ],
)
def test_an_installation_that_is_not_whole_is_told(
    needs: dict[str, str], remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_given: object, **_more: object) -> None:
        raise ModuleNotFoundError("No module named 'ruamel'", name="ruamel")

    backend = BACKENDS.load("exported")
    monkeypatch.setattr(backend, "write", write)
    monkeypatch.setattr(backend, "NEEDS", needs, raising=False)
    told = rf"exported: ruamel is not installed, which its library needs; {remedy}$"
    with pytest.raises(MissingError, match=told):
        prepared(small(), EXAMPLE, conditions=Conditions(backend="exported"))


@pytest.mark.slow
def test_a_compilation_while_it_is_timed_is_a_complaint() -> None:
    usable("compiled", "fp32")
    network = small().eval()
    found = prepared(network, EXAMPLE, conditions=Conditions(backend="compiled"))
    found.run()
    assert found.complaint() == ""
    torch._dynamo.reset()
    found.run()
    assert found.complaint() == "it was compiled again while it was timed"


def test_eager_computes_the_same_from_another_place_in_memory() -> None:
    network, places = nn.Linear(4, 2).eval(), []
    network.register_forward_pre_hook(lambda copied, _: places.append(copied.weight.data_ptr()))
    found = prepared(network, torch.randn(2, 4), conditions=Conditions())
    assert found.relocated is not None
    draw = random.Random(0)
    runs = [found.run, *(found.relocated(draw) for _ in range(4))]
    outputs = [run() for run in runs]
    assert all(torch.equal(outputs[0], output) for output in outputs)
    assert len(set(places)) == 5


def rounded(bits: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A product whose factors keep so many bits, as TF32 and bf16 units do."""

    def product(rows: Tensor, weight: Tensor) -> Tensor:
        return (torch.round(rows * 2**bits) / 2**bits) @ weight.t()

    return product


@pytest.mark.parametrize(
    ("product", "name"),
    [
        (rounded(23), "fp32"),
        (rounded(16), "tf32"),
        (lambda rows, weight: (rows.half() @ weight.half().t()).float(), "tf32"),  # 10 bits
        (rounded(9), "bf16"),
        (lambda rows, weight: (rows.bfloat16() @ weight.bfloat16().t()).float(), "bf16"),  # 7 bits
    ],
)
def test_products_are_named_by_their_bits(
    product: Callable[[Tensor, Tensor], Tensor], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archbench.measure.backend._pointwise_convolution", product)
    assert computed_precision(Conditions()) == name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precisions_on_this_cpu_are_what_they_say(precision: str) -> None:
    assert torch.get_float32_matmul_precision() == "highest"
    assert computed_precision(Conditions(precision=precision)) == precision


def test_what_a_library_says_while_it_prepares_is_not_said_to_the_person(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with quiet():
        print("converting")
        warnings.warn("attributes were assigned during export", UserWarning, stacklevel=1)
        logging.getLogger("theirs").warning("deprecated")
    assert capfd.readouterr() == ("", "")


class Remembers(nn.Module):
    """A network that keeps what it computed, as timm's LeViT its attention biases."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)
        self.seen = torch.zeros(4, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        self.seen = self.layer.weight + 0
        return self.layer(images)


def test_an_export_that_warns_of_assigned_attributes_is_silent(
    capfd: pytest.CaptureFixture[str],
) -> None:
    network = Remembers().eval()
    with pytest.warns(UserWarning, match="assigned during export"):
        torch.export.export(network, (EXAMPLE,))
    capfd.readouterr()
    with quiet():
        torch.export.export(network, (EXAMPLE,))
    assert capfd.readouterr() == ("", "")
