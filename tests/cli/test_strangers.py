"""A study from somebody else is told, or refused in words with exit code 4, and no more."""

import json
import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from archbench.cli.main import archbench, run
from archbench.study.study_folder import DATABASE
from tests.cli.stored import write_study
from tests.study import example

Craft = Callable[[sqlite3.Connection], Any]

DEEP = "[" * 5000 + "]" * 5000
NESTED = '{"a":' * 200 + "1" + "}" * 200


def cell(table: str, column: str, value: Any) -> Craft:
    """Every row has this value in a column."""
    statement = f"UPDATE archbench_{table} SET {column} = ?"
    return lambda connection: connection.execute(statement, (value,))


def entry(key: str, value: Any, *path: str) -> Craft:
    """The header has this value under a key, or at a path within what stands there."""

    def craft(connection: sqlite3.Connection) -> None:
        where = "SELECT value FROM archbench_header WHERE key = ?"
        (text,) = connection.execute(where, (key,)).fetchone() or ("{}",)
        document = found = {key: json.loads(text)}
        for name in (key, *path)[:-1]:
            found = found[name]
        found[(key, *path)[-1]] = value
        text = json.dumps(document[key])
        connection.execute("REPLACE INTO archbench_header (key, value) VALUES (?, ?)", (key, text))

    return craft


def raw(key: str, text: str) -> Craft:
    """The header has this text under a key."""
    statement = "REPLACE INTO archbench_header (key, value) VALUES (?, ?)"
    return lambda connection: connection.execute(statement, (key, text))


def script(*statements: str) -> Craft:
    """What some statements make of the tables."""
    return lambda connection: [connection.execute(one) for one in statements]


ENDLESS = (
    "CREATE VIEW archbench_point AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)"
    " SELECT 0 AS trial, 0 AS seed, x AS epoch, 0 AS step, 0.5 AS loss, 0.5 AS accuracy, 0.5 AS"
    " seconds FROM r"
)
COMPUTED = (
    "CREATE TABLE archbench_point (trial INTEGER, seed INTEGER, epoch INTEGER, step INTEGER, "
    "loss REAL, seconds REAL, accuracy REAL AS (abs(loss)), PRIMARY KEY (trial, seed, epoch)) "
    "WITHOUT ROWID"
)
DROP = "DROP TABLE archbench_point"

