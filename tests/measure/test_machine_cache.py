"""What was decided once stays, whatever happens to the file."""

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.measure.machine_cache import FormFile, form_file
from archbench.study.atomic_file import writing_alone
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions


@pytest.fixture
def kept(environment: Environment) -> FormFile:
    return form_file(Conditions(), environment=environment, generation=1)


def test_the_first_decision_stays(kept: FormFile) -> None:
    assert kept.decided() == {}
    kept.add({"a": "packed"})
    kept.add({})
    kept.add({"a": "plain", "b": "plain"})
    assert kept.decided() == {"a": "packed", "b": "plain"}


@pytest.mark.parametrize(
    ("changed", "machine", "generation", "is_other"),
    [
        ({"precision": "bf16"}, {}, 1, True),
        ({"threads": 2}, {}, 1, True),
        ({}, {"cpu": "b"}, 1, True),
        ({}, {}, 2, True),  # of the constants
        ({"batch": 2}, {}, 1, False),  # the shapes in the kinds of layers say it
    ],
)
def test_other_conditions_machines_and_constants_have_other_decisions(
    kept: FormFile,
    environment: Environment,
    changed: dict[str, object],
    machine: dict[str, str],
    generation: int,
    is_other: bool,
) -> None:
    other = form_file(
        Conditions(**changed), environment=replace(environment, **machine), generation=generation
    )
    assert (other.path != kept.path) == is_other
    kept.add({"a": "packed"})  # a file of another is not believed, wherever it lies
    assert (replace(other, path=kept.path).decided() == {}) == is_other


DEEP = "[" * 100_000
NO_CHECKSUM = '{"schema": "archbench.forms/1"}'


@pytest.mark.parametrize("damage", ["", "{", "[]", NO_CHECKSUM, "null", DEEP])
def test_a_damaged_file_is_decided_anew(damage: str, kept: FormFile) -> None:
    kept.add({"a": "packed"})
    kept.path.write_text(damage)
    assert kept.decided() == {}
    kept.add({"a": "plain"})
    assert kept.decided() == {"a": "plain"}


def test_a_changed_value_is_seen_by_the_checksum(kept: FormFile) -> None:
    kept.add({"a": "packed"})
    kept.path.write_text(kept.path.read_text().replace("packed", "plain"))
    assert kept.decided() == {}
    with pytest.raises(ValueError, match="its checksum does not hold"):
        kept.read()


def test_a_file_from_before_there_were_checksums_is_taken_anew(kept: FormFile) -> None:
    kept.add({"a": "packed"})
    document = json.loads(kept.path.read_text())
    del document["sha256"]
    kept.path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="it has no checksum"):
        kept.read()


def test_a_folder_that_cannot_be_written_leaves_things_as_they_are(
    kept: FormFile, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no folder")
    kept.add({"a": "packed"})
    assert kept.decided() == {}


def _die_with_the_lock(kept: FormFile) -> None:
    kept.path.parent.mkdir(parents=True, exist_ok=True)
    with writing_alone(kept.path):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_blocks_nobody(kept: FormFile) -> None:
    child = multiprocessing.get_context("fork").Process(target=_die_with_the_lock, args=(kept,))
    child.start()
    child.join(20)
    assert child.exitcode == -signal.SIGKILL
    kept.add({"a": "packed"})
    assert kept.decided() == {"a": "packed"}
