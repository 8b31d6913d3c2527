"""What the script of the page knows of the trials, and the plots that it marks them in."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from archbench.report.element import plot
from archbench.report.exploration_plot import history_figure, parallel_columns, parallel_figure
from archbench.report.figure import frame
from archbench.report.study_page import DATA, study_page
from archbench.report.study_plot import pareto_figure
from archbench.report.summary import Summary
from archbench.report.trial_data import ACCURACY, COST, TRIAL, trial_data

from . import plausible
from .browser import read
from .hostile import PAYLOADS


def test_the_columns_hold_every_trial_as_it_was_chosen_and_what_it_reached() -> None:
    study = plausible.study()
    data = trial_data(Summary(study))
    columns = data["columns"]
    assert [len(column["values"]) for column in columns] == [40] * len(columns)
    assert columns[TRIAL]["values"] == [record.number for record in study.trials()]
    for place, record in enumerate(study.trials()):
        assert columns[COST]["values"][place] == pytest.approx(record.latency.value, rel=1e-4)
        if record.state == "complete":
            reached = columns[ACCURACY]["values"][place]
            assert reached == pytest.approx(record.proxy_accuracy, rel=1e-4)
        dim = next(column for column in columns if column["name"] == "stages[0].dim")
        assert dim["labels"][dim["values"][place]] == str(record.choices["stages[0].dim"])
    assert data["command"][0] == "archbench train quickstart:"
    assert data["command"][1].endswith(" --data folder:PATH")


def test_an_axis_on_which_nothing_was_varied_is_no_column() -> None:
    one = [r for r in plausible.trials() if r.choices["stages[0].dim"] == 16]
    names = {c["name"] for c in trial_data(Summary(plausible.study(records=one)))["columns"]}
    assert "stages[0].dim" not in names
    assert "stages[1].dim" in names


@pytest.mark.parametrize("payload", PAYLOADS[::7])
def test_no_name_ends_the_data_of_the_page(payload: str) -> None:
    records = [
        replace(r, choices={**r.choices, payload: f"{payload}{r.number % 2}"}, reason=payload)
        for r in plausible.trials(12)
    ]
    text = study_page(Summary(plausible.study(records=records)))
    (data,) = re.findall(rf'<script type="application/json" id="{DATA}">(.*?)</script>', text)
    assert len(json.loads(data)["trials"]) == 12


def test_the_frame_of_axes_leads_from_values_to_where_they_are_drawn() -> None:
    """By hand for one trial: where the page's script would mark it there is its dot."""
    record = plausible.trials(1)[0]
    record = replace(record, state="complete", proxy_accuracy=0.5)
    summary = Summary(plausible.study(records=[record], beside=[]))
    drawn = plot(
        lambda width: pareto_figure(summary, width_inches=width, links={0: "#here"}),
        title="",
        caption="",
    )
    place = frame(pareto_figure(summary, links={0: "#here"}))
    link = re.search(r'<a href="#here".*?<use [^>]*x="([\d.]+)" y="([\d.]+)"', drawn, re.DOTALL)
    assert link is not None
    for axis, value, found in zip("xy", (record.latency.value, 0.5), link.groups(), strict=True):
        start, end, low, high, is_log = place[axis]
        assert not is_log
        at = start + (end - start) * (value - low) / (high - low)
        assert at == pytest.approx(float(found), abs=0.1)


def test_the_hypervolume_after_the_last_trial_is_that_of_the_study() -> None:
    study = plausible.study()
    grown = study.rule.hypervolumes(study.trials())
    assert len(grown) == 40
    assert grown == sorted(grown)
    assert grown[-1] == pytest.approx(study.hypervolume())
    box = study.rule.box(study.trials())
    for number in (5, 20):  # by the front of the trials so far, in the same box
        members = study.rule.front(study.trials()[: number + 1])
        assert grown[number] == pytest.approx(box.share(study.rule.points(members)))


def test_all_trials_are_drawn_over_time_and_through_their_choices() -> None:
    summary = Summary(plausible.study())
    data = trial_data(summary)
    columns = data["columns"]
    history = history_figure(summary, columns)
    dots = sum(len(one.get_offsets()) for one in history.axes[0].collections)
    assert dots == sum(value is not None for value in columns[ACCURACY]["values"])
    others, members = parallel_figure(summary, columns, ranks=data["rank"]).axes[0].lines[:2]
    breaks = [int(np.isnan(one.get_ydata()).sum()) for one in (others, members)]
    assert breaks == [dots - len(summary.front), len(summary.front)]
    assert len(parallel_columns(columns)) == 8
    fresh = Summary(plausible.study(records=[]))
    assert history_figure(fresh, trial_data(fresh)["columns"]) is None
    assert parallel_figure(fresh, trial_data(fresh)["columns"], ranks=[]) is None


def test_every_trial_that_is_drawn_has_a_name_and_leads_to_what_is_known_of_it() -> None:
    summary = Summary(plausible.study())
    seen = read(study_page(summary))
    links = [v for tag, v in seen.elements if tag == "a" and v["href"][1:6] in ("trial", "desig")]
    named = [link["aria-label"] for link in links if "aria-label" in link]
    shown = {point.trial for point in summary.points}
    assert {int(re.match(r"trial (\d+):", name)[1]) for name in named} == shown
    assert all(ET.fromstring(f"<a>{name}</a>") is not None for name in named)
