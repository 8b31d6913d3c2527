"""The page shows where the time of the front's members goes, where that was looked into."""

import json
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.study import StudyReader
from archbench.errors import StorageError
from archbench.report.element import page_of
from archbench.report.findings.parts import where_time_goes
from archbench.report.study_page import study_page
from archbench.report.summary import Summary
from archbench.study.study_folder import WHERE_SCHEMA, read_where, where_path, write_where
from tests.cli.test_where import FOUND

from . import plausible
from .browser import Page, read
from .hostile import PAYLOADS
from .test_html import ATTRIBUTES, TAGS, assert_harmless


def keep(study: StudyReader, **changed: Any) -> int:
    """Keep where the time of the front's first member goes, each of its parts so changed."""
    record = study.front_records()[0]
    parts = [{**part, "gflops": 40.2, **changed} for part in FOUND["parts"]]
    network = {**FOUND, "digest": record.digest, "parts": parts}
    write_where(study.path, record.number, {"schema": WHERE_SCHEMA, "networks": [network]})
    return record.number


def shown(study: StudyReader) -> tuple[str, Page]:
    text = study_page(Summary(study))
    found = text.partition('<details class="section" id="where">')[2]
    return found.partition('<details class="section"')[0], read(text)


def test_without_anything_kept_the_page_says_how(tmp_path: Path) -> None:
    text, _ = shown(plausible.study(path=tmp_path))
    members = plausible.study().front_records()
    assert "the members of the front goes" in text
    assert f"archbench profile {tmp_path}:{members[0].number} " in text
    assert text.count("<svg") == 0


def test_what_was_kept_is_a_plot_and_a_table(tmp_path: Path) -> None:
    study = plausible.study(path=tmp_path)
    number = keep(study)
    text, seen = shown(study)
    assert f"Trial {number}: 4.00 ms" in text
    assert "stage 0 takes 75.0 %" in text
    assert text.count("<svg") == 2  # one for each width
    assert "<td>  0 levit</td>" in text
    for cell in ("2.00", "50.0 %", "30.0 M", "1.5", "30", "50 %"):
        assert f'<td class="number">{cell}</td>' in text
    assert f":{number} " not in text  # the command names the others alone
    assert "the other members" in text
    assert_harmless(seen)
    identifiers = seen.attributes("id")
    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("payload", PAYLOADS[::5])
def test_a_payload_stays_text(tmp_path: Path, payload: str) -> None:
    study = plausible.study(path=tmp_path)
    keep(study, place=payload, kind=payload, bound_by=payload)
    seen = read(page_of(where_time_goes(Summary(study))))
    assert {tag for tag, _ in seen.elements} <= TAGS
    assert {name for _, values in seen.elements for name in values} <= ATTRIBUTES


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:50], "does not say where time goes"),
        (lambda text: text.replace("where/1", "where/9"), "its schema is"),
        (lambda text: text.replace('"digest": "', '"digest": "x'), "it is of another network"),
        (
            lambda text: text.replace('"whole_ms": 4.0', '"whole_ms": NaN'),
            "a value is not a number",
        ),
        (lambda text: text.replace('"kind": "levit"', '"kind": 3'), "a part has no name"),
        (lambda text: text.replace('"ms": 2.0', '"ms": "x"'), "does not say where"),
        (lambda text: "[]", "does not say where"),
    ],
    ids=["cut", "schema", "digest", "number", "text", "type", "list"],
)
def test_a_damaged_file_is_said_and_the_page_is_made(
    tmp_path: Path, damage: Any, said: str
) -> None:
    study = plausible.study(path=tmp_path)
    number = keep(study)
    path = where_path(tmp_path, number)
    path.write_text(damage(path.read_text()))
    with pytest.raises(StorageError, match=said):
        read_where(tmp_path, number, digest=study.front_records()[0].digest)
    assert "does not say where time goes" in page_of(where_time_goes(Summary(study)))


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "where").write_text("")
    with pytest.raises(StorageError):
        write_where(tmp_path, 3, json.loads("{}"))
