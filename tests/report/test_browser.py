"""In a real browser: what can be done with the page, and that nobody is kept out.

Needs playwright and a chromium of the system; what axe-core finds is asked where
axe-playwright-python is installed.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archbench.report.server import LivePage, PageServer
from archbench.report.study_page import study_page
from archbench.report.summary import Summary
from archbench.study.database import Store
from archbench.study.study_folder import ownership
from tests.cli.stored import write_study
from tests.report import plausible

pytestmark = pytest.mark.slow
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no chromium here", allow_module_level=True)

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        # Without its sandbox, which a container has not; it opens nothing but our own file.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(study_page(Summary(plausible.study())))
    return file


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Open]:
    """A function that opens the page; an error of its script fails the test."""
    wrong: list[str] = []
    contexts: list[Any] = []

    def opened(*, path: Path = file, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


def brush(page: Any) -> None:
    """Drags a rectangle over the right half of the first plot."""
    box = page.locator("figure .large svg").first.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.15 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.97 * box["width"], box["y"] + 0.7 * box["height"], steps=3)
    page.mouse.up()


def listed(page: Any) -> list[int]:
    return [int(text) for text in page.locator("#trials tbody button").all_inner_texts()]


def test_four_screens_hold_all_and_the_plot_begins_on_the_first(opened: Open) -> None:
    page = opened()
    assert page.evaluate("document.documentElement.scrollHeight") <= 4 * 900
    assert page.locator("figure .large svg").first.bounding_box()["y"] < 450
    phone = opened(width=400, height=800)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_brush_keeps_trials_and_the_table_follows(opened: Open) -> None:
    page = opened()
    brush(page)
    kept = listed(page)
    assert 0 < len(kept) < 40
    low = float(page.get_by_label("latency, from").input_value())
    trials = {record.number: record for record in plausible.trials()}
    assert all(trials[number].latency.value >= 0.99 * low for number in kept)
    assert page.locator("output").inner_text().startswith(f"{len(kept)} of 40 trials")
    page.get_by_text("Clear the filters").click()
    assert len(listed(page)) == 40


def test_filters_columns_and_order_work_by_keyboard_alone(opened: Open) -> None:
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.locator("#trials > summary").focus()
    page.keyboard.press("Enter")
    page.locator("#columns summary").focus()
    page.keyboard.press("Enter")
    page.get_by_label("stages[0].dim").focus()
    page.keyboard.press("Space")
    only = page.get_by_label("stages[0].dim, only")
    only.select_option(label="16")
    trials = {record.number: record for record in plausible.trials()}
    expected = {n for n, record in trials.items() if record.choices["stages[0].dim"] == 16}
    assert set(listed(page)) == expected
    page.locator("#trials th button").first.focus()
    page.keyboard.press("Enter")
    assert listed(page) == sorted(expected)


def test_any_trial_is_told_and_opened_and_two_stand_side_by_side(opened: Open) -> None:
    page = opened()
    points = page.locator("figure .large svg").first.locator("a")
    shown = Summary(plausible.study()).points
    assert points.count() == len(shown)
    for place in (0, 7):
        points.nth(place).focus()
        name = points.nth(place).get_attribute("aria-label")
        tip = page.locator("figure .large .tip").first.inner_text()
        assert tip.startswith(name.split(" %")[0]), "the number and the accuracy"
        page.keyboard.press("Enter")
    rows = page.locator("#compared tbody tr")
    assert page.locator("#compared thead th").count() == 3
    assert rows.locator("th").all_inner_texts()[:2] == ["latency", "proxy accuracy"]
    assert rows.nth(1).locator("td").last.inner_text().endswith(" points")
    assert page.locator("#compared pre").count() == 2


def test_without_scripts_a_point_leads_to_its_row_or_design(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("#trials tbody tr").count() == 40
    link = page.locator("figure .large svg").first.locator("a").first.get_attribute("href")
    page.goto(f"{page.url}{link}")
    assert page.locator(link).is_visible(), "a browser unfolds what a link leads to"


def test_a_thousand_trials_are_half_a_megabyte_and_each_can_be_opened(
    opened: Open, tmp_path: Path
) -> None:
    file = tmp_path / "large.html"
    file.write_text(study_page(Summary(plausible.study(records=plausible.trials(1000)))))
    assert file.stat().st_size < 500_000
    page = opened(path=file)
    brush(page)
    assert page.locator("#trials tbody tr").count() <= 300
    page.get_by_text("Clear the filters").click()
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("figure .large svg").first.bounding_box()
    page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
    assert page.locator("#compared thead th").count() == 1


def test_a_page_that_is_served_renews_itself_and_keeps_what_was_chosen(
    browser: Any, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "toy", trials=20)
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    with (
        ownership(study),
        Store.open(study / "study.db") as store,
        PageServer(LivePage(study, renewed_s=1)) as server,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(server.address)
        brush(page)
        kept = listed(page)
        page.locator("#searched > summary").click()
        record = replace(plausible.trials(40)[39], number=20)
        store.add_trial(record)
        page.get_by_text("21 trials").first.wait_for(state="attached")
        assert set(kept) <= set(listed(page))
        assert page.locator("#searched").get_attribute("open") is not None
        server.shutdown()
    context.close()


@pytest.mark.parametrize(
    "options", [{}, {"color_scheme": "dark"}, {"width": 400}], ids=["light", "dark", "phone"]
)
def test_axe_core_finds_nothing(opened: Open, options: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="it brings axe-core")
    page = opened(bypass_csp=True, **options)
    brush(page) if not options.get("width") else None
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
