"""Who may import whom: the rooms, the libraries that they own, and what stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "archbench"
BENEATH_ALL = {"bounds", "cache_folder", "command_line", "digest", "errors", "exactness", "lazy"}
BENEATH_ALL |= {"lock", "memory", "one_thread", "progress", "registry", "yaml_document"}
EVERYWHERE = {"numpy"}


@dataclass(frozen=True)
class Room:
    """What a room may import: other rooms and third-party libraries.

    The rooms of ``BENEATH_ALL`` lie beneath all others, and numpy belongs to nobody.
    """

    rooms: set[str] = field(default_factory=set)
    libraries: set[str] = field(default_factory=set)


# Optuna's storage is SQLAlchemy's and raises its errors. evaluate joins networks, a data set and
# numbers, so it has to load the data set by its name, and it opens networks of other libraries, to
# measure them like ours. RandAugment, as recipes name it, is timm's, so data own timm, too.
RUNTIMES = (
    "onnx onnxruntime onnxscript openvino nncf tensorrt ncnn pnnx executorch ai_edge_litert "
    "ai_edge_quantizer litert_torch"
)
SEARCHING = "optuna optunahub ray scipy sqlalchemy"
TABLE = f"""
command_line | |
errors       | |
bounds       | errors |
exactness    | errors | torch
cache_folder | errors |
digest       | |
lazy         | |
memory       | |
one_thread   | | threadpoolctl
progress     | |
lock         | progress |
registry     | errors |
yaml_document | errors | yaml
study        | |
analysis     | study | pandas pyarrow moocore scipy
models       | study | torch safetensors
data         | | torch torchvision sklearn PIL timm
train        | data models study | torch timm
measure      | study | torch fvcore {RUNTIMES}
space        | analysis models study |
evaluate     | analysis models data train measure study | torch timm torchvision transformers
search | analysis data evaluate measure models space study train | {SEARCHING}
report       | analysis study | matplotlib
cli          | models data train measure space evaluate search report analysis study | click rich
"""
ROOMS = {
    name.strip(): Room(set(rooms.split()), set(libraries.split()))
    for name, rooms, libraries in (row.split("|") for row in TABLE.strip().splitlines())
}
ROOT = Room(set(ROOMS) - {"cli"})
"""``archbench/__init__.py``, the Python interface: it hands on what rooms give."""


def imports_of(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, inside functions and by ``import_module`` too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            target = node.args[0]
            if called in {"import_module", "__import__"} and isinstance(target, ast.Constant):
                yield node.lineno, str(target.value)


def faults(source: str, *, name: str, room: str) -> Iterator[str]:
    """What is wrong with the imports of a file, by the table."""
    allowed = ROOMS.get(room, ROOT)
    rooms = allowed.rooms | {room} | (set() if room in BENEATH_ALL else BENEATH_ALL)
    for line, target in imports_of(source):
        top, *inside = target.split(".")
        if top == "archbench" and inside and inside[0] not in rooms:
            yield f"{name}:{line}: {room} may not import archbench.{inside[0]}"
        known = {"archbench"} | sys.stdlib_module_names | allowed.libraries | EVERYWHERE
        if top not in known:
            yield f"{name}:{line}: {room} does not own {top}"


def room_of(path: Path) -> str:
    """The room that a file belongs to; ``root`` for the package's own module."""
    inside = path.relative_to(PACKAGE)
    name = inside.parts[0] if len(inside.parts) > 1 else inside.stem
    return {"__init__": "root", "__main__": "cli"}.get(name, name)


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_file_belongs_to_a_room_of_the_table() -> None:
    unknown = {room_of(path) for path in FILES} - set(ROOMS) - {"root"}
    assert not unknown, f"rooms that the table does not know: {sorted(unknown)}"


