"""The front as a table for spreadsheets, one row a member."""

from archbench.analysis.study import StudyReader
from archbench.analysis.tables import columns_of
from archbench.report.spreadsheet import harmless

FILE = "front.csv"


def content(study: StudyReader) -> bytes:
    """The front of a study; columns and units are those of its table.

    A text cell that a spreadsheet would take for a formula gets an apostrophe before it; numbers
    stay as they are, at full precision.
    """
    names = [column.name for column in columns_of("front")]
    table = study.front()[names].map(harmless)
    return table.to_csv(index=False, lineterminator="\r\n").encode()  # \n leaves \r unquoted
