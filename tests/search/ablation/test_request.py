"""A paper's tables are run from its own base; what does not fit into the time is left out."""

from dataclasses import replace

import pytest

from archbench.errors import UsageError
from archbench.models import as_spec, count
from archbench.search.ablation.request import (
    PAPERS,
    Request,
    Workload,
    of_all_sizes,
    requested,
    within,
)

WORK = Workload(forms=8, seeds=5, epochs=10, epoch_seconds=6.0, workers=2, before_seconds=60)


def _request(paper: str) -> Request:
    return requested(None, paper=paper)


def _params(request: Request) -> int:
    assert request.base.spec is not None
    return count(request.base.spec).params


@pytest.mark.parametrize("paper", PAPERS.names)
def test_every_row_is_legal_also_as_a_proxy(paper: str) -> None:
    request = _request(paper)
    assert request.forms
    assert [form.reason for form in request.forms] == [""] * len(request.forms)
    for form in request.trained:
        assert form.spec is not None
        assert count(request.proxy.spec(form.spec)).macs < 70e6  # or no CPU trains it soon
    assert all(form.printed for form in request.forms)


def test_levit_has_its_seven_rows_from_a_distilled_base() -> None:
    request = _request("levit")
    assert [form.name for form in request.forms] == [f"a{number}" for number in range(1, 8)]
    assert _params(request) == 7_391_290
    assert request.proxy.recipe.teacher == "convolutional"
    a4 = request.forms[3]
    assert a4.training == {"teacher": "none"}
    assert a4.key.startswith(f"{request.base.key}-")
    assert a4.printed is not None
    assert (a4.printed.top1, a4.printed.base_top1) == (69.7, 71.9)
    assert {form.name: dict(form.training) for form in request.forms if form.training} == {
        "a4": {"teacher": "none"}
    }


def test_cvt_has_the_rows_of_its_four_tables() -> None:
    request = _request("cvt")
    assert _params(request) == 19_997_480
    names = [form.name for form in request.forms]
    assert {name.partition("_")[0] for name in names} == {"t5", "t6", "t7", "t8"}
    sources = {form.printed.source for form in request.forms if form.printed}
    assert sources == {f"CvT, table {number}" for number in (5, 6, 7, 8)}
    every = {form.name: form for form in request.forms}
    assert every["t5_every"].key == every["t6_conv_position"].key  # so it is trained once
    assert len(request.trained) == len(names)


def test_what_is_said_goes_before_the_papers_own_scale() -> None:
    request = requested(
        None, paper="levit", resolution=32, scale=0.5, epochs=2, seeds=2, teacher="none"
    )
    proxy = request.proxy
    assert (proxy.resolution, proxy.scale, proxy.recipe.epochs, proxy.num_seeds) == (32, 0.5, 2, 2)
    assert request.forms[3].key == request.base.key  # A4 is then the base


def test_networks_are_tried_from_the_light_to_the_heavy_but_no_extreme() -> None:
    request = _request("levit")
    proxies = [request.proxy.spec(form.spec) for form in request.trained if form.spec]
    every = sorted({proxy.digest: count(proxy).macs for proxy in proxies}.values())
    found = of_all_sizes(request.trained, proxy=request.proxy, number=3)
    macs = [count(request.proxy.spec(as_spec(spec))).macs for spec in found]
    assert len(found) == 3
    assert macs == sorted(macs)
    assert macs[-1] < every[-1]  # A1 alone is twice as heavy as all others
    mean = sum(every) / len(every)
    assert 0.75 * mean < sum(macs) / 3 < 1.1 * mean


def test_two_networks_are_both_tried() -> None:
    request = requested(as_spec("levit_128s"), axes=["position=none"])
    assert len(of_all_sizes(request.trained, proxy=request.proxy, number=3)) == 2


def test_time_is_that_of_full_rounds() -> None:
    assert WORK.seconds == 60 + 20 * 60
    assert replace(WORK, forms=7, seeds=3).seconds == 60 + 11 * 60


def test_without_a_limit_nothing_is_left_out() -> None:
    assert within(WORK, max_seconds=None) is WORK
    assert within(WORK, max_seconds=WORK.seconds) == WORK


@pytest.mark.parametrize(
    ("seconds", "seeds", "epochs"),
    [(1260, 5, 10), (1200, 4, 10), (840, 3, 10), (600, 3, 7), (210, 3, 2), (170, 2, 2)],
)
def test_seeds_go_first_then_epochs_then_the_third_seed(
    seconds: float, seeds: int, epochs: int
) -> None:
    found = within(WORK, max_seconds=seconds)
    assert (found.seeds, found.epochs) == (seeds, epochs)
    assert found.seconds <= seconds


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (WORK, "2 minutes are too few: 2 seeds of 2 epochs take about 3"),
        (replace(WORK, seeds=1, epochs=1, forms=99), "1 seeds of 1 epochs"),
    ],
    ids=["too little time", "no more than was asked for"],
)
def test_too_little_time_is_refused_with_what_it_takes(work: Workload, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        within(work, max_seconds=120)
