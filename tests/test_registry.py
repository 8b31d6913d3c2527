"""Do entries come from outside: by entry points, by the path of a module, and whatever they do?"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from archbench.analysis.tables import columns_of
from archbench.data import load
from archbench.errors import MissingError, UsageError, unknown_name
from archbench.measure.backend import BACKENDS
from archbench.models import ArchSpec, build, count
from archbench.models.part import KINDS
from archbench.registry import Registry, _entry_points
from archbench.report import FORMATS
from archbench.search.pruning import PRUNERS
from archbench.search.sampler import SAMPLERS, load_sampler
from archbench.space import SearchSpace
from archbench.study.objective import OBJECTIVES, REGISTRY

GROUPS = {
    "archbench.backends": BACKENDS,
    "archbench.blocks": KINDS["block"],
    "archbench.embeds": KINDS["embed"],
    "archbench.formats": FORMATS,
    "archbench.objectives": REGISTRY,
    "archbench.pruners": PRUNERS,
    "archbench.samplers": SAMPLERS,
}
SOUND = """
from types import SimpleNamespace
from optuna.samplers import RandomSampler
PRECISIONS, FORM, prepare = {}, "portable", None
FILE, content = "x.txt", bytes
ASKS, judge = False, print
ATTEMPTS, NEIGHBOURS, make = 1, 0, print
Spec = OBJECTIVE = None
class Chance(RandomSampler):
    pass
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which packages are installed, forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    _entry_points.cache_clear()
    yield tmp_path
    _entry_points.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("theirs"):
            del sys.modules[name]


def install(site: Path, entry_points: str, *, package: str = "theirs", code: str = SOUND) -> None:
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(entry_points)
    (site / f"{package}.py").write_text(code)


@pytest.mark.parametrize("group", GROUPS)
def test_an_entry_point_is_an_entry(group: str, site: Path) -> None:
    install(site, f"[{group}]\nof_theirs = theirs\n")
    registry = GROUPS[group]
    assert registry.group == group
    assert registry.load("of_theirs").__name__ == "theirs"
    assert "of_theirs" not in registry.names
    with pytest.raises(UsageError, match="did you mean of_theirs"):
        registry.load("of_their")


@pytest.mark.parametrize("registry", GROUPS.values(), ids=str)
def test_a_module_of_the_current_folder_is_an_entry(registry: Registry, site: Path) -> None:
    install(site, "")
    assert registry.load("module:theirs").__name__ == "theirs"
    with pytest.raises(UsageError, match=r"unknown name in theirs 'Chanc'; did you mean Chance\?"):
        registry.load("module:theirs:Chanc")
    with pytest.raises(MissingError, match="there is no module nowhere"):
        registry.load("module:nowhere")


def test_two_of_one_name_are_refused_and_both_are_named(site: Path) -> None:
    install(site, "[archbench.pruners]\ncurve = theirs\nnew = theirs\n")
    install(site, "[archbench.pruners]\nnew = theirs\n", package="theirs_too")
    told = "the pruner 'curve' is there several times: in archbench itself, and in the package"
    with pytest.raises(UsageError, match=rf"{told} theirs 1.2 \(theirs\); rename or uninstall"):
        PRUNERS.load("curve")
    with pytest.raises(UsageError, match=r"in the package theirs.*, and in the package theirs"):
        PRUNERS.load("new")
    assert PRUNERS.load("none").ASKS is False


def test_a_broken_package_is_told_where_its_entry_is_named_and_nowhere_else(site: Path) -> None:
    groups = "".join(f"[{group}]\nbroken = theirs\n" for group in GROUPS)
    install(site, groups, code="raise RuntimeError('not today')\n")
    assert "latency_ms" in OBJECTIVES
    assert "broken" not in list(OBJECTIVES)
    for registry in GROUPS.values():
        assert registry.load(registry.names[0])
        with pytest.raises(
            UsageError,
            match=r"the package theirs 1.2 \(theirs\): it raised RuntimeError: not today; at .*:1",
        ):
            registry.load("broken")


def test_what_an_entry_lacks_is_named(site: Path) -> None:
    install(site, "[archbench.formats]\nbare = theirs\n", code="FILE = 'x'\n")
    for name in ("bare", "module:theirs"):
        with pytest.raises(UsageError, match=f"{name} is no report format: it lacks content;"):
            FORMATS.load(name)
    with pytest.raises(UsageError, match="is no sampler: no class of Optuna's kind, and without"):
        load_sampler("module:theirs")


def test_code_of_others_prints_to_stderr_and_sees_no_arguments_of_ours(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "", code="import sys\nprint('hello', sys.argv)\nFILE = content = None\n")
    monkeypatch.setattr("sys.argv", ["archbench", "report", "--format", "module:theirs"])
    FORMATS.load("module:theirs")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "hello ['archbench']\n")
    assert len(sys.argv) == 4


def test_code_of_others_cannot_end_the_process(site: Path) -> None:
    install(site, "", code="import sys\nsys.exit(5)\n")
    with pytest.raises(UsageError, match=r"it called sys.exit\(5\); at .*theirs.py:2"):
        FORMATS.load("module:theirs")


