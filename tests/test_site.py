"""Can the manual be built, and is what it shows so: the pictures, the commands of the tutorial?"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import archbench
from docs import drawings
from examples import own_photos

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", drawings.PICTURES)
def test_picture_shows_the_recorded_study(name: str) -> None:
    drawn = drawings.PICTURES[name](archbench.open_study(drawings.STUDY))
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == drawn


def test_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for module in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(module, reason="pip install -e '.[docs]' brings what builds the manual")
    build = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = (tmp_path / "docs" / "api.html").read_text(encoding="utf-8")
    assert 'id="archbench.StudyReader.front"' in shown
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]*)', page.read_text()
        )
        assert not loaded, f"{page} loads from outside: {loaded}"


def test_man_pages_are_written_for_every_command(tmp_path: Path) -> None:
    pytest.importorskip("click_man", reason="pip install -e '.[docs]' brings click-man")
    subprocess.run([sys.executable, ROOT / "docs" / "man.py", tmp_path], cwd=ROOT, check=True)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"archbench.1", "archbench-search.1", "archbench-weights-convert.1"} <= written
    assert r"\fB\-\-latency\fP MS" in (tmp_path / "archbench-search.1").read_text(encoding="utf-8")


SOON = {
    "search": "--trials 3 --backend eager --set proxy.rungs=[4] --set proxy.resolution=32 "
    "--set proxy.images=80 --set proxy.batch=8 --set search.confirm=false --set baselines=[]",
    "train": "--epochs 2 --workers 0 --batch 16 --set recipe.warmup_epochs=1",
}
SHOWN = ["search", "search", "pick", "train", "export", "predict"]


@pytest.mark.slow
def test_every_command_of_the_tutorial_runs(tmp_path: Path) -> None:
    own_photos.draw_photos(tmp_path / "photos")
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(rf"^archbench (?:{'|'.join(SHOWN)}) .+", text, re.MULTILINE)
    assert [line.split()[1] for line in lines] == SHOWN
    for line in lines:
        words = shlex.split(line)
        words += shlex.split(SOON.get(words[1], ""))
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "shipped" / "onnx").is_dir()
