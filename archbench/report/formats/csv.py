"""The front as a table for spreadsheets, one row a member."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from archbench.analysis.study import StudyReader
from archbench.analysis.tables import columns_of
from archbench.study.file import write_atomically

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write(study: StudyReader, folder: Path) -> Path:
    """Write ``front.csv`` and give its path; columns and units are those of the front's table.

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
    path = folder / "front.csv"
    write_atomically(path, text.getvalue().encode())
    return path


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(" ").startswith(_FORMULA_STARTS) else value
    return "" if value is None or value != value else value  # NaN alone differs from itself
