"""A profile holds exact counts and latencies, under backends chosen and compared with eager."""

import pytest

from archbench import errors
from archbench.errors import MissingError, SpecError, UsageError
from archbench.evaluate.profile import choose, flips, profile, speed_to_eager
from archbench.measure import backend as backends
from archbench.measure.backend import BACKENDS
from archbench.study.measurement import Conditions, Measurement
from tests.evaluate.toy import SPEC

ASKED = Conditions(batch=2, threads=1)


def taken(value: float | None, **conditions: object) -> Measurement:
    return Measurement(
        metric="latency",
        unit="ms",
        samples=(),
        value=value,
        low=None if value is None else value * 0.99,
        high=None if value is None else value * 1.01,
        conditions=Conditions(**conditions),  # type: ignore[arg-type]
        environment_id="here",
        verdict="stable",
    )


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(backends.shutil, "which", lambda name: None)


@pytest.mark.usefixtures("nothing_installed")
def test_all_are_those_that_are_here_and_the_others_are_listed() -> None:
    chosen, left_out = choose("all", "fp32", conditions=ASKED)
    alone = ["eager", "exported"]  # PyTorch brings these
    assert [(entry.backend, entry.batch) for entry in chosen] == [(name, 2) for name in alone]
    assert {entry["backend"] for entry in left_out} == {*BACKENDS.names} - {*alone}
    (openvino,) = [entry for entry in left_out if entry["backend"] == "openvino"]
    assert openvino["reason"] == "openvino is not installed"
    assert openvino["help"] == "pip install 'archbench[openvino]'"


@pytest.mark.usefixtures("nothing_installed")
def test_one_asked_for_by_name_is_refused_where_it_is_not_there() -> None:
    with pytest.raises(MissingError, match=r"openvino is not installed; pip install"):
        choose(["eager", "openvino"], "fp32", conditions=ASKED)
    with pytest.raises(MissingError, match=r"there is no C\+\+ compiler; install g\+\+"):
        choose("compiled", "fp32", conditions=ASKED)


def test_eager_comes_first_of_all() -> None:
    chosen, _ = choose("all", ("fp32", "bf16"), conditions=ASKED)
    assert [(one.backend, one.precision) for one in chosen[:2]] == [
        ("eager", "fp32"),
        ("eager", "bf16"),
    ]


def test_of_several_precisions_each_backend_takes_its_own() -> None:
    chosen, left_out = choose("eager", ("fp32", "int8"), conditions=ASKED)
    assert [entry.precision for entry in chosen] == ["fp32"]
    assert [(entry["backend"], entry["precision"]) for entry in left_out] == [("eager", "int8")]
    assert left_out[0]["reason"] == "it does not compute int8 on cpu"


@pytest.mark.parametrize(
    ("names", "kinds", "told"),
    [
        ("egaer", "fp32", "unknown backend 'egaer'; did you mean eager"),
        ("eager", "fp23", "unknown precision 'fp23'"),
        ("eager", "int8", "does not compute int8 on cpu"),
        ("eager", ("int8", "fp8"), "no backend computes int8, fp8 on cpu"),
    ],
)
def test_what_cannot_be_is_refused(names: str, kinds: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        choose(names, kinds, conditions=ASKED)


def test_speed_is_against_eager_in_fp32_at_the_same_batch() -> None:
    among = [
        taken(12.0),
        taken(9.0, precision="bf16"),
        taken(40.0, batch=4),
        taken(4.0, backend="openvino"),
        taken(20.0, backend="openvino", batch=4),
        taken(None, backend="compiled"),
    ]
    speeds = [speed_to_eager(entry, among) for entry in among]
    assert speeds == pytest.approx([1.0, 12 / 9, 1.0, 3.0, 2.0, None])
    assert speed_to_eager(among[3], among[3:]) is None


def test_a_flip_needs_both_orders_with_intervals_apart() -> None:
    a = [taken(10.0), taken(5.0, backend="openvino"), taken(7.0, backend="onnxruntime")]
    b = [taken(12.0), taken(4.0, backend="openvino"), taken(7.05, backend="onnxruntime")]
    assert flips({"a": a, "b": b}) == [
        {
            "first": "a",
            "second": "b",
            "device": "cpu",
            "batch": 1,
            "first_wins": ["eager fp32"],
            "second_wins": ["openvino fp32"],
        }
    ]
    assert flips({"a": a[::2], "b": b[::2]}) == []


def test_batches_are_no_flip() -> None:
    a, b = [taken(10.0), taken(40.0, batch=4)], [taken(12.0), taken(30.0, batch=4)]
    assert flips({"a": a, "b": b}) == []


def test_a_profile_names_each_batch_and_precision() -> None:
    found = profile(SPEC, batches=(1, 2), devices=("cpu",), precision=("fp32", "bf16"))
    (model,) = found.document()["models"]
    assert [one["batch"] for one in model["latency"]] == [1, 1, 2, 2]
    assert all(one["resolution"] == [16, 16] for one in model["latency"])
    for fp32, bf16 in (model["latency"][:2], model["latency"][2:]):
        assert (fp32["precision"], bf16["precision"]) == ("fp32", "bf16")
        assert (fp32["precision_asked"], bf16["precision_asked"]) == ("fp32", "bf16")
        assert fp32["speed_to_eager"] == 1.0
        assert bf16["speed_to_eager"] == pytest.approx(fp32["median_ms"] / bf16["median_ms"])
        assert bf16["details"]["deployment_error"] > fp32["details"]["deployment_error"]


def test_stages_and_head_add_up() -> None:
    for model in profile(["levit_128s", "cvt_13"], latency=False).document()["models"]:
        for what in ("params", "macs", "activations"):
            assert sum(stage[what] for stage in model["stages"]) == model[what]
        for kind, macs in model["work"].items():
            assert sum(stage["work"][kind] for stage in model["stages"]) == macs
        assert sum(model["work"].values()) == model["macs"]


def test_resolution_is_that_asked_for() -> None:
    (model,) = profile("levit_128s", latency=False, resolution=(160, 224)).models
    assert tuple(model.network.resolution) == (160, 224)
    assert model.counts["stages"][0]["grid"] == [10, 14]


def test_no_network_is_refused() -> None:
    with pytest.raises(UsageError, match="no network to profile"):
        profile([], latency=False)


def test_a_resolution_that_leaves_no_map_is_refused() -> None:
    with pytest.raises(SpecError):
        profile("cvt_13", latency=False, resolution=1)


def test_forms_are_raced_once_and_kept() -> None:
    def raced() -> object:
        (found,) = profile(SPEC, devices=["cpu"], resolution=40).models
        return found.latency[0].details["forms_raced"]

    assert raced()
    assert raced() == 0
