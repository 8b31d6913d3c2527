"""Are the texts of the project true: links lead somewhere, and commands can be typed?"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import archbench as package
from archbench.cli.main import archbench
from archbench.errors import ArchbenchError
from docs import pages
from tests.test_architecture import ROOMS

ROOT = Path(__file__).parent.parent
TEXTS = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        ROOT / "changelog.d" / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "results" / "README.md",
    )
)
PAGES = pages.pages(ROOT)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
SHELL_END = re.compile(r"\s(?:&&|\|\|?|;|>|#)\s?.*")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _prose(text: str) -> str:
    return FENCE.sub("", text)


def _anchors(text: str) -> set[str]:
    """What GitHub makes of headings: lower case, blanks as dashes, punctuation dropped."""
    headings = re.findall(r"^#+ (.+)$", _prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _commands(text: str) -> Iterator[str]:
    """Every command line that begins with archbench, in code blocks and in code within prose."""
    for _, code in FENCE.findall(text):
        for line in code.replace("\\\n", " ").splitlines():
            for part in line.removeprefix("$ ").split(" && "):
                if re.match(r"archbench [a-z]", part):
                    yield SHELL_END.sub("", part)
    for code in CODE.findall(_prose(text)):
        line = " ".join(code.split())
        if re.match(r"archbench [a-z]", line):
            yield line


def parse(words: list[str]) -> None:
    """As click would before it runs anything; values of arguments may be placeholders."""
    command: click.Command = archbench
    context = click.Context(command, info_name="archbench", **archbench.context_settings)
    while isinstance(command, click.Group):
        known = command.list_commands(context)
        if "list" in known and not set(words[:1]) & set(known):
            words = ["list", *words]
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    _, rest, _ = command.make_parser(context).parse_args(words)
    assert not rest, f"left over: {rest}"


@pytest.mark.parametrize("name", PAGES)
def test_every_relative_link_points_to_something(name: str) -> None:
    for target in LINK.findall(_prose(_text(name))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / name).parent / path if path else ROOT / name
        assert there.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in _anchors(there.read_text(encoding="utf-8")), f"{name}: {target}"


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_line_can_be_typed(name: str) -> None:
    for line in _commands(_text(name)):
        try:
            parse(shlex.split(line)[1:])
        except (click.ClickException, ArchbenchError, AssertionError) as error:
            pytest.fail(f"{name}: {line}: {error}")


def test_a_command_line_with_an_unknown_option_is_found() -> None:
    with pytest.raises(click.NoSuchOption):
        parse(["search", "quickstart", "--no-such-option"])


def test_readme_fits_on_two_pages() -> None:
    assert len(_text("README.md").splitlines()) <= 130


def test_public_checks_are_those_of_this_repository() -> None:
    jobs = yaml.safe_load(_text(".github/workflows/ci.yml"))["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands == [".ci/run"]
    hooks = yaml.safe_load(_text(".pre-commit-config.yaml"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]


def test_citation_names_the_version() -> None:
    assert str(yaml.safe_load(_text("CITATION.cff"))["version"]) == package.__version__


def test_contributing_lists_the_rooms_that_there_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", _text("CONTRIBUTING.md"), re.MULTILINE)
    folders = {path.parent.name for path in (ROOT / "archbench").glob("*/__init__.py")}
    assert folders <= {room for room, _ in rows} <= set(ROOMS)
    for room, imports in rows:
        if room != "cli":
            assert set(re.findall(r"\w+", imports)) == ROOMS[room].rooms, room


def test_contributing_names_folders_that_there_are() -> None:
    for path in re.findall(r"`([\w/]+)/x\.\w+`", _text("CONTRIBUTING.md")):
        assert (ROOT / path).is_dir(), path


def test_python_page_names_what_the_package_hands_on() -> None:
    text = _text("docs/python.md")
    for name in package.__all__:
        assert name == "__version__" or re.search(rf"`{name}\b", text), name


@pytest.mark.parametrize("name", TEXTS)
def test_python_in_texts_compiles_and_calls_what_there_is(name: str) -> None:
    for language, code in FENCE.findall(_text(name)):
        if language == "python":
            compile(code, name, "exec")
            for used in re.findall(r"\barchbench\.(\w+)", code):
                assert hasattr(package, used), used


def _navigation(entry: Any) -> Iterator[str]:
    """The paths of all pages below an entry of the manual's navigation."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from _navigation(inner)


def test_navigation_has_every_page_once() -> None:
    assert sorted(_navigation(yaml.safe_load(_text("mkdocs.yml"))["nav"])) == PAGES


def test_manual_has_every_public_name() -> None:
    found = re.findall(r"^::: archbench\.([\w.]+)$", _text("docs/api.md"), re.MULTILINE)
    names = {name.rpartition(".")[2] for name in found}
    assert names == {*package.__all__} - {"__version__"}


def test_manual_has_every_option() -> None:
    text = "\n".join(pages.every_command())
    assert "### archbench weights convert\n" in text
    assert "| `--recipe NAME|FILE` |" in text.partition("\n## archbench train\n")[2]


def test_every_page_is_in_the_index() -> None:
    index = _text("docs/README.md")
    for name in TEXTS:
        if name.startswith("docs/") and name != "docs/README.md":
            assert f"({name.removeprefix('docs/')})" in index


def test_every_command_has_its_words() -> None:
    words = _text("docs/commands.md")
    for name in archbench.list_commands(click.Context(archbench)):
        assert f"`archbench {name}" in words, name


TERM = re.compile(r"^\*\*(.+?)\*\*: (.+)$", re.DOTALL)


def _glossary() -> dict[str, str]:
    _, _, *entries = _text("docs/glossary.md").strip().split("\n\n")
    found = [TERM.match(entry) for entry in entries]
    assert all(found), entries[found.index(None)] if None in found else ""
    return {match[1]: match[2] for match in found if match}


def test_glossary_defines_each_term_once_and_shortly() -> None:
    entries = _text("docs/glossary.md").strip().split("\n\n")[2:]
    terms = _glossary()
    assert len(terms) == len(entries) >= 40
    assert list(terms) == sorted(terms, key=lambda term: term.lower().replace("-", " "))
    long = [term for term, definition in terms.items() if len(definition.split()) >= 60]
    assert not long


def test_glossary_defines_what_the_output_says() -> None:
    said = """
    Ablation, Audit, Axis, Backend, Block table, Calibration network, Candidate, Certificate,
    Confirmation, Cost-adjusted, Deployed form, Drift check, Front probability,
    Held-out test split, Hypervolume, Inherited trial, Kendall's tau, Learning curve, MACs,
    Pareto front, Proxy, Proxy accuracy, Pruner, Rung, Sampler, Space, Study, Trial, Verdict,
    Warm start
    """
    assert {" ".join(term.split()) for term in said.split(",")} <= set(_glossary())