CRAFTED: dict[str, Craft] = {
    "accuracy inf": cell("trial", "proxy_accuracy", float("inf")),
    "accuracy text": cell("trial", "proxy_accuracy", "high"),
    "accuracy 7.5": cell("trial", "proxy_accuracy", 7.5),
    "accuracy -1": cell("point", "accuracy", -1.0),
    "accuracy missing": cell("point", "accuracy", None),
    "test accuracy 2": cell("trial", "test_accuracy", 2.0),
    "macs text": cell("trial", "macs", "many"),
    "macs 1e30": cell("trial", "macs", 1e30),
    "macs missing": cell("trial", "macs", None),
    "params -1": cell("trial", "params", -1),
    "digest missing": cell("trial", "digest", None),
    "state unknown": cell("trial", "state", "paused"),
    "seconds -1": cell("trial", "seconds", -1.0),
    "spec no JSON": cell("trial", "spec", "{"),
    "spec deep": cell("trial", "spec", DEEP),
    "spec nested": cell("trial", "spec", NESTED),
    "spec a list": cell("trial", "spec", "[]"),
    "spec missing": cell("trial", "spec", None),
    "choices no JSON": cell("trial", "choices", "x"),
    "choices deep": cell("trial", "choices", DEEP),
    "choices a number": cell("trial", "choices", "7"),
    "choices infinite": cell("trial", "choices", '{"stages[0].dim": 1e400}'),
    "failure unknown": cell("trial", "failure_kind", "fate"),
    "latency 0": cell("measurement", "value", 0.0),
    "latency negative": cell("measurement", "value", -1.0),
    "samples cut": cell("measurement", "samples", b"12345678" * 0 + b"123"),
    "samples not finite": cell("measurement", "samples", struct.pack("<2d", 1.0, float("nan"))),
    "details a list": cell("measurement", "details", "[1]"),
    "details nested": cell("measurement", "details", '{"a": {"b": 1}}'),
    "conditions empty": cell("measurement", "conditions", "{}"),
    "backend a path": cell(
        "measurement",
        "conditions",
        '{"device":"cpu","backend":"../x","precision":"fp32","batch":1,"resolution":[32,32],'
        '"threads":1}',
    ),
    "batch 0": cell(
        "measurement",
        "conditions",
        '{"device":"cpu","backend":"eager","precision":"fp32","batch":0,"resolution":[32,32],'
        '"threads":1}',
    ),
    "verdict unknown": cell("measurement", "verdict", "fine"),
    "kind unknown": cell("measurement", "kind", "wish"),
    "objectives unknown": entry("objectives", {"proxy_accuracy": "max", "beauty": "max"}),
    "objectives empty": entry("objectives", {}),
    "objectives a list": entry("objectives", ["latency_ms"]),
    "objectives turned": entry("objectives", {"proxy_accuracy": "min", "latency_ms": "max"}),
    "limits text": entry("limits", {"latency_ms": "low"}),
    "limits a text": entry("limits", "low"),
    "proxy null": entry("proxy", None),
    "chance 1": entry("proxy", 1, "chance"),
    "no validation images": entry("proxy", 0, "num_validation"),
    "rungs fall": entry("proxy", [8, 4], "rungs"),
    "rungs empty": entry("proxy", [], "rungs"),
    "size 1e400": raw("size", "1e400"),
    "size deep": raw("size", DEEP),
    "size no JSON": raw("size", "many"),
    "version text": raw("schema", '"x"'),
    "kind of study": entry("kind", "wish"),
    "environment lacking": entry("environment", {"cpu": "x"}),
    "confirmed lacking": entry("confirmed", {"front": [1]}),
    "confirmed settled a text": entry(
        "confirmed", {"front": [], "settled": True, "budget_s": "x", "spent_s": 1}
    ),
    "sources lacking": entry("sources", [{"study": "x"}]),
    "spaces a number": entry("spaces", 7),
    "left to chance lacking": entry("left_to_chance", {"partly": 1}),
    "left to chance a text": entry("left_to_chance", "much"),
    "repeat seconds a text": entry("repeat_seconds", "long"),
    "seeds asked none": entry("seeds_asked", 0),
    "asked a list": entry("asked", []),
    "training seconds -1": entry("training_seconds", -1),
    "axes a list": entry("axes", []),
    "seconds a text": entry("seconds", "long"),
    "name a list": entry("name", ["x"]),
    "a view": script("CREATE VIEW looks AS SELECT 1"),
    "an endless view": script(DROP, ENDLESS),
    "a trigger": script(
        "CREATE TRIGGER t AFTER INSERT ON archbench_trial BEGIN DELETE FROM archbench_trial; END"
    ),
    "a virtual table": script("CREATE VIRTUAL TABLE v USING fts5(x)"),
    "a computed column": script(DROP, COMPUTED),
    "an index of its own": script("CREATE INDEX i ON archbench_trial (abs(number))"),
    "another key": script(DROP, "CREATE TABLE archbench_point (trial INTEGER PRIMARY KEY)"),
    "a column is missing": script("ALTER TABLE archbench_trial DROP COLUMN reason"),
    "trials of curves gone": script("DELETE FROM archbench_trial WHERE number = 0"),
}

LACKING: dict[str, Craft] = {
    "header without objectives": script("DELETE FROM archbench_header WHERE key = 'objectives'"),
    "header without limits": script("DELETE FROM archbench_header WHERE key = 'limits'"),
    "header without proxy": script("DELETE FROM archbench_header WHERE key = 'proxy'"),
    "proxy without chance": entry("proxy", {"data": "toy"}),
}
"""Enough to tell a single trial, but no front."""

