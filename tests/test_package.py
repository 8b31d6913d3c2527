"""What ``import archbench`` offers."""

import pkgutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import archbench
from archbench.errors import UsageError

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


RECORDED = Path(__file__).parents[1] / "results" / "quickstart-recorded"


def test_a_study_is_picked_from_explained_and_written_by_its_path(tmp_path: Path) -> None:
    study = archbench.open_study(RECORDED)
    knee = archbench.Wish(is_knee=True)
    assert archbench.pick(str(RECORDED), knee).chosen == archbench.pick(study, knee).chosen
    assert archbench.insight(RECORDED).document() == study.insight.document()
    (file,) = archbench.write_report(str(RECORDED), str(tmp_path / "here"), formats="csv")
    assert file == tmp_path / "here" / "front.csv"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: archbench.pick(RECORDED, 5), "wish: got an int, which .*; give an archbench.Wish"),
        (
            lambda: archbench.pick(RECORDED, archbench.Wish(limits={"latency": 5})),
            "limits: unknown cost 'latency'; did you mean latency_ms",
        ),
        (lambda: archbench.pick(5, archbench.Wish()), "study: got an int"),
        (lambda: archbench.insight(None), "study: got a NoneType"),
        (lambda: archbench.open_study(5), "study: got an int"),
        (lambda: archbench.confirm(5), "study: got an int"),
        (lambda: archbench.doctor(study=5, seconds=1.0), "study: got an int"),
        (lambda: archbench.write_report(RECORDED, 5), "folder: got an int"),
        (lambda: archbench.write_report(RECORDED, formats="pdf"), "unknown report format 'pdf'"),
        (lambda: archbench.deploy("levit_128s", None), "network: got a str"),
        (lambda: archbench.fold(5), "network: got an int"),
        (lambda: archbench.compare("levit_128s", against=5), "path: got an int"),
        (lambda: archbench.ablate(5, axes=["position=bias,none"]), "network: got an int"),
        (lambda: archbench.profile("levit_128s", backend=5), "got an int"),
        (lambda: archbench.profile("levit_128s", precision=5), "unknown precision '5'"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_our_words(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()


def test_events_can_be_told_apart_by_their_classes() -> None:
    assert archbench.events.TrialFinished is import_module("archbench.search.events").TrialFinished


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
