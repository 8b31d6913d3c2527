"""The plot of the front as a drawing that stays sharp at any size, its text as text."""

from archbench.analysis.study import StudyReader
from archbench.report.figure import svg_text
from archbench.report.study_plot import pareto_figure
from archbench.report.summary import Summary

FILE = "pareto.svg"


def content(study: StudyReader) -> bytes:
    """The plot of a study's front."""
    return svg_text(pareto_figure(Summary(study))).encode()
