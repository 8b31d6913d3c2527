"""Any record comes back from the database equal to what was given."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.study import rows, shape
from archbench.study.measurement import Conditions, Measurement
from archbench.study.table import begin_counting
from archbench.study.trial import (
    CurvePoint,
    Failure,
    QuantisedAccuracy,
    Snapshot,
    Taken,
    TrialRecord,
)
from tests.study import example

_TRIAL = example.trial(0)
WHOLE = st.integers(-(2**63), 2**63 - 1)
COUNT = st.integers(0, 2**63 - 1)
REAL = st.floats(-1e300, 1e300)
SHARE, DURATION = st.floats(0, 1), st.floats(0, 1e12)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAME = TEXT.filter(lambda text: not text.startswith("int:"))
KEY = st.one_of(NAME, WHOLE)
SCALAR = st.one_of(st.none(), st.booleans(), WHOLE, REAL, TEXT)
DOCUMENT = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3),
    max_leaves=8,
)
SOME = st.integers(1, 2**63 - 1)
CONDITIONS = st.builds(
    Conditions,
    device=st.sampled_from(["cpu", "cuda"]),
    batch=SOME,
    resolution=st.tuples(SOME, SOME),
    threads=COUNT,
)
MEASUREMENTS = st.builds(
    Measurement,
    metric=TEXT,
    unit=TEXT,
    samples=st.lists(st.floats(1e-3, 1e9), max_size=20).map(tuple),
    value=st.none() | st.floats(1e-3, 1e9),
    low=st.none() | st.floats(1e-3, 1e9),
    high=st.none() | st.floats(1e-3, 1e9),
    conditions=CONDITIONS,
    environment_id=TEXT,
    verdict=st.sampled_from(["stable", "disturbed", "incomplete"]),
    reason=TEXT,
    details=st.dictionaries(TEXT, st.one_of(REAL, WHOLE, TEXT), max_size=3).filter(
        lambda details: not any(key.startswith("int:") for key in details)
    ),
)
TRIALS = st.builds(
    TrialRecord,
    number=COUNT,
    state=st.sampled_from(["running", "complete", "over_limit", "pruned", "failed"]),
    digest=TEXT,
    choices=st.dictionaries(NAME, DOCUMENT, max_size=4),
    spec=st.dictionaries(NAME, DOCUMENT, max_size=4),
    params=COUNT,
    macs=COUNT,
    activations=COUNT,
    proxy_accuracy=st.none() | SHARE,
    test_accuracy=st.none() | SHARE,
    failure=st.none()
    | st.builds(Failure, kind=st.sampled_from(["nan", "crash"]), message=TEXT, traceback=TEXT),
    reason=TEXT,
    seconds=DURATION,
    quantised=st.just(())
    | st.tuples(st.builds(QuantisedAccuracy, seed=COUNT, accuracy=SHARE, seconds=DURATION)),
)
POINTS = st.builds(
    CurvePoint, seed=COUNT, epoch=COUNT, step=COUNT, loss=REAL, accuracy=SHARE, seconds=DURATION
)


def kept(
    record: TrialRecord = _TRIAL, *, points: tuple[CurvePoint, ...] = (), taken: Any = ()
) -> Snapshot:
    """What comes back from a database of one trial."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for table in rows.TABLES:
            connection.execute(table.create)
        begin_counting(connection, rows.TABLES)
        rows.put_trial(connection, replace(record, curve=points))
        for measurement in taken:
            rows.put_measurement(
                connection,
                Taken(trial=record.number, reference=None, kind="search", measurement=measurement),
            )
        return rows.snapshot(connection)


@given(TRIALS)
def test_trial_is_kept(record: TrialRecord) -> None:
    assert kept(record).trials == (record,)


@given(POINTS)
def test_point_is_kept(point: CurvePoint) -> None:
    assert kept(points=(point,)).trials[0].curve == (point,)


@given(MEASUREMENTS)
def test_measurement_is_kept_with_every_sample(measurement: Measurement) -> None:
    assert kept(taken=(measurement,)).measurements[0].measurement == measurement
    document = json.loads(json.dumps(measurement.to_document()))
    assert Measurement.from_document(document) == measurement


def test_text_without_a_utf8_form_is_kept_escaped() -> None:
    failure = Failure(kind="crash", message="no such file: \udcff.jpg")
    (record,) = kept(example.trial(0, state="failed", failure=failure)).trials
    assert record.failure == Failure(kind="crash", message="no such file: \\udcff.jpg")


def test_documents_keep_whole_number_keys() -> None:
    document = {"layers": {2: {"kv_stride": 1}}, "text": "int: no key", "list": [1, 2.5, None]}
    assert shape.document_of(rows.to_json(document)) == document
    with pytest.raises(TypeError, match="cannot store the key"):
        rows.to_json({1.5: "x"})
    with pytest.raises(TypeError, match="cannot store the key"):
        rows.to_json({"int:2": "x"})


def test_names_of_our_tables_cannot_meet_optunas() -> None:
    assert all(table.name.startswith("archbench_") for table in rows.TABLES)
