"""How a test runs a command: with every ending, as a shell would see it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from archbench.cli.main import archbench
from archbench.cli.main import run as run_command
from tests.golden.stories import NETWORK
from tests.search import tiny


class Ending(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Ending]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """A function that runs ``archbench`` with some arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))

    def run(*arguments: str) -> Ending:
        code = run_command(archbench, arguments)
        captured = capsys.readouterr()
        return Ending(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny network, its images, and a cache of its own."""
    folder = tmp_path_factory.mktemp("toy")
    tiny.write_images(folder / "images")
    (folder / "toy.yaml").write_text(NETWORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARCHBENCH_CACHE", str(folder / "cache"))
        yield folder
