"""``archbench studies``: what is there, and what can be done with it."""

import json
from pathlib import Path

from archbench.study.study_folder import ownership
from tests.cli.conftest import Run
from tests.cli.stored import write_study


def test_all_studies_are_listed_with_their_state(run: Run) -> None:
    write_study(Path("results/first"))
    write_study(Path("results/second"), trials=3)
    (Path("results") / "torn").mkdir()
    (Path("results") / "torn" / "study.db").write_bytes(b"no database at all")
    with ownership(Path("results/second")):
        ended = run("studies")
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert lines[0].split() == [
        "study",
        "state",
        "trials",
        "front",
        "best",
        "begun",
        "size",
        "data",
    ]
    states = {line.split()[0]: line.split()[1] for line in lines[2:4]}
    assert states == {"first": "parked", "second": "running"}
    assert "torn cannot be read: the database is damaged" in ended.out
    assert run("list").out.splitlines()[0].split() == lines[0].split()
    found = json.loads(run("studies", "list", "--json").out)
    assert [study["trials"] for study in found["studies"]] == [12, 3]


def test_a_folder_without_studies_says_so(run: Run) -> None:
    ended = run("studies")
    assert ended.code == 0
    assert ended.out == "there are no studies in results\n"


def test_a_study_is_shown_with_its_conditions_and_sizes(run: Run) -> None:
    write_study(Path("results/first"))
    out = run("studies", "show", "first").out
    for told in ("first: a search in results/first", "AMD EPYC 9R45", "most accurate", "database"):
        assert told in out


def test_a_study_is_renamed_packed_removed_and_taken_in(run: Run) -> None:
    write_study(Path("results/first"))
    assert run("studies", "rename", "first", "mine").out == "first is results/mine now\n"
    assert run("studies", "export", "mine").code == 0
    assert Path("mine.tar.gz").is_file()
    refused = run("studies", "remove", "mine")
    assert refused.code == 2
    assert "not removed, as nobody can be asked (results/mine: 12 trials" in refused.err
    assert run("studies", "remove", "mine", "--yes").out == "results/mine is removed\n"
    assert run("studies", "import", "mine.tar.gz").code == 0
    assert "mine: a search in results/mine" in run("studies", "show", "mine").out


def test_two_studies_are_compared(run: Run) -> None:
    write_study(Path("results/first"))
    write_study(Path("results/second"), trials=6)
    ended = run("studies", "compare", "first", "second")
    assert ended.code == 0
    assert "of one box their fronts dominate: first" in ended.out
    assert "second: " in ended.out
    assert run("studies", "compare", "first").code == 2
