"""What was written is there after a kill, and what was not whole is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from archbench.errors import StorageError, UsageError
from archbench.search.ablation import store

PLAN = {"spec": {"layers": {1: {"dim": 8}}}, "seeds": 3}


def _created(results: Path) -> Path:
    return store.create(results, "one", plan=PLAN)


def test_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    path = _created(tmp_path)
    assert store.read_plan(path) == {"schema": store.SCHEMA, **PLAN}
    assert store.is_ablation(path)
    assert [file.name for file in tmp_path.iterdir()] == ["one"]


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    path = _created(tmp_path)
    lines = [{"kind": "accuracy", "accuracy": 0.1 + number} for number in range(3)]
    for line in lines:
        store.append(path, line)
    assert store.read_lines(path) == lines


def test_line_that_a_kill_left_unfinished_is_cut_off(tmp_path: Path) -> None:
    path = _created(tmp_path)
    store.append(path, {"kind": "a"})
    with (path / store.RESULTS).open("ab") as file:
        file.write(b'{"kind":"b"')
    assert store.read_lines(path) == [{"kind": "a"}]
    store.mend(path)
    store.append(path, {"kind": "c"})
    assert store.read_lines(path) == [{"kind": "a"}, {"kind": "c"}]


def test_damaged_line_is_told(tmp_path: Path) -> None:
    path = _created(tmp_path)
    (path / store.RESULTS).write_bytes(b'{"kind":"a"}\n{"ki\n')
    with pytest.raises(StorageError, match="a line is damaged"):
        store.read_lines(path)


def test_second_of_a_name_is_refused_with_the_way_on(tmp_path: Path) -> None:
    _created(tmp_path)
    with pytest.raises(StorageError, match=r"one exists already; go on with it: archbench ablate "):
        _created(tmp_path)


def test_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a study"):
        store.create(tmp_path, "../up", plan=PLAN)


def test_folder_without_or_with_another_plan_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no ablation here"):
        store.read_plan(tmp_path)
    (tmp_path / store.PLAN).write_text('{"schema": "archbench.ablation-plan/9"}')
    with pytest.raises(StorageError, match=r"a plan of the schema archbench.ablation-plan/9, not"):
        store.read_plan(tmp_path)
    (tmp_path / store.PLAN).write_text("{")
    with pytest.raises(StorageError, match="the plan cannot be read"):
        store.read_plan(tmp_path)
