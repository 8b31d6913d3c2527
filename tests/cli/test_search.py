"""``archbench search``: from the plan to the front, and everything that is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from archbench.analysis.study import open_study
from archbench.cli.main import archbench
from archbench.cli.main import run as run_command
from tests.cli.conftest import Run
from tests.search import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny space, its images, and a cache of its own."""
    folder = tmp_path_factory.mktemp("search")
    images = tiny.write_images(folder / "images")
    text = tiny.space_text(f"folder:{images}", trials=3)
    (folder / "toy.yaml").write_text(text.replace("rungs: [1, 2]", "rungs: [12]"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARCHBENCH_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def study(folder: Path) -> Path:
    """A study that was searched with --json."""
    arguments = ["search", str(folder / "toy.yaml"), "--results", str(folder / "results"), "--json"]
    assert run_command(archbench, arguments) == 0
    return folder / "results" / "toy"


def test_a_study_with_a_teacher_keeps_it_and_goes_on(run: Run, folder: Path) -> None:
    words = [
        "search", str(folder / "toy.yaml"), "--results", str(folder / "taught"), "--workers", "1",
        "--set", "proxy.teacher=convolutional", "--set", "proxy.rungs=[2]",
    ]  # fmt: skip
    ended = run(*words, "--trials", "1")
    assert "the convolutional teacher is right on " in ended.err
    kept = open_study(folder / "taught" / "toy").header["proxy"]
    assert kept["recipe"]["teacher"] == kept["teacher"]["kind"] == "convolutional"
    for file in (folder / "cache" / "teachers").glob("*.safetensors"):
        file.unlink()
    again = run(*words, "--trials", "2", "--resume")
    assert "the convolutional teacher is right on " in again.err
    assert again.code == ended.code


def test_the_old_option_still_confirms_the_front_of_a_study(run: Run, study: Path) -> None:
    ended = run("search", "--confirm", str(study), "--json")
    assert (ended.code, ended.err) == (0, "")
    document = json.loads(ended.out)
    assert document["study"] == "toy"
    assert document["doubt"]["confirmation"]["spent_s"] >= 0
