"""The plot says what can be had for which cost, and nothing in a name can break it."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from archbench.analysis.study import StudyReader
from archbench.report.figure import PALETTE, drawable, inline_svg, png_bytes, svg_text
from archbench.report.marks import cost_window, share_window
from archbench.report.study_plot import curve_figure, pareto_figure
from archbench.report.summary import Summary, mean_curve

from . import plausible
from .hostile import PAYLOADS


def figure_of(study: StudyReader) -> Figure:
    return pareto_figure(Summary(study))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.fixture(scope="module")
def figure() -> Figure:
    return figure_of(plausible.study())


def test_the_legend_counts_every_trial_that_has_a_place(figure: Figure) -> None:
    counts = plausible.study().counts()
    front = len(plausible.study().front_records())
    assert figure.axes[0].get_legend_handles_labels()[1] == [
        f"on the front ({front})",
        f"dominated ({counts['complete'] - front})",
        f"stopped early ({counts['pruned']})",
        f"over limit, untrained ({counts['over_limit']})",
    ]


def test_limit_chance_and_references_are_named(figure: Figure) -> None:
    said = texts(figure)
    assert "limit 1.4 ms" in said
    assert "chance 10.7 %, below ↓" in said
    assert "untrained\nreference" in said
    assert "levit_128s" in said
    assert "cvt_13, 7.7 ms" in said, "a reference far out is pointed at, with its latency"


def test_bars_are_95_percent_intervals() -> None:
    record = replace(plausible.trials(1)[0], state="complete", proxy_accuracy=0.5)
    figure = figure_of(plausible.study(records=[record], beside=[]))
    bars = [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]
    lines = [segment.tolist() for bar in bars for segment in bar.get_segments()]
    half = 1.96 * (0.25 / 1536) ** 0.5
    assert [
        pytest.approx([record.latency.low, 0.5]),
        pytest.approx([record.latency.high, 0.5]),
    ] in lines
    assert [
        pytest.approx([record.latency.value, 0.5 - half]),
        pytest.approx([record.latency.value, 0.5 + half]),
    ] in lines


def test_the_front_is_a_step_line_up_to_the_limit() -> None:
    figure = figure_of(plausible.study(beside=[]))
    steps = [line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert len(steps) == 1
    heights = list(steps[0].get_ydata())
    assert heights == sorted(heights)
    assert max(steps[0].get_xdata()) == 1.4


def test_a_wide_range_of_costs_is_logarithmic_and_a_narrow_one_linear() -> None:
    wide = plausible.trials()
    narrow = [record for record in wide if record.latency and 0.7 < record.latency.value < 1.4]
    assert figure_of(plausible.study(records=narrow)).axes[0].get_xscale() == "linear"
    assert figure_of(plausible.study(records=wide)).axes[0].get_xscale() == "log"


def test_one_slow_reference_does_not_squeeze_the_trials() -> None:
    summary = Summary(plausible.study())
    window = cost_window(summary, [500.0], width_points=500)
    assert window.high < 3
    assert not window.holds(500.0)


def test_refused_trials_beyond_the_edge_are_counted_there() -> None:
    records = plausible.trials()
    refused = next(record for record in records if record.state == "over_limit")
    far = replace(refused, number=99, latency=replace(refused.latency, value=90.0))
    assert "1 more →" in texts(figure_of(plausible.study(records=[*records, far])))


@pytest.mark.parametrize(
    ("shares", "chance", "is_shown"),
    [
        ([0.2, 0.8], 0.1, True),
        ([0.4, 0.8], 0.1, False),
        ([0.9, 0.93], 0.1, False),
        ([0.12], 0.1, True),
        ([], 0.1, True),
    ],
)
def test_chance_is_shown_unless_it_is_far_below(
    shares: list[float], chance: float, is_shown: bool
) -> None:
    assert share_window(shares, chance=chance).holds(chance) is is_shown


def test_chance_far_below_is_said_at_the_edge() -> None:
    record = replace(plausible.trials(1)[0], state="complete", proxy_accuracy=0.93, curve=())
    assert "chance 10.7 %, below ↓" in texts(figure_of(plausible.study(records=[record])))


@pytest.mark.parametrize("cost", ["macs", "params", "activations"])
def test_an_exact_cost_may_stand_on_the_axis(cost: str) -> None:
    head = plausible.header(objectives={"proxy_accuracy": "max", cost: "min"}, limits={})
    figure = figure_of(plausible.study(head=head))
    assert "latency" not in figure.axes[-1].get_xlabel()
    assert figure.axes[0].get_legend_handles_labels()[1][0].startswith("on the front")


@pytest.mark.parametrize("payload", PAYLOADS[::5])
def test_a_hostile_name_is_only_text_in_the_svg(payload: str) -> None:
    references = [replace(plausible.references()[0], name=payload)]
    head = plausible.header(name=payload, question=payload)
    drawn = svg_text(figure_of(plausible.study(records=[], head=head, beside=references)))
    elements = list(ET.fromstring(drawn).iter())
    names = {element.tag.split("}")[1] for element in elements}
    assert names <= {"svg", "defs", "style", "g", "path", "use", "text", "clipPath", "rect"}
    targets = [
        value
        for element in elements
        for name, value in element.attrib.items()
        if name.split("}")[-1].startswith(("href", "on"))
    ]
    assert all(target.startswith("#") for target in targets)


def test_text_stays_readable_where_the_font_is_missing(figure: Figure) -> None:
    families = re.findall(r"font-family: ([^;\"]*)", svg_text(figure))
    assert families
    assert all(family.endswith("sans-serif") for family in families)


def test_characters_that_the_font_lacks_are_replaced() -> None:
    assert drawable("net 網\n\u202e$x$") == "net □ \\u202e$x$"


def test_a_plot_depends_on_the_study_alone_and_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    figure = figure_of(plausible.study())
    pixels, plain = png_bytes(figure), svg_text(figure)
    assert dict(mpl.rcParams) == before
    with mpl.rc_context({"xtick.direction": "in", "svg.fonttype": "path", "axes.labelpad": 30}):
        again = figure_of(plausible.study())
        assert (png_bytes(again), svg_text(again)) == (pixels, plain)


def test_nothing_of_the_report_imports_pyplot_or_torch(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from archbench.report import FORMATS, write_report\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from tests.report import plausible\n"
        "write_report(plausible.study(), Path(sys.argv[1]))\n"
        "assert not {'torch', 'matplotlib.pyplot', 'yaml', 'optuna'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)


def test_a_figure_in_a_page_takes_the_colours_of_the_page() -> None:
    drawn = inline_svg(figure_of(plausible.study()), prefix="a-", title="<t>")
    assert not any(colour in drawn for colour in PALETTE.values())
    assert "var(--plot-front)" in drawn
    assert 'aria-label="&lt;t&gt;"' in drawn
    assert "<metadata" not in drawn


def test_curves_are_means_over_the_seeds_that_got_there() -> None:
    record = next(record for record in plausible.trials() if record.state == "complete")
    first = record.curve
    second = tuple(replace(point, seed=1, accuracy=point.accuracy + 0.1) for point in first[:2])
    epochs, shares = mean_curve(replace(record, curve=(*first, *second)))
    assert epochs == [2, 4, 8]
    assert shares == pytest.approx(
        [first[0].accuracy + 0.05, first[1].accuracy + 0.05, first[2].accuracy]
    )


def test_without_a_second_rung_there_are_no_curves_to_see() -> None:
    records = [replace(record, curve=record.curve[:1]) for record in plausible.trials()]
    assert curve_figure(Summary(plausible.study(records=records))) is None
