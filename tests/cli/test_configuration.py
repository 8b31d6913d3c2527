"""Defaults of options from files and the environment: which counts, and what is refused."""

import json
from pathlib import Path

import click
import pytest

from archbench.cli import configuration
from archbench.cli.main import archbench
from archbench.errors import UsageError
from tests.cli.conftest import Run
from tests.cli.stored import write_study


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the person's own file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "archbench").mkdir()
    return tmp_path / "archbench"


def _defaults(typed: str) -> dict[str, object]:
    return configuration.defaults(archbench, configuration.read(Path.cwd()), typed=typed)


def test_the_command_line_counts_more_than_environment_project_and_person(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("typed", "variable", "project", "person"):
        write_study(Path(name, name))
    (home / "archbench.toml").write_text(f'results = "{Path.cwd()}/person"')
    assert "\nperson " in run("studies").out
    Path("archbench.toml").write_text('[studies.list]\nresults = "project"')
    assert "\nproject " in run("studies").out
    monkeypatch.setenv("ARCHBENCH_RESULTS", "variable")
    assert "\nvariable " in run("studies").out
    assert "\ntyped " in run("studies", "--results", "typed").out


def test_what_is_typed_for_a_name_has_the_defaults_of_that_name(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(Path("project/one"))
    write_study(Path("variable/two"))
    Path("archbench.toml").write_text('results = "project"\n')
    assert "\none " in run("list").out
    monkeypatch.setenv("ARCHBENCH_STUDIES_LIST_RESULTS", "variable")
    assert "\ntwo " in run("list").out


def test_a_project_file_holds_in_the_folders_below_it(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(Path("runs/mine"))
    Path("pyproject.toml").write_text('[tool.archbench]\nresults = "runs"\n')
    Path("deep/er").mkdir(parents=True)
    monkeypatch.chdir("deep/er")
    assert "\nmine " in run("studies").out


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            "[serach]\ntrials = 3",
            r"archbench.toml:1: serach: unknown command 'serach'; did you mean",
        ),
        ("[search]\ntrails = 3", r"toml:2: search.trails: unknown option of .*mean trials\?"),
        (
            "[studies.lits]\nresults = 'x'",
            r"toml:1: studies.lits: unknown option of archbench studi",
        ),
        ("trails = 3", r"toml:1: trails: no command has the option 'trails'"),
        ("[search]\nresume = 3", r"toml:2: search.resume: 3 is not true or false"),
        ("[search]\ndry_run = 3", r"toml:2: search.dry-run: 3 is not true or false"),
        ("[search]\ntrials = [3]", r"toml:2: search.trials: \[3\] is not a text or a number"),
        ("[search]\ntrials = {a = 1}", r"toml:2: search.trials: .* is not a text or a number"),
        ("[search", r"archbench.toml: is not valid TOML"),
    ],
)
def test_what_is_no_option_is_refused_with_its_place(text: str, answer: str, run: Run) -> None:
    Path("archbench.toml").write_text(text)
    with pytest.raises(UsageError, match=answer):
        _defaults("search")


def test_values_are_given_as_they_would_be_typed(run: Run, home: Path) -> None:
    Path("archbench.toml").write_text(
        "workers = 2\nresults = 'runs'\n"
        "[search]\ntrials = 60\ntime = '1h'\nfrom = ['a', 'b']\ncertify = false\n"
    )
    assert _defaults("search")["search"] == {
        "workers": "2",
        "results": "runs",
        "trials": "60",
        "time_limit_s": "1h",
        "earlier": ["a", "b"],
        "certify": False,
    }
    assert _defaults("pick")["pick"] == {"results": "runs"}


def test_a_value_that_an_option_refuses_is_told_with_its_file(run: Run, home: Path) -> None:
    Path("archbench.toml").write_text("[search]\ntrials = 'many'\n")
    ended = run("search", "quickstart", "--dry-run")
    assert ended.code == 2
    assert "archbench.toml:2: search.trials: 'many' is not a valid number" in ended.err


def test_doctor_tells_what_is_set_and_where(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("archbench.toml").write_text("workers = 2\n")
    monkeypatch.setenv("ARCHBENCH_SEARCH_TRIALS", "9")
    out = run("doctor", "--config").out
    assert "all      --workers  2      " in out
    assert "search   --trials   9      ARCHBENCH_SEARCH_TRIALS" in out
    document = json.loads(run("doctor", "--config", "--json").out)
    assert [one["option"] for one in document["options"]] == ["workers", "trials"]


def test_every_option_has_a_variable_of_its_own() -> None:
    command = archbench.get_command(click.Context(archbench), "search")
    assert command is not None
    variables = {param.name: param.envvar for param in command.params}
    assert variables["time_limit_s"] == ["ARCHBENCH_SEARCH_TIME", "ARCHBENCH_TIME"]
