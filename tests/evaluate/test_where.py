"""Where the time of a network goes: every part is there, and the sum is the whole."""

from __future__ import annotations

import pytest

from archbench.errors import UsageError
from archbench.evaluate.parts import where
from archbench.models import count
from archbench.study.measurement import Conditions
from tests.evaluate.toy import SPEC


def test_every_part_is_there_with_its_arithmetic() -> None:
    found = where(SPEC, Conditions(batch=2), budget_s=0.0)
    parts = found["parts"]
    assert [part["place"] for part in parts] == ["stages[0].embed", "stages[0].blocks[0]", "head"]
    assert sum(part["macs"] for part in parts) == 2 * count(SPEC).macs
    assert all(part["ms"] > 0 and part["operators"] > 0 for part in parts)
    total = sum(part["ms"] for part in parts) + found["between_ms"]
    assert total == pytest.approx(found["whole_ms"])
    assert parts[1]["bound_by"] == "overhead"  # a tiny network is nothing else


def test_other_backends_have_no_parts() -> None:
    with pytest.raises(UsageError, match="runs a network as a whole"):
        where(SPEC, Conditions(backend="openvino"))
