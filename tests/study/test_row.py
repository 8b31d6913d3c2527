"""Any record comes back from the database equal to what was given."""

from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from archbench.study import row, schema
from archbench.study.measurement import Conditions, Measurement
from archbench.study.trial import CurvePoint, Failure, TrialRecord
from tests.study import example

WHOLE = st.integers(-(2**63), 2**63 - 1)
COUNT = st.integers(0, 2**63 - 1)
REAL = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
KEY = st.one_of(TEXT.filter(lambda text: not text.startswith("int:")), WHOLE)
SCALAR = st.one_of(st.none(), st.booleans(), WHOLE, REAL, TEXT)
DOCUMENT = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3),
    max_leaves=8,
)
CONDITIONS = st.builds(
    Conditions,
    device=TEXT,
    batch=COUNT,
    resolution=st.tuples(COUNT, COUNT),
    threads=COUNT,
)
MEASUREMENTS = st.builds(
    Measurement,
    metric=TEXT,
    unit=TEXT,
    samples=st.lists(REAL, max_size=20).map(tuple),
    value=st.none() | REAL,
    low=st.none() | REAL,
    high=st.none() | REAL,
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
    choices=st.dictionaries(KEY, DOCUMENT, max_size=4),
    spec=st.dictionaries(KEY, DOCUMENT, max_size=4),
    params=COUNT,
    macs=COUNT,
    activations=COUNT,
    proxy_accuracy=st.none() | REAL,
    test_accuracy=st.none() | REAL,
    failure=st.none()
    | st.builds(Failure, kind=st.sampled_from(["nan", "crash"]), message=TEXT, traceback=TEXT),
    reason=TEXT,
    seconds=REAL,
)
POINTS = st.builds(
    CurvePoint, seed=COUNT, epoch=COUNT, step=COUNT, loss=REAL, accuracy=REAL, seconds=REAL
)


def through(table: schema.Table, cells: schema.Row) -> schema.Row:
    """A row as it comes back from a database."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(table.create)
        schema.put(connection, table, cells)
        (found,) = schema.rows(connection, table)
    finally:
        connection.close()
    return found


@given(TRIALS)
def test_trial_is_kept(record: TrialRecord) -> None:
    assert row.trial_of(through(schema.TRIAL, row.trial_row(record))) == record


@given(POINTS)
def test_point_is_kept(point: CurvePoint) -> None:
    assert row.point_of(through(schema.POINT, row.point_row(0, point))) == point


@given(MEASUREMENTS)
def test_measurement_is_kept_with_every_sample(measurement: Measurement) -> None:
    cells = through(schema.MEASUREMENT, row.measurement_row(0, measurement, kind="search", trial=1))
    assert row.measurement_of(cells, conditions=row.conditions_of) == measurement


def test_text_without_a_utf8_form_is_kept_escaped() -> None:
    failure = Failure(kind="crash", message="no such file: \udcff.jpg")
    record = example.trial(0, state="failed", failure=failure)
    kept = row.trial_of(through(schema.TRIAL, row.trial_row(record)))
    assert kept.failure == Failure(kind="crash", message="no such file: \\udcff.jpg")
