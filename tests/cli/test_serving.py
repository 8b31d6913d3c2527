"""``archbench profile --serving``: a line for each batch, and the reasons of what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from archbench.report.finding import joined
from archbench.report.findings.serving import parts_of
from tests.cli.conftest import Run


def quantity(value: float | None, reason: str = "") -> dict[str, Any]:
    return {"value": value, "unit": "", "reason": reason}


def batch(number: int) -> dict[str, Any]:
    return {
        "conditions": {
            "device": "cpu",
            "threads": 1,
            "backend": "eager",
            "precision": "fp32",
            "batch": number,
            "resolution": [224, 224],
        },
        "ms": 5.0 * number,
        "images_per_second": 200.0,
        "p50": quantity(5.1),
        "p95": quantity(6.0),
        "p99": quantity(None if number > 1 else 8.0, "few" if number > 1 else ""),
        "peak": quantity(1.5e6),
        "energy": quantity(None, "no counter"),
        "off_cpu": 0.0,
    }


def test_every_number_or_its_reason_is_there() -> None:
    found = {"name": "small", "saturating_batch": 1, "batches": [batch(1), batch(4)]}
    assert joined(parts_of(found)) == (
        "small: 224x224 px, cpu x1, eager fp32, deployed form\n"
        "\n"
        "batch     ms  images/s  p50 ms  p95 ms  p99 ms  peak MB  mJ/image\n"
        "-----  -----  --------  ------  ------  ------  -------  --------\n"
        "    1   5.00     200.0    5.10    6.00    8.00     1.50         –\n"
        "    4  20.00     200.0    5.10    6.00       –     1.50         –\n"
        "\n"
        "ms and images/s are calibrated, as latencies are; p50, p95 and p99 are passes on\n"
        "the wall clock as it was; peak is what a pass needs beside the weights.\n"
        "images/s: batch 1 is the smallest within 5 % of the best.\n"
        "energy: not available: no counter\n"
        "p99: not available: few (batch 4)"
    )


@pytest.mark.parametrize("question", ["--serving", "--where"])
@pytest.mark.parametrize("option", [("--backend", "openvino"), ("--precision", "bf16")], ids=str)
def test_a_question_that_runs_in_eager_fp32_refuses_other_backends(
    run: Run, question: str, option: tuple[str, str]
) -> None:
    code, out, err = run("profile", "levit_128s", question, *option)
    assert (code, out) == (2, "")
    assert "run the eager backend in fp32 only; leave --backend and --precision out" in err


def test_two_questions_at_once_are_refused(run: Run) -> None:
    code, _, err = run("profile", "levit_128s", "--serving", "--where")
    assert code == 2
    assert "ask one at a time" in err
