"""The page is complete in itself, says what it must, and runs nothing that a study says."""

import base64
import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from archbench.analysis.study import StudyReader
from archbench.analysis.verdict import answer, doubts
from archbench.report.html import visible
from archbench.report.study_page import study_page
from archbench.report.summary import Summary
from archbench.study.trial import Failure, TrialRecord

from . import plausible
from .browser import Page, read
from .hostile import PAYLOADS

TAGS = frozenset(
    {"html", "head", "meta", "title", "link", "style", "script", "body", "main", "header", "nav"}
    | {"section", "footer", "h1", "h2", "h3", "p", "span", "div", "a", "b", "br", "small", "code"}
    | {"pre", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    | {"figure", "figcaption", "svg", "defs", "g", "path", "use", "text", "clippath", "rect"}
    | {"image", "caption"}
)
ATTRIBUTES = frozenset(
    {"lang", "charset", "http-equiv", "content", "name", "rel", "href", "id", "class", "title"}
    | {"tabindex", "open", "data-value", "role", "viewbox", "style", "d", "transform", "clip-path"}
    | {"x", "y", "width", "height", "xlink:href", "type", "scope", "aria-label", "data-axes"}
)


def shown(study: StudyReader) -> Page:
    return read(study_page(Summary(study)))


@pytest.fixture(scope="module")
def text() -> str:
    return study_page(Summary(plausible.study()))


@pytest.fixture(scope="module")
def seen(text: str) -> Page:
    return read(text)


def hostile_study(payload: str) -> StudyReader:
    """A study in which every name and text field is the payload."""
    records = [_hostile(record, payload) for record in plausible.trials(12)]
    head = _filled(plausible.header(), payload)
    del head["conditions"][payload]
    references = [
        replace(reference, name=payload, latency=replace(reference.latency, reason=payload))
        for reference in plausible.references()
    ]
    return plausible.study(records=records, head=head, beside=references, path=Path("results/x"))


def _hostile(record: TrialRecord, payload: str) -> TrialRecord:
    return replace(
        record,
        digest=payload,
        choices={payload: payload, "part": {payload: [payload]}},
        spec=_filled(record.spec, payload),
        latency=replace(record.latency, verdict="disturbed", reason=payload),
        failure=Failure(kind="error", message=payload, traceback=payload)
        if record.state == "failed"
        else None,
        reason=payload,
        curve=(),  # its plot shows no name, and takes half of the time
    )


def _filled(document: Mapping[str, Any], payload: str) -> dict[str, Any]:
    """The document with the payload for every text and in further keys; what rules need stays."""
    kept = ("objectives", "limits")
    filled = {
        key: value if key in kept else _fill(value, payload) for key, value in document.items()
    }
    return {**filled, payload: payload}


def _fill(value: Any, payload: str) -> Any:
    if isinstance(value, Mapping):
        return _filled(value, payload)
    if isinstance(value, list):
        return [_fill(item, payload) for item in value]
    return payload if isinstance(value, str) else value


def assert_harmless(seen: Page) -> None:
    assert {tag for tag, _ in seen.elements} <= TAGS
    assert {name for _, values in seen.elements for name in values} <= ATTRIBUTES
    scripts = seen.within("script")
    folder = resources.files("archbench.report")
    ours = [folder.joinpath(name).read_text() for name in ("trials.js", "page.js")]
    assert scripts[-1] in (ours[1], "".join(ours))
    kinds = [values.get("type") for tag, values in seen.elements if tag == "script"]
    assert kinds[:-1] in ([], ["application/json"]), "all others are data, which no browser runs"
    assert not any("<" in text for text in scripts[:-1])
    for name in ("href", "xlink:href"):
        for target in seen.attributes(name):
            assert target.startswith(("#", "data:image/png;base64,")) or target == "data:,"
    styles = "".join(seen.attributes("style") + seen.within("style"))
    for reference in re.findall(r"url\(([^)]*)\)", styles + "".join(seen.attributes("clip-path"))):
        assert reference.startswith("#")
    assert "@import" not in styles


def specs_on(seen: Page) -> list[object]:
    blocks = [block for block in seen.within("pre") if block.startswith("resolution:")]
    return [yaml.safe_load(block) for block in blocks]


@pytest.mark.parametrize("payload", PAYLOADS[::5])
def test_a_payload_in_every_name_and_field_stays_text(payload: str) -> None:
    study = hostile_study(payload)
    assert study.front_records()
    seen = shown(study)
    assert_harmless(seen)
    assert specs_on(seen) == [record.spec for record in study.front_records()]
    assert seen.within("h1") == [visible(payload).replace("\r\n", "\n")]


def test_the_policy_forbids_all_but_the_pages_own_script_and_style(seen: Page) -> None:
    assert_harmless(seen)
    policies = [
        values["content"]
        for tag, values in seen.elements
        if tag == "meta" and values.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = hashlib.sha256(seen.within("script")[-1].encode()).digest()
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{base64.b64encode(digest).decode()}'; base-uri 'none'; "
        "form-action 'none'"
    ]
    tags = [tag for tag, _ in seen.elements]
    assert tags[:4] == ["html", "head", "meta", "meta"], "it comes before what it could forbid"


def test_no_address_of_another_place_is_in_the_page(text: str) -> None:
    addresses = set(re.findall(r"https?://[^\s\"'<)]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_no_identifier_is_used_twice_and_every_link_leads_somewhere(seen: Page) -> None:
    found = seen.attributes("id")
    assert len(found) == len(set(found))
    targets = seen.attributes("href") + seen.attributes("xlink:href")
    assert {target[1:] for target in targets if target.startswith("#")} <= set(found)


def _failed(record: TrialRecord, number: int, kind: str, message: str) -> TrialRecord:
    failure = Failure(kind=kind, message=message)
    return replace(record, number=number, state="failed", failure=failure)


_RECORDS = plausible.trials(21)
_FAILED = [
    *(_failed(_RECORDS[index], index, "nan", f"nan at step {index}") for index in range(3)),
    _failed(_RECORDS[0], 9, "memory", "out of memory"),
]
_REASONS = "3 ×, for example: nan: nan at step 0; 1 ×: memory: out of memory"
_RUNNING = replace(_RECORDS[20], state="running", proxy_accuracy=None)
_BEGUN = "archbench search 'my space.yaml' --seed 3 --trials 6 --name q --set a=1"
_AGAIN = "archbench search 'my space.yaml' --trials 6 --set a=1 --seed 3 --name q-again"


@pytest.mark.parametrize(
    ("study", "tag", "told"),
    [
        (
            {"head": {"feasible_share": 0.25, "feasible_low": 0.2, "feasible_high": 0.31}},
            "dd",
            "25.0 %, by sampling (95 % interval 20.0 % to 31.0 %)",
        ),
        ({"records": _FAILED}, "span", _REASONS),
        ({"records": [*_RECORDS[:20], _RUNNING]}, "span", "1 running"),
        ({"path": Path("/data/my runs/q")}, "pre", "archbench report '/data/my runs/q'"),
        (
            {"path": Path("/data/my runs/q")},
            "pre",
            "archbench search '/data/my runs/q/space.yaml' --name q --results '/data/my runs' "
            "--resume",
        ),
        ({"head": {"command": _BEGUN, "name": "q", "seed": 3}}, "pre", _AGAIN),
        (
            {"head": {"name": "a; rm -rf ~", "command": None}},
            "pre",
            "archbench search quickstart --seed 7 --name 'a; rm -rf ~-again'",
        ),
    ],
    ids=["share", "reasons", "running", "path", "resume", "again", "quoted"],
)
def test_the_page_says(study: dict[str, Any], tag: str, told: str) -> None:
    head = plausible.header(**study.get("head", {}))
    assert told in shown(plausible.study(**{**study, "head": head})).within(tag)


def test_without_a_front_it_says_why_and_shows_what_was_measured() -> None:
    records = [
        replace(record, proxy_accuracy=0.11) if record.state == "complete" else record
        for record in plausible.trials()
    ]
    study = plausible.study(records=records)
    assert not study.front_records()
    seen = shown(study)
    reason = study.no_front_reason()
    assert reason in seen.text
    assert "verdict none" in seen.attributes("class")
    assert seen.within("h2")[:2] == ["What was measured", "In numbers"]
    assert any("not above chance (25)" in label for label in seen.within("text"))
    assert [values for tag, values in seen.elements if tag == "details" and "open" in values]
    assert len([value for value in seen.within("td") if value == "complete"]) > 10
    assert "svg" in {tag for tag, _ in seen.elements}


@pytest.mark.parametrize("number", [0, 1])
def test_a_study_that_has_just_begun_can_be_reported(number: int) -> None:
    records = [
        replace(record, state="running", latency=None, curve=(), proxy_accuracy=None)
        for record in plausible.trials(number)
    ]
    seen = shown(plausible.study(records=records, beside=[]))
    assert "nothing to plot" in seen.text
    assert_harmless(seen)


def test_what_the_header_does_not_say_is_left_out() -> None:
    head = {key: plausible.header()[key] for key in ("objectives", "limits")}
    head["proxy"] = {"chance": 0.1, "num_validation": 1000}
    assert_harmless(shown(plausible.study(head=head)))


def test_a_number_that_could_not_be_had_is_a_dash_and_its_network_is_listed() -> None:
    record, reference = plausible.trials(1)[0], plausible.references()[0]
    none = {"value": None, "low": None, "high": None, "verdict": "incomplete"}
    lost = replace(record, latency=replace(record.latency, **none))
    beside = replace(reference, name="lost", latency=replace(reference.latency, **none))
    for study in (
        plausible.study(records=[lost], beside=[]),
        plausible.study(records=[record], beside=[beside]),
    ):
        seen = shown(study)
        assert "–" in seen.within("td")
    assert "lost" in seen.within("td")


def test_only_the_best_of_very_many_trials_are_listed() -> None:
    record = next(record for record in plausible.trials() if record.state == "complete")
    rng = random.Random(0)
    records = [
        replace(record, number=index, proxy_accuracy=rng.uniform(0.3, 0.8)) for index in range(400)
    ]
    seen = shown(plausible.study(records=records, beside=[]))
    assert any("the 200 most accurate of 400 trials" in text for text in seen.within("summary"))


def test_long_text_does_not_flood_the_tables() -> None:
    records = [
        replace(record, state="failed", failure=Failure(kind="error", message="x" * 100_000))
        for record in plausible.trials(30)
    ]
    assert len(study_page(Summary(plausible.study(records=records)))) < 400_000


def test_the_page_begins_with_the_answer_that_a_terminal_prints() -> None:
    study = plausible.study()
    (verdict,) = [
        text for tag, text in shown(study).texts if tag == "p" and text.startswith("Take")
    ]
    assert verdict.startswith(answer(study))
    assert shown(study).within("h2")[:3] == ["The front", "How sure that is", "In numbers"]
    assert all(sentence.rstrip(".") in shown(study).text for sentence in doubts(study))
