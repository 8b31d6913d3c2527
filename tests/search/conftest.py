"""Tiny data, prepared once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from archbench.search import events
from archbench.search.optuna_view import quiet_optuna
from tests.search import tiny


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    quiet_optuna()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARCHBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"folder:{tiny.write_images(tmp_path_factory.mktemp('images'))}"


@pytest.fixture(scope="module")
def heard() -> list[events.Event]:
    """What a study of the module tells meanwhile, if it is made to tell it here."""
    return []