COMMANDS = (
    ("report", "STUDY"),
    ("report", "STUDY", "--json"),
    ("pick", "STUDY", "--knee"),
    ("insight", "STUDY"),
    ("compare", "STUDY:0", "levit_128s"),
    ("search", "SPACE", "--name", "got", "--results", "RESULTS", "--resume"),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("strangers") / "got", trials=24)
    (folder / "space.yaml").write_text("base: levit_128s\naxes:\n  stages[0].dim: [64, 128]\n")
    return folder


def crafted(sound: Path, tmp_path: Path, craft: Craft) -> Path:
    folder = shutil.copytree(sound, tmp_path / "got")
    with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
        craft(connection)
        example.recount(connection)
    return folder


def ended(command: tuple[str, ...], folder: Path) -> int:
    named = {"SPACE": str(folder / "space.yaml"), "RESULTS": str(folder.parent)}
    words = [named.get(word, word.replace("STUDY", str(folder))) for word in command]
    return run(archbench, words)


@pytest.mark.parametrize("name", [*CRAFTED, *LACKING])
def test_crafted_study_is_refused_with_its_place_and_what_to_do(
    sound: Path, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = crafted(sound, tmp_path, (CRAFTED | LACKING)[name])
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    for command in (c for c in COMMANDS if name in CRAFTED or c[0] != "compare"):
        code = ended(command, folder)
        told = capfd.readouterr().err
        assert code == 4, (command, told)
        assert str(folder) in told
        assert "bug of archbench" not in told
    written = {path for path in folder.parent.rglob("*") if path not in before}
    allowed = {"owner.lock", "checkpoints", "report", "study.db-wal", "study.db-shm"}
    assert {path.name for path in written} <= allowed


HOSTILE = (
    *(None, True, -1, 0, 7, 2**63, 10**30, -0.5, 1e308, 1e-320, "", "x", "\x00\x1b[2J", "9" * 400),
    *([], [None], ["x"], [[]], [-1, 0], {}, {"": 1}, {"x": {}}, {"a": [{"b": "c"}]}),
)
KEYS = {
    "archbench_header": "key",
    "archbench_trial": "number",
    "archbench_point": "trial",
    "archbench_measurement": "id",
}


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, itself included."""
    if isinstance(document, list):
        document = dict(enumerate(document))
    inner = document.items() if isinstance(document, dict) else ()
    return [path, *(found for key, value in inner for found in places(value, (*path, key)))]


def mutated(document: Any, rng: random.Random) -> Any:
    """The document with something hostile, or nothing, at one of its places."""
    path, value = rng.choice(places(document)), rng.choice(HOSTILE)
    if not path:
        return value
    found = document
    for key in path[:-1]:
        found = found[key]
    if rng.random() < 0.3:
        del found[path[-1]]
    else:
        found[path[-1]] = value
    return document


def change(connection: sqlite3.Connection, rng: random.Random) -> str:
    """Puts something hostile into a cell, or into the document that stands there; tells what."""
    (table,) = rng.choices(list(KEYS), weights=(6, 3, 1, 3))
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    column, key = rng.choice(columns), KEYS[table]
    found = connection.execute(f"SELECT {key}, {column} FROM {table}").fetchall()
    where, cell = rng.choice(found)
    try:
        value = json.dumps(mutated(json.loads(cell), rng))
    except (ValueError, TypeError):
        value = rng.choice([one for one in HOSTILE if isinstance(one, str | float | None)])
    statement = f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {key} = ?"
    with suppress(sqlite3.IntegrityError):  # a key that is no whole number
        connection.execute(statement, (value, where))
    return f"{table}.{column} of {where!r}: {value!r:.300}"


@pytest.mark.parametrize("seed", range(8))
def test_study_with_something_hostile_in_it_is_told_or_refused(
    sound: Path, tmp_path: Path, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    folder = crafted(sound, tmp_path, lambda c: told.append(change(c, random.Random(seed))))
    for command in (("report", "STUDY", "--json", "--format", "html"), ("pick", "STUDY", "--knee")):
        assert ended(command, folder) in (0, 1, 4), (told, capfd.readouterr().err)
