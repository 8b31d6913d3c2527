"""The front opens in a spreadsheet as data, never as a formula."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import pytest

from archbench.report.formats import csv as csv_format

from . import plausible
from .hostile import PAYLOADS


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def test_without_a_front_there_is_the_head_alone() -> None:
    assert len(rows_of(csv_format.content(plausible.study(records=[])))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "＝1",
        *(payload for payload in PAYLOADS if "\ud800" not in payload),
    ],
)
def test_no_text_begins_a_formula(text: str) -> None:
    record = next(record for record in plausible.trials() if record.state == "complete")
    study = plausible.study(records=[replace(record, digest=text)])
    head, row = rows_of(csv_format.content(study))
    cell = row[head.index("digest")]
    assert cell in (text, f"'{text}")
    assert not cell.strip().startswith(("=", "+", "-", "@", "＝"))


def test_numbers_below_zero_stay_numbers() -> None:
    record = next(record for record in plausible.trials() if record.state == "complete")
    assert record.latency is not None
    odd = replace(record, latency=replace(record.latency, low=-0.5))
    head, row = rows_of(csv_format.content(plausible.study(records=[odd])))
    assert math.isclose(float(row[head.index("latency_low_ms")]), -0.5)
