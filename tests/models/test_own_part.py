"""Can a block from outside the package be named, and is nothing run that nobody asked for?"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from archbench import ArchSpec, SearchSpace, build, count, load_weights, save_weights
from archbench.errors import ArchbenchError, MissingError, SpaceError, UsageError, WeightsError
from archbench.measure.macs import count_operators
from archbench.models.part import _part, part_fields, part_spec
from tests.models.parts import counts

EXAMPLES = Path(__file__).parents[2] / "examples"
BLOCK = (EXAMPLES / "own_block.py").read_text(encoding="utf-8")
NAME = "somebodys_block"


def document(kind: str = f"module:{NAME}", **fields: object) -> dict[str, object]:
    stage = {
        "embed": {"kind": "conv", "kernel": 4, "stride": 4},
        "block": {"kind": kind, **fields},
        "dim": 16,
        "depth": 2,
    }
    return {"resolution": 32, "num_classes": 3, "stages": [stage], "head": {"norm": "layer"}}


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of a block in the current folder, known to no other test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    file = tmp_path / f"{NAME}.py"
    file.write_text(BLOCK.replace("module:own_block", f"module:{NAME}"), encoding="utf-8")
    yield file
    sys.modules.pop(NAME, None)
    for known in (part_spec, part_fields, _part):
        known.cache_clear()


def test_it_is_counted_built_and_written_like_any_other() -> None:
    spec = ArchSpec.from_document(document(kernel=5))
    assert ArchSpec.from_document(spec.to_document()) == spec
    built = count_operators(build(spec, seed=0).eval(), torch.zeros(1, 3, 32, 32))
    assert counts(built) == counts(count(spec))


@pytest.mark.parametrize(
    ("kind", "fields", "error", "told"),
    [
        ("module:no_such_block", {}, MissingError, r"block.kind: there is no module no_such_block"),
        ("module:", {}, UsageError, r"block.kind: the path of a module is missing"),
        ("module:json", {}, UsageError, r"json has no dataclass Spec with kind = 'module:json'"),
        (f"module:{NAME}", {"kernel": 4}, ArchbenchError, r"kernel: the kernel 4 is not odd"),
        (f"module:{NAME}", {"kernels": 4}, ArchbenchError, r"did you mean kernel\?"),
    ],
)
def test_what_is_wrong_with_it_is_said_with_its_place(
    kind: str, fields: dict[str, object], error: type[ArchbenchError], told: str
) -> None:
    with pytest.raises(error, match=rf"stages\[0\]\.block.*{told}|{told}"):
        ArchSpec.from_document(document(kind, **fields))


def test_an_error_in_it_comes_with_its_line(module: Path) -> None:
    module.write_text("\nraise RuntimeError('not today')\n", encoding="utf-8")
    with pytest.raises(UsageError, match=rf"RuntimeError: not today; at {module}:2"):
        ArchSpec.from_document(document())


def test_a_space_names_the_line_of_one_that_is_not_there() -> None:
    text = """# q
base: levit_128s
axes:
  stages[0].block:
    - {kind: levit, key_dim: 16}
    - {kind: module:no_such_block}
"""
    with pytest.raises(SpaceError, match=r"6:14: .*there is no module no_such_block"):
        SearchSpace(text, source="q.yaml")


def test_reading_weights_imports_nothing(tmp_path: Path) -> None:
    network = build(document(), seed=0)
    save_weights(network, tmp_path / "own.safetensors")
    assert load_weights(network, tmp_path / "own.safetensors")
    del sys.modules[NAME]
    with pytest.raises(
        WeightsError, match=rf"module {NAME}, which is not imported; .*import {NAME}"
    ):
        load_weights(network, tmp_path / "own.safetensors")
    assert NAME not in sys.modules


def test_weights_of_a_part_that_is_named_in_its_module_are_read(module: Path) -> None:
    kind = f"module:{NAME}:Spec"
    module.write_text(BLOCK.replace("module:own_block", kind), encoding="utf-8")
    network = build(document(kind), seed=0)
    save_weights(network, module.with_name("own.safetensors"))
    assert load_weights(network, module.with_name("own.safetensors"))


@pytest.mark.parametrize("path", [5, None, ""], ids=repr)
def test_what_is_no_path_of_weights_is_refused(path: object) -> None:
    network = build(document(), seed=0)
    for act in (load_weights, save_weights):
        with pytest.raises(UsageError, match="a path, as text or as a pathlib"):
            act(network, path)  # type: ignore[arg-type,operator]