@pytest.mark.parametrize("room", [*ROOMS, "root"])
def test_room_imports_only_what_its_row_allows(room: str) -> None:
    wrong = [
        fault
        for path in FILES
        if room_of(path) == room
        for fault in faults(path.read_text(), name=str(path.relative_to(PACKAGE)), room=room)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("room", "source", "fault"),
    [
        ("study", "import torch", "study does not own torch"),
        ("study", "def f():\n    import torch.nn as nn", "study does not own torch"),
        ("study", "from archbench import models", "study may not import archbench.models"),
        ("report", "from archbench.search.run import x", "report may not import archbench.search"),
        ("search", "from archbench.cli import main", "search may not import archbench.cli"),
        ("errors", "from archbench.registry import x", "errors may not import archbench.registry"),
        ("models", "import importlib\nimportlib.import_module('optuna')", "models does not own"),
        ("space", "if TYPE_CHECKING:\n    from pandas import X", "space does not own pandas"),
        ("analysis", "import pandas as pd\nimport numpy as np\nimport json", None),
        ("study", "from archbench.errors import StorageError", None),
        ("study", "from archbench.study import rows", None),
        ("cli", "def f():\n    from archbench.search.run import search\n    import click", None),
    ],
)
def test_forbidden_import_is_seen_wherever_it_stands(room: str, source: str, fault: str) -> None:
    found = list(faults(source, name="x.py", room=room))
    assert len(found) == bool(fault)
    assert all(fault in text for text in found)


@pytest.mark.parametrize(
    ("room", "library"),
    [(room, library) for room in ROOMS for library in sorted(ROOMS[room].libraries)],
)
def test_room_uses_each_library_that_it_owns(room: str, library: str) -> None:
    """Some are imported by a name that is data, so the name itself is looked for."""
    sources = (path.read_text() for path in FILES if room_of(path) == room)
    assert any(re.search(rf"\b{library}\b", source) for source in sources)


def test_every_extra_installs_a_library_that_a_room_owns() -> None:
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    owned = set().union(*(room.libraries for room in ROOMS.values()))
    for extra in extras.keys() - {"browser", "docs", "test"}:
        names = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in extras[extra]}
        assert names & owned, f"no room uses what the extra {extra} installs"


LIGHT = """
import importlib, pkgutil, sys
for name in {names!r}:
    package = importlib.import_module(name)
    for entry in pkgutil.walk_packages(getattr(package, "__path__", []), name + "."):
        importlib.import_module(entry.name)
heavy = sorted({heavy!r} & set(sys.modules))
assert not heavy, f"{{heavy}} came with {names!r}"
"""


@pytest.mark.parametrize(
    ("names", "heavy"),
    [
        (["archbench.study"], {"torch", "optuna", "matplotlib"}),
        (["archbench.report"], {"torch", "optuna"}),
        (["archbench.errors", "archbench.registry"], {"torch", "pandas", "numpy"}),
    ],
)
def test_whole_room_imports_without(names: list[str], heavy: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(names=names, heavy=heavy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


ENTRIES = """
cli/commands data/sources measure/backends models/blocks models/embeds models/published
models/weights/layouts report/formats search/ablation/papers search/engines search/pruners
search/samplers study/objectives
"""
REGISTRIES = set(ENTRIES.split())
"""Folders whose files are entries, named by the word that a user types."""

SUBJECTS = """
ablation bottleneck catalogue certificate comparison configuration doctor export front importance
other_runtimes parts pick profile progress pruning remeasure retraining run space study training
"""
"""What several rooms are about: derived in one, told in another, asked for in a third."""


def test_files_of_one_name_are_about_one_subject() -> None:
    homes = defaultdict(list)
    for path in FILES:
        folder = str(path.parent.relative_to(PACKAGE))
        if path.name != "__init__.py" and folder not in REGISTRIES:
            homes[path.stem].append(folder)
    several = {name: found for name, found in homes.items() if len(found) > 1}
    assert not {name: found for name, found in several.items() if name not in SUBJECTS.split()}


def test_registries_are_folders_that_there_are() -> None:
    assert all((PACKAGE / folder).is_dir() for folder in REGISTRIES)


def test_a_public_class_has_one_meaning() -> None:
    homes = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(PACKAGE)))
    del homes["Spec"]  # each file of a block or an embed has its own
    assert not {name: found for name, found in homes.items() if len(found) > 1}


def test_no_file_imports_in_a_circle() -> None:
    """Not even for a type: a file can be read before those that import it."""
    names = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in FILES
        if path.name != "__init__.py"
    }
    left = {
        name: {
            found
            for _, target in imports_of(path.read_text())
            for found in (target, target.rpartition(".")[0])
            if found in names and found != name
        }
        for name, path in names.items()
    }
    while ready := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in ready:
            del left[name]
    assert not left, f"in a circle, or above one: {sorted(left)}"


def test_no_room_imports_up_the_order() -> None:
    """The table is written in that order, each room below those that may import it."""
    order = list(ROOMS)
    for place, (room, row) in enumerate(ROOMS.items()):
        assert row.rooms <= set(order[:place]), room
