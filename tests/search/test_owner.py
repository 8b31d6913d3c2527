"""One owner, one whole folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archbench.errors import StorageError, UsageError
from archbench.study import study_folder as owner


def _fill(folder: Path) -> None:
    (folder / owner.DATABASE).write_text("data")


def _create(results: Path, name: str = "mine") -> Path:
    return owner.create_folder(results, name, fill=_fill)


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """The id of another process that owns the study in the block, and is killed then."""
    code = (
        "import sys; from pathlib import Path; from archbench.study.study_folder import ownership\n"
        "with ownership(Path(sys.argv[1])):\n"
        "    print('owned', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"owned\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "a\\b", "-x", ".hidden", "a\n", "a\0b", "x" * 65, "é"),
        *("a b", "<script>", "~", "a:b", "$HOME", "con|"),
    ],
)
def test_refuses_names_that_could_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a study"):
        owner.create_folder(tmp_path / "results", name, fill=_fill)
    assert list(tmp_path.iterdir()) == []


def test_folder_appears_whole(tmp_path: Path) -> None:
    path = _create(tmp_path / "results")
    assert (path / owner.DATABASE).read_text() == "data"
    assert (path / owner.CHECKPOINTS).is_dir()
    assert [p.name for p in path.parent.iterdir()] == ["mine"]


def test_nothing_is_left_of_a_folder_that_could_not_be_filled(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        _fill(folder)
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left on device"):
        owner.create_folder(tmp_path / "results", "mine", fill=fail)
    assert list((tmp_path / "results").iterdir()) == []


def test_existing_study_is_refused_with_both_ways_on(tmp_path: Path) -> None:
    path = _create(tmp_path)
    with pytest.raises(StorageError, match="exists already") as caught:
        _create(tmp_path)
    assert f"--name mine --results {tmp_path} --resume" in str(caught.value.help)
    assert "archbench search SPACE --name mine-2" in str(caught.value.help)
    assert (path / owner.DATABASE).read_text() == "data"


def test_second_owner_is_refused_with_the_first_ones_name(tmp_path: Path) -> None:
    path = _create(tmp_path)
    with _held(path) as first:
        told = rf"process {first} on \S+ since 20\d\d-"
        with pytest.raises(StorageError, match=told), owner.ownership(path):
            pass


def test_lock_of_a_killed_owner_is_free(tmp_path: Path) -> None:
    path = _create(tmp_path)
    with _held(path) as first:
        pass
    assert str(first) in (path / owner.LOCK).read_text()
    with owner.ownership(path):
        assert str(os.getpid()) in (path / owner.LOCK).read_text()


def test_resuming_nothing_is_refused(tmp_path: Path) -> None:
    absent = owner.ownership(tmp_path / "absent")
    with pytest.raises(StorageError, match="no study here to resume"), absent:
        pass


def test_results_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write the study.*lets you write"):
        owner.require_writable(tmp_path / "file" / "results")


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    owner.require_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_what_a_kill_left_is_tidied(tmp_path: Path) -> None:
    path = _create(tmp_path)
    kept, torn = path / owner.CHECKPOINTS / "x.safetensors", path / owner.CHECKPOINTS / ".y.partial"
    backup = path / ".study.db.backup.7.partial"
    for file in (kept, torn, backup):
        file.touch()
    owner.tidy(path)
    assert list((path / owner.CHECKPOINTS).iterdir()) == [kept]
    assert not backup.exists()
    kept.unlink()
    kept.parent.rmdir()
    owner.tidy(path)
    assert kept.parent.is_dir()


@pytest.mark.parametrize("place", [owner.LOCK, "study.db-wal", "trials.csv", "checkpoints/x"])
def test_owner_refuses_a_study_with_links_and_touches_nothing(tmp_path: Path, place: str) -> None:
    path, victim = _create(tmp_path / "results"), tmp_path / "victim"
    victim.write_text("precious")
    (path / place).symlink_to(victim)
    with pytest.raises(StorageError, match=rf"{place}: it is a link to"), owner.ownership(path):
        pass
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("place", [owner.LOCK, owner.DATABASE])
def test_owner_refuses_what_is_written_in_place_and_has_a_second_name(
    tmp_path: Path, place: str
) -> None:
    path, victim = _create(tmp_path / "results"), tmp_path / "victim"
    victim.write_text("precious")
    (path / place).unlink(missing_ok=True)
    (path / place).hardlink_to(victim)
    with pytest.raises(StorageError, match="second name elsewhere"), owner.ownership(path):
        pass
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", [owner.CHECKPOINTS, owner.REPORT, owner.WHERE])
def test_folder_of_a_study_that_is_a_link_is_refused(tmp_path: Path, name: str) -> None:
    path, other = _create(tmp_path / "results"), tmp_path / "other"
    other.mkdir()
    (other / ".x.partial").touch()
    if (path / name).exists():
        (path / name).rmdir()
    (path / name).symlink_to(other)
    with pytest.raises(StorageError, match=f"{name}: it is a link to"), owner.ownership(path):
        pass
    with pytest.raises(StorageError, match=f"{name}: it is a link to"):
        owner.own_folder(path, name)
    assert list(other.iterdir()) == [other / ".x.partial"]


def test_lock_that_is_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    path = _create(tmp_path)
    os.mkfifo(path / owner.LOCK)
    with pytest.raises(StorageError, match="neither a file nor a folder"), owner.ownership(path):
        pass


def test_lock_file_that_is_removed_admits_no_second_owner(tmp_path: Path) -> None:
    path = _create(tmp_path)
    with _held(path):
        (path / owner.LOCK).unlink()
        with pytest.raises(StorageError, match="the study is owned by"), owner.ownership(path):
            pass


def test_unfinished_files_are_removed_by_the_next_owner(tmp_path: Path) -> None:
    path = _create(tmp_path)
    names = (
        ".front.parquet.0a1b.partial",
        "checkpoints/.y.partial",
        "report/.index.html.0.partial",
    )
    for name in names:
        (path / name).touch()
    with owner.ownership(path):
        assert [name for name in names if (path / name).exists()] == [names[2]]


def test_study_that_could_not_be_made_claims_nothing_as_stored(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise StorageError("the disk is full", place=str(folder), help="all that was told is safe")

    with pytest.raises(StorageError, match=f"^{tmp_path}/mine: the disk is full; nothing of this"):
        owner.create_folder(tmp_path, "mine", fill=fail)
