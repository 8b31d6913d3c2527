"""Which file is meant by a path, or by the name of a space that comes with the package?"""

from pathlib import Path

import archbench
from archbench.errors import MissingError, unknown_name


def shipped() -> tuple[str, ...]:
    """The names of the spaces that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def find(path_or_name: str | Path) -> Path:
    """The file of a space.

    Anything that ends like a file or has a folder in it is a file; a bare word is a shipped name.

    Raises:
        MissingError: There is neither such a file nor such a name.
    """
    path = Path(path_or_name)
    if path.suffix in (".yaml", ".yml") or path.name != str(path_or_name) or path.is_file():
        if not path.exists():
            raise MissingError("no such file", place=str(path), help=_hint(path.stem))
        return path
    if str(path_or_name) not in shipped():
        raise MissingError(
            f"there is no space {str(path_or_name)[:80]!r}", help=_hint(str(path_or_name))
        )
    return _folder() / f"{path_or_name}.yaml"


def _hint(name: str) -> str:
    return f"give a file or a shipped space; {unknown_name('space', name[:80], shipped()).help}"


def _folder() -> Path:
    """In the wheel beside the modules, in a checkout beside the package."""
    package = Path(archbench.__file__).parent
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent / "search_spaces"
