"""How does a table become a file that a spreadsheet opens and takes nothing in for a formula?"""

import csv
import io
from collections.abc import Mapping, Sequence

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def spreadsheet(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows, of which the first names the columns, as CSV; numbers at full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([harmless(name) for name in next(iter(rows), {})])
    writer.writerows([harmless(value) for value in row.values()] for row in rows)
    return text.getvalue().encode()


def harmless(value: object) -> object:
    """What a spreadsheet would take for a formula with an apostrophe before it."""
    is_formula = isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_STARTS)
    return f"'{value}" if is_formula else value
