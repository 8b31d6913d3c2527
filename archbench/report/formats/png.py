"""The plot of the front as an image."""

from archbench.analysis.study import StudyReader
from archbench.report.figure import png_bytes
from archbench.report.study_plot import pareto_figure
from archbench.report.summary import Summary

FILE = "pareto.png"


def content(study: StudyReader) -> bytes:
    """The plot of a study's front."""
    return png_bytes(pareto_figure(Summary(study)))