def test_a_class_of_a_sampler_is_one(site: Path) -> None:
    install(site, "[archbench.samplers]\nchance = theirs:Chance\n")
    for name in ("chance", "module:theirs:Chance"):
        made = load_sampler(name).make(SimpleNamespace(seed=0))  # type: ignore[arg-type]
        assert isinstance(made, optuna.samplers.RandomSampler)


OBJECTIVE = """
from archbench.study.objective import Objective
OBJECTIVE = Objective(
    name="{name}", label="p90", source="{source}", timed=lambda latency: latency.value,
    description="a tenth takes longer", unit="ms", shown_in="ms",
)
"""
SPACE = {
    "resolution": 16,
    "num_classes": 3,
    "stages": [{"embed": {"kind": "conv", "kernel": 4, "stride": 4}, "dim": 8}],
    "head": {"norm": "layer"},
    "axes": {"stages[0].dim": [8, 16]},
}


@pytest.mark.parametrize("name", ["theirs_p90", "module:theirs"])
def test_an_objective_is_optimised_limited_and_a_column(name: str, site: Path) -> None:
    code = OBJECTIVE.format(name=name, source="latency")
    install(site, "[archbench.objectives]\ntheirs_p90 = theirs\n", code=code)
    space = SearchSpace.load(
        {**SPACE, "objectives": {"accuracy": "max", name: "min"}, "limits": {name: 5}}
    )
    try:
        assert space.objectives == {"proxy_accuracy": "max", name: "min"}
        assert space.limits == {name: 5}
        assert columns_of("front")[-1].name == name
    finally:
        OBJECTIVES._entries.pop(name)  # type: ignore[attr-defined]


def test_an_objective_that_comes_from_no_timing_is_refused(site: Path) -> None:
    code = OBJECTIVE.format(name="module:theirs", source="arithmetic")
    install(site, "", code=code)
    with pytest.raises(UsageError, match="one from outside comes from a timing"):
        OBJECTIVES["module:theirs"]
    (site / "theirs_two.py").write_text(code)
    with pytest.raises(UsageError, match="Objective of the name 'module:theirs_two'"):
        OBJECTIVES["module:theirs_two"]


DATA = """
import numpy as np
from archbench.data.source import DataFacts, ImageSource
def source(request):
    def make(sink):
        for share in ("train", "validation", "test"):
            side = request.resolution
            sink(share, np.zeros((4, 3, side, side), np.uint8), np.array([0, 1, 0, 1]))
        return DataFacts(class_names=("a", request.argument), description="", flip=False, notes=())
    return ImageSource({"recipe": 1, "argument": request.argument}, make)
"""


def test_a_source_of_data_takes_what_stands_behind_its_colon(site: Path) -> None:
    install(site, "[archbench.data]\nof_theirs = theirs\n", code=DATA)
    for name in ("of_theirs:b", "module:theirs:b"):
        found = load(name, resolution=8, cache=site / "cache")
        assert (found.name, found.class_names, len(found.train)) == (name, ("a", "b"), 4)


def test_a_source_of_data_that_fails_says_so_in_our_words(site: Path) -> None:
    install(site, "", code="def source(request):\n    raise ZeroDivisionError('by zero')\n")
    with pytest.raises(UsageError, match="module:theirs: it raised ZeroDivisionError: by zero"):
        load("module:theirs", resolution=8, cache=site / "cache")


def test_a_block_has_the_name_of_its_entry_point(site: Path) -> None:
    example = Path(__file__).parents[1] / "examples" / "own_block.py"
    code = example.read_text().replace("module:own_block", "of_theirs")
    install(site, "[archbench.blocks]\nof_theirs = theirs\n", code=code)
    stage = {**SPACE["stages"][0], "block": {"kind": "of_theirs", "kernel": 3}, "depth": 1}  # type: ignore[index,dict-item]
    document = {**SPACE, "stages": [stage]}
    document.pop("axes")
    assert ArchSpec.from_document(document).to_document()["stages"][0]["block"]["kernel"] == 3


def test_a_block_may_be_a_class_in_a_module(site: Path) -> None:
    example = Path(__file__).parents[1] / "examples" / "own_block.py"
    code = example.read_text().replace("module:own_block", "module:theirs:Large")
    install(site, "", code=re.sub(r"\bSpec\b", "Large", code))
    stage = {**SPACE["stages"][0], "block": {"kind": "module:theirs:Large"}, "depth": 1}  # type: ignore[index,dict-item]
    document = {key: value for key, value in SPACE.items() if key != "axes"} | {"stages": [stage]}
    network = build(ArchSpec.from_document(document), seed=0)
    assert count(network).params == sum(one.numel() for one in network.parameters())


def test_of_many_names_only_the_nearest_are_listed() -> None:
    told = str(unknown_name("function", "MHA", [f"function_{i}" for i in range(1500)] + ["MHB"]))
    assert told == "unknown function 'MHA'; did you mean MHB? 1,501 are known"
