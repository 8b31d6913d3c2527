"""The page: one HTML file that works from disk and needs no network."""

from archbench.analysis.study import StudyReader
from archbench.report.study_page import study_page
from archbench.report.summary import Summary

FILE = "report.html"


def content(study: StudyReader) -> bytes:
    """The page of a study."""
    return study_page(Summary(study)).encode()
