"""Do fragments of news become a changelog, and is it that of this version?"""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from archbench import __version__

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def collect() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "changelog.d" / "collect.py")))


def test_fragments_make_a_version(collect: SimpleNamespace) -> None:
    news = {"fixed": ["One is\nmended.\n"], "added": ["A new thing.\n"]}
    text = collect.collected("", news, version="1.0", day="2026-01-02")
    assert text == (
        f"{collect.INTRODUCTION}\n## 1.0 (2026-01-02)\n\n### Added\n\n- A new thing.\n\n"
        "### Fixed\n\n- One is\n  mended.\n"
    )


def test_a_fragment_may_be_several_entries(collect: SimpleNamespace) -> None:
    news = {"fixed": ["- One is\n  mended.\n- Two is.\n", "Three."]}
    text = collect.collected("", news, version="1.0", day="2026-01-02")
    assert text.endswith("### Fixed\n\n- One is\n  mended.\n- Two is.\n- Three.\n")


def test_later_fragments_join_their_version_or_begin_the_next(collect: SimpleNamespace) -> None:
    first = collect.collected("", {"added": ["One."]}, version="1.0", day="2026-01-02")
    joined = collect.collected(first, {"added": ["Two."]}, version="1.0", day="2026-01-03")
    assert joined == first.replace("- One.", "- One.\n- Two.")
    assert collect.collected(joined, {}, version="1.0", day="2026-01-03") == joined
    after = collect.collected(joined, {"removed": ["One."]}, version="1.1", day="2026-01-04")
    assert re.findall(r"^## .*", after, re.MULTILINE) == [
        "## 1.1 (2026-01-04)",
        "## 1.0 (2026-01-02)",
    ]
    assert after.endswith(joined.removeprefix(collect.INTRODUCTION))


def test_a_fragment_of_no_kind_is_refused(collect: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    (tmp_path / "topic.mended.md").touch()
    with pytest.raises(ValueError, match=r"topic\.mended\.md: the name is not TOPIC\.KIND\.md"):
        collect.fragments(tmp_path)


def test_fragments_here_have_a_kind_and_some_words(collect: SimpleNamespace) -> None:
    for paths in collect.fragments(ROOT / "changelog.d").values():
        for path in paths:
            assert path.read_text(encoding="utf-8").strip()


def test_the_newest_version_is_that_of_the_package() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", text, re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__
