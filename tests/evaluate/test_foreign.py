"""Networks of other libraries and of the user, opened by name and measured like ours."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archbench
from archbench.errors import ArchbenchError, MissingError, UsageError
from archbench.evaluate.foreign import Foreign, is_foreign, open_foreign, opened
from archbench.evaluate.profile import profile
from archbench.evaluate.target import calibrated
from archbench.models import as_spec
from archbench.models.convolution import ConvNorm, Convolution
from archbench.models.part import Grid
from archbench.study.measurement import Conditions
from tests.evaluate.toy import SPEC

MODULE = """
import torch
from torch import nn

WIDTH = 8

def build():
    return nn.Sequential(nn.Conv2d(3, WIDTH, 4, 4), nn.Flatten(), nn.Linear(WIDTH * 56**2, 5))

def needs(width):
    return nn.Conv2d(3, width, 4)

def gives_none():
    return None

def raises():
    raise ValueError("no such width")

def lazy():
    return nn.LazyLinear(10)

class Inverse(nn.Module):
    def forward(self, images):
        return {"inverse": torch.linalg.inv(images[:, :, :4, :4])}

class Broken(nn.Module):
    def forward(self, images):
        return images.view(1, 7, 11)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, forgotten afterwards."""
    package = tmp_path / "somebodys_package"
    package.mkdir()
    (package / "networks.py").write_text(MODULE)
    (package / "imports_what_is_missing.py").write_text("import no_such_library\n")
    (package / "fails.py").write_text("x = 1\nraise RuntimeError('not today')\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("somebodys_package")]:
        monkeypatch.delitem(sys.modules, name)
    return "module:somebodys_package.networks"


def counts(text: str, **options: Any) -> dict[str, Any]:
    (found,) = profile(text, latency=False, **options).models
    return dict(found.counts)


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("torchvision:efficientnet_b0", 5_288_548, 385_814_752),
        ("torchvision:resnet50", 25_557_032, 4_089_184_256),
        ("torchvision:swin_t", 28_288_354, 4_490_566_656),
        ("timm:deit_tiny_patch16_224", 5_717_416, 1_253_683_200),
        ("timm:levit_128s", 7_777_058, 304_660_832),
    ],
)
def test_known_networks_are_counted_exactly(name: str, params: int, macs: int) -> None:
    pytest.importorskip(name.split(":")[0])
    found = counts(name)
    assert (found["params"], found["macs"]) == (params, macs)


def test_the_resolution_is_what_timm_states() -> None:
    pytest.importorskip("timm")
    assert open_foreign("timm:test_efficientnet").resolution == (160, 160)
    asked = open_foreign("timm:test_efficientnet", resolution=(96, 128))
    assert asked.resolution == (96, 128)


def test_a_network_of_fixed_size_is_built_for_the_resolution_asked_for() -> None:
    pytest.importorskip("timm")
    found = counts("timm:deit_tiny_patch16_224", resolution=(160, 96))
    tokens = 10 * 6 + 1
    assert found["params"] == 5_717_416 - (197 - tokens) * 192
    assert found["operators"]["scaled_dot_product_attention"] == 12 * 2 * tokens**2 * 192


def test_what_a_library_says_to_its_callers_is_not_said_to_the_user() -> None:
    # It warns of a change of its weights, and here warnings are errors.
    assert open_foreign("torchvision:googlenet").resolution == (224, 224)


def test_a_module_is_found_in_the_current_folder(module: str) -> None:
    path = list(sys.path)
    found = counts(f"{module}:build")
    assert found["origin"] == "a module of yours"
    assert found["resolution"] == [224, 224]
    assert found["params"] == 8 * 49 + 5 * (8 * 56**2 + 1)
    assert found["macs"] == 56**2 * 8 * 48 + 5 * 8 * 56**2
    assert sys.path == path


def test_weights_are_always_the_same(module: str) -> None:
    torch.manual_seed(1)
    first = open_foreign(f"{module}:build")
    torch.manual_seed(2)
    second = open_foreign(f"{module}:build")
    pairs = zip(first.network.parameters(), second.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_what_cannot_be_counted_says_why_and_the_rest_stays(module: str) -> None:
    found = counts(f"{module}:Inverse")
    assert (found["params"], found["operators"]) == (0, None)
    assert "aten::linalg_inv may hold matrix products" in found["uncounted"]
    document = profile([f"{module}:Inverse", "levit_128s"], latency=False).document()
    assert [model["macs"] for model in document["models"]] == [None, 304_660_832]
    assert [model["origin"] for model in document["models"]] == ["a module of yours", "archbench"]


def test_a_network_that_fails_is_recorded_with_its_own_words(module: str) -> None:
    (found,) = profile(f"{module}:Broken", devices=("cpu",)).models
    assert "it raised RuntimeError: shape" in found.counts["uncounted"]
    assert [latency.verdict for latency in found.latency] == ["incomplete"]
    assert found.document()["form_reason"].startswith("it raised RuntimeError: shape")


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("networks:needs", UsageError, "needs arguments .*'width'"),
        ("networks:gives_none", UsageError, "gave a NoneType, not a torch.nn.Module"),
        (
            "networks:raises",
            UsageError,
            r"it raised ValueError: no such width; at .*networks.py:17",
        ),
        ("networks:lazy", UsageError, "lazy layers have no parameters"),
        ("networks:buidl", UsageError, "unknown function of .*'buidl'; did you mean build"),
        ("networks:WIDTH", UsageError, "unknown function of .*'WIDTH'"),
        ("networks", UsageError, "a module and a builder in it are needed"),
        ("nowhere:build", MissingError, "there is no module somebodys_package.nowhere"),
        (
            "imports_what_is_missing:build",
            UsageError,
            "it raised ModuleNotFoundError: No module named 'no_such_library'; at .*missing.py:1",
        ),
        ("fails:build", UsageError, r"it raised RuntimeError: not today; at .*fails.py:2"),
    ],
)
@pytest.mark.usefixtures("module")
def test_a_module_that_gives_no_network_is_refused(
    name: str, kind: type[ArchbenchError], told: str
) -> None:
    with pytest.raises(kind, match=rf"module:somebodys_package.{name}: .*{told}"):
        open_foreign(f"module:somebodys_package.{name}")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("timm:resnet5", "timm has no network 'resnet5'; did you mean .*resnet50"),
        ("torchvision:resnet5", "torchvision has no classifier 'resnet5'; did you mean .*resnet50"),
        ("torchvision:fcn_resnet50", "torchvision has no classifier 'fcn_resnet50'"),
    ],
)
def test_an_unknown_network_names_the_nearest(name: str, near: str) -> None:
    pytest.importorskip(name.split(":")[0])
    with pytest.raises(UsageError, match=near):
        open_foreign(name)


def test_a_library_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingError, match=r"timm is not installed; pip install 'archbench\[timm"):
        open_foreign("timm:resnet50")


def test_only_what_gives_one_tensor_is_called_deployed() -> None:
    target = calibrated(Conditions())

    def form(network: nn.Module) -> str:
        foreign = Foreign(name="x", origin="here", network=network, resolution=Grid(8, 8))
        made = target.form(foreign)
        assert isinstance(made, Foreign)
        return made.form

    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    assert form(Two()) == "as built"
    assert form(ConvNorm(Convolution(3, 4, kernel=2, stride=2, padding=0))) == "deployed"


def test_foreign_and_own_networks_are_timed_in_one_run(module: str) -> None:
    large = {**SPEC, "resolution": 224}
    models = profile([f"{module}:build", large], devices=("cpu",)).models
    assert [len(model.latency) for model in models] == [1, 1]
    assert all(latency.value for model in models for latency in model.latency)


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("timm:resnet50", True),
        ("module:a.b:c", True),
        ("timm:3", False),
        ("levit_128s", False),
        ("study:3", False),
        ("torchvision", False),
    ],
)
def test_a_trial_of_a_study_is_no_foreign_network(text: str, foreign: bool) -> None:
    assert is_foreign(text) is foreign


def test_a_module_that_was_built_is_its_spec_and_any_other_is_measured_as_it_is() -> None:
    ours = archbench.build(SPEC)
    other = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(), nn.Linear(8 * 56**2, 5))
    first, second = profile([ours, other], latency=False).models
    assert first.network == as_spec(SPEC)
    assert (second.network.name, second.counts["origin"]) == ("Sequential", "a module of yours")
    assert second.counts["macs"] == 56**2 * 8 * 48 + 5 * 8 * 56**2
    assert other.training
    other.resolution = 64  # as many networks keep it
    assert opened(other, resolution=None).resolution == Grid(64, 64)
    ours.head.classifiers = nn.ModuleList([nn.Linear(16, 2)])
    assert isinstance(opened(ours, resolution=None), Foreign)


def test_a_module_alone_is_one_network_to_profile_and_too_few_to_compare() -> None:
    (found,) = profile(archbench.build(SPEC), latency=False).models
    assert found.counts["origin"] == "archbench"
    for alone in ("levit_128s", archbench.build(SPEC)):
        with pytest.raises(UsageError, match="nothing to compare with"):
            archbench.compare(alone)


@pytest.mark.parametrize("call", [profile, archbench.compare])
@pytest.mark.parametrize(
    "given", [5, [5, 5], [None, None], Path("net.yaml"), [Path("a"), Path("b")]]
)
def test_what_is_no_network_is_refused_in_our_words(call: Any, given: Any) -> None:
    with pytest.raises(UsageError, match=r"network: got .*, which cannot be taken here; give"):
        call(given)


def test_a_network_may_print_and_try_to_end_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "script_of_somebody.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["archbench", "profile", "--json"])
    name = "module:script_of_somebody"
    assert counts(f"{name}:build")["params"] == 12
    assert capsys.readouterr().out == ""
    with pytest.raises(UsageError, match=rf"{name}:leaves: it called sys.exit\(5\)"):
        open_foreign(f"{name}:leaves")
    (found,) = profile(f"{name}:Leaves", devices=("cpu",)).models
    assert found.counts["uncounted"] == "it called sys.exit(5)"
    assert [latency.verdict for latency in found.latency] == ["incomplete"]


SCRIPT = """
import argparse, sys
from torch import nn
asked = argparse.ArgumentParser().parse_args()
print("imported")
def build():
    print("built")
    return nn.Conv2d(3, 4, 1, bias=False)
def leaves():
    sys.exit(5)
class Leaves(nn.Module):
    def forward(self, images):
        sys.exit(5)
"""
