"""Studies on one page: which of them leads, what does not compare, and a page of all."""

from dataclasses import replace

import pytest

from archbench.errors import IncomparableError, UsageError
from archbench.report.comparison_page import comparison_page

from . import plausible
from .browser import read
from .test_html import assert_harmless

HEADER = plausible.header()


def test_it_says_whose_designs_lead_and_what_each_covers_of_one_box() -> None:
    study = plausible.study()
    worse = [
        replace(record, proxy_accuracy=record.proxy_accuracy and record.proxy_accuracy - 0.2)
        for record in study.trials()
    ]
    other = plausible.study(records=worse, head=plausible.header(name="worse", seed=8))
    seen = read(comparison_page([study, other]))
    assert_harmless(seen)
    front = len(study.front_records())
    assert f"stand {front} designs: {front} of quickstart, 0 of worse." in seen.text
    assert f"{study.hypervolume():.3f} by quickstart" in seen.text
    assert "do not compare" not in seen.text
    cells = seen.within("td")
    assert cells[cells.index("search: seed") :][:3] == ["search: seed", "7", "8"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"proxy": {**HEADER["proxy"], "rungs": [4]}}, "Their accuracies were not"),
        ({"environment": {**HEADER["environment"], "cpu": "x"}}, "Their latencies were not taken"),
    ],
)
def test_what_was_not_taken_alike_is_said_not_to_compare(
    changed: dict[str, object], said: str
) -> None:
    other = plausible.study(head=plausible.header(name="other", **changed))
    seen = read(comparison_page([plausible.study(), other])).text
    assert said in seen
    assert "On the front of all" not in seen


def test_studies_of_other_objectives_or_too_many_are_refused() -> None:
    head = plausible.header(name="size", objectives={"proxy_accuracy": "max", "params": "min"})
    with pytest.raises(IncomparableError, match="size: its objectives are not those of quickstart"):
        comparison_page([plausible.study(), plausible.study(head=head)])
    with pytest.raises(UsageError, match="6 studies cannot be compared"):
        comparison_page([plausible.study()] * 6)
