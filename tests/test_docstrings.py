"""What a docstring names is there: attributes of classes, arguments of functions."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "archbench"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def entries(node: Function | ast.ClassDef, heading: str) -> list[str]:
    """The names that a section of a docstring explains."""
    lines = (ast.get_docstring(node) or "").splitlines()
    if f"{heading}:" not in lines:
        return []
    found = []
    for line in lines[lines.index(f"{heading}:") + 1 :]:
        if line and not line.startswith(" "):
            break
        if line.startswith("    ") and line[4] != " ":
            found.append(line.strip().partition(":")[0].lstrip("*"))
    return found


def parameters(function: Function) -> set[str]:
    """The names of a function's arguments."""
    given = function.args
    starred = [argument for argument in (given.vararg, given.kwarg) if argument]
    return {a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs, *starred)}


def attributes(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> set[str]:
    """The names of a class's fields, properties and attributes, those of its bases included."""
    found = {inner.name for inner in node.body if isinstance(inner, Function)}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes.keys() - {node.name}:
            found |= attributes(classes[base.id], classes)
    for inner in node.body:
        if isinstance(inner, ast.AnnAssign | ast.Assign):
            targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            found.add(inner.attr)
    return found


def faults(sources: Mapping[str, str]) -> Iterator[str]:
    """Each entry that names nothing, by file and line."""
    trees = {name: ast.parse(source) for name, source in sources.items()}
    nodes = [(name, node) for name, tree in trees.items() for node in ast.walk(tree)]
    classes = {node.name: node for _, node in nodes if isinstance(node, ast.ClassDef)}
    for name, node in nodes:
        if isinstance(node, Function):
            unknown = set(entries(node, "Args")) - parameters(node)
        elif isinstance(node, ast.ClassDef):
            has = attributes(node, classes)
            makers = [inner for inner in node.body if getattr(inner, "name", "") == "__init__"]
            taken = parameters(makers[0]) if makers else has
            unknown = set(entries(node, "Attributes")) - has | set(entries(node, "Args")) - taken
        else:
            continue
        for entry in sorted(unknown):
            yield f"{name}:{node.lineno}: {node.name} documents {entry}, which it does not have"


def test_whatever_a_docstring_names_is_there() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    sources = {str(path.relative_to(PACKAGE.parent)): path.read_text() for path in files}
    wrong = list(faults(sources))
    assert not wrong, "\n".join(wrong)


SHAPE = '''
class Shape:
    """A shape.

    Attributes:
        width: Of it,
            in pixels.
        height: Of it.
    """
    width: int
'''
RESIZED = '''
def resized(shape, *, width):
    """Another shape.

    Args:
        shape: Of what.
        height: In pixels.

    Returns:
        rather: No argument.
    """
'''


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (SHAPE, ["x.py:2: Shape documents height, which it does not have"]),
        (RESIZED, ["x.py:2: resized documents height, which it does not have"]),
        (SHAPE + "    def height(self): ...", []),
        (SHAPE + "    def __init__(self): self.height = 1", []),
        ("class Flat:\n    height: int\n" + SHAPE.replace("Shape:", "Shape(Flat):"), []),
    ],
)
def test_an_entry_that_names_nothing_is_seen(source: str, fault: list[str]) -> None:
    assert list(faults({"x.py": source})) == fault
