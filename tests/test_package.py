"""What ``import archbench`` offers."""

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import archbench

_PROFILE = """
from archbench.cli.main import main
try:
    main(["profile", "levit_128s", "--no-latency"])
except SystemExit as ended:
    assert not ended.code
"""


@pytest.mark.parametrize("package", ["archbench", "archbench.models"])
def test_package_hands_on_names_that_none_of_its_files_takes(package: str) -> None:
    module = import_module(package)
    files = {entry.name for entry in pkgutil.iter_modules(module.__path__)}
    assert files & set(module.__all__) <= {"search"}  # a package that can be called
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert set(module.__all__) <= set(dir(module))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'archbench' has no attribute 'serch'"):
        _ = archbench.serch  # type: ignore[attr-defined]


def test_search_can_be_called_after_its_room_was_imported() -> None:
    import archbench.search.events

    assert callable(archbench.search)


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("", "torch numpy pandas optuna click"),
        ("archbench.__version__, archbench.open_study", "torch"),
        ("from archbench.study.environment import capture; capture()", "torch pandas"),
        (_PROFILE, "pandas optuna matplotlib"),
        ("import archbench.search.settings", "scipy matplotlib"),  # before a name is refused
    ],
)
def test_what_needs_no_network_imports_nothing_heavy(code: str, heavy: str) -> None:
    script = f"import archbench, sys; {code}\nassert not set({heavy.split()}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
