"""The front as a table for spreadsheets, one row a member."""

from __future__ import annotations

import csv
import io

from archbench.analysis.study import StudyReader
from archbench.analysis.tables import columns_of

FILE = "front.csv"

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def content(study: StudyReader) -> bytes:
    """The front of a study; columns and units are those of its table.

    A text cell that a spreadsheet would take for a formula gets an apostrophe before it; numbers
    stay as they are, at full precision.
    """
    table = study.front()
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # with the default \r\n; else it leaves a lone \r unquoted
    names = [column.name for column in columns_of("front")]
    writer.writerow(names)
    for row in table[names].itertuples(index=False):
        writer.writerow([_cell(value) for value in row])
    return text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(" ").startswith(_FORMULA_STARTS) else value
    return "" if value is None or value != value else value  # NaN alone differs from itself
