"""A folder that holds a certificate, an ablation or neither."""

from pathlib import Path

import pytest

from archbench.errors import StorageError
from archbench.search.trainings import opened
from archbench.study.planned import find_planned, read_planned


def test_folder_of_something_else_is_told(tmp_path: Path) -> None:
    assert find_planned(tmp_path) is None
    with pytest.raises(StorageError, match="there is no ablation here"):
        read_planned(tmp_path, kind="ablation")
    with pytest.raises(StorageError, match="there is no ablation"):
        opened(tmp_path, kind="ablation").__enter__()


def test_folder_of_a_version_before_0_2_is_refused_with_the_way(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(StorageError, match=r"before 0\.2 wrote this") as refused:
        find_planned(tmp_path)
    assert "resume it with version 0.2" in str(refused.value.help)
