"""How large is the package, and how far does one parameter travel through it?

    python benchmarks/house/size.py archbench [OTHER_PACKAGE_FOLDER ...]

For each folder: its files and lines of Python; its code lines, which are those that hold a token
other than a comment or a docstring; the share of functions with more than 40 lines; public classes
and dataclasses; the share of lines that import; circles of imports, those under TYPE_CHECKING
among them; and the files in which a search space is handed on, as a parameter or an attribute.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONG = 40
CARRIED = "space"

_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True)
class Size:
    """The figures of one package."""

    files: int
    lines: int
    code_lines: int
    functions: int
    long_functions: int
    public_classes: int
    dataclasses: int
    import_lines: int
    circles: int
    carriers: int

    def row(self) -> list[str]:
        """The figures as the table prints them."""
        return [
            f"{self.files}",
            f"{self.lines:,}",
            f"{self.code_lines:,}",
            f"{100 * self.long_functions / max(1, self.functions):.1f} %",
            f"{self.public_classes} / {self.dataclasses}",
            f"{100 * self.import_lines / max(1, self.lines):.1f} %",
            f"{self.circles}",
            f"{self.carriers}",
        ]


HEADINGS = [
    "files",
    "lines",
    "code lines",
    f"functions over {LONG} lines",
    "public classes / dataclasses",
    "lines that import",
    "import circles",
    f"files that hand `{CARRIED}` on",
]


def size(folder: Path) -> Size:
    """The figures of the package in a folder."""
    paths = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
    trees = {path: ast.parse(path.read_text()) for path in paths}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    functions = [n for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    classes = [n for n in nodes if isinstance(n, ast.ClassDef)]
    imports = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    return Size(
        files=len(paths),
        lines=sum(len(path.read_text().splitlines()) for path in paths),
        code_lines=sum(code_lines(path, trees[path]) for path in paths),
        functions=len(functions),
        long_functions=sum(_length(function) > LONG for function in functions),
        public_classes=sum(not c.name.startswith("_") for c in classes),
        dataclasses=sum(any("dataclass" in ast.dump(d) for d in c.decorator_list) for c in classes),
        import_lines=sum(_length(node) for node in imports),
        circles=len(circles(folder, trees)),
        carriers=sum(carries(tree) for tree in trees.values()),
    )


def code_lines(path: Path, tree: ast.Module) -> int:
    """Lines that hold code: no comment, no docstring, not blank."""
    with path.open("rb") as file:
        held = {
            line
            for token in tokenize.tokenize(file.readline)
            if token.type not in _NO_CODE
            for line in range(token.start[0], token.end[0] + 1)
        }
    return len(held - set(_docstring_lines(tree)))


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for entry in body:  # also the strings under attributes
            value = entry.value if isinstance(entry, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield from range(entry.lineno, (entry.end_lineno or entry.lineno) + 1)


def circles(folder: Path, trees: dict[Path, ast.Module]) -> list[list[str]]:
    """Groups of modules that import one another, wherever in a file the import stands."""
    names = {_module(folder, path): path for path in trees}
    graph = {
        name: {found for found in _imported(trees[path]) if found in names and found != name}
        for name, path in names.items()
        if path.name != "__init__.py"
    }
    return [group for group in _components(graph) if len(group) > 1]


def _module(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _components(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.append(sorted(group))

    sys.setrecursionlimit(10_000)
    for node in graph:
        if node not in index:
            visit(node)
    return found


def carries(tree: ast.Module) -> bool:
    """Whether a file takes the parameter, or reads it from what another hands it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.arg == CARRIED:
            return True
        if isinstance(node, ast.keyword) and node.arg == CARRIED:
            return True
        if isinstance(node, ast.Attribute) and node.attr == CARRIED:
            return True
    return False


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def main(folders: list[str]) -> None:
    """Prints a table, a column for each folder."""
    rows = [size(Path(folder)).row() for folder in folders]
    print("| | " + " | ".join(Path(folder).name for folder in folders) + " |")
    print("|---" * (len(folders) + 1) + "|")
    for place, heading in enumerate(HEADINGS):
        print(f"| {heading} | " + " | ".join(row[place] for row in rows) + " |")


if __name__ == "__main__":
    main(sys.argv[1:] or ["archbench"])
