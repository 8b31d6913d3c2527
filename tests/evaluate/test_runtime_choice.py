"""Which runtime ``auto`` takes: the fastest of those that ship networks and compute the same."""

from pathlib import Path

import pytest

from archbench import errors
from archbench.errors import UsageError
from archbench.evaluate.runtime_choice import (
    choice,
    fastest_backend,
    fastest_first,
    serving_backends,
    time_backend,
)
from archbench.models import as_spec
from archbench.study.measurement import Conditions
from tests.evaluate.toy import SPEC

WRONG = """
from archbench.measure.backend import Runnable
PRECISIONS, FORM, SERVES = {"cpu": ("fp32",)}, "portable", True
def prepare(network, example, *, conditions):
    output = 2 * network(example).detach()
    return Runnable(run=lambda: output, precision="fp32")
"""


def test_what_compiles_or_converts_for_long_is_asked_for_by_its_name() -> None:
    names = serving_backends(Conditions(), precisions=["fp32"])
    assert names[0] == "eager"
    assert set(names) <= {"eager", "onnxruntime", "openvino"}


def test_one_that_is_not_installed_or_lacks_a_precision_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    assert serving_backends(Conditions(), precisions=["fp32"]) == ["eager"]
    assert fastest_backend(as_spec(SPEC), Conditions()) == "eager"  # and nothing is timed
    with pytest.raises(UsageError, match=r"does not compute int8 on cpu; .*int8.*: onnx"):
        serving_backends(Conditions(), precisions=["fp32", "int8"])


def test_one_that_computes_something_else_has_no_latency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_runtime.py").write_text(WRONG)
    monkeypatch.chdir(tmp_path)
    conditions = Conditions(backend="module:wrong_runtime")
    found = time_backend(as_spec(SPEC), conditions, precisions=["fp32"])
    assert found["latency_ms"] is None
    assert "its output differs from eager's by 1.0e+00" in found["reason"]


def test_the_fastest_is_the_first_and_one_without_a_latency_the_last() -> None:
    found = [choice("a", reason="no"), choice("b", 3.0), choice("c", 2.0), choice("d", reason="no")]
    assert [one["backend"] for one in fastest_first(found)] == ["c", "b", "a", "d"]
