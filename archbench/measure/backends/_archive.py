"""Text in a file that is a zip archive, or that has one behind the end of what its runtime reads.

PyTorch's programs are archives, with a folder for extra files. LiteRT's files carry their labels
behind their end; an ExecuTorch program says itself where it ends.
"""

from pathlib import Path
from zipfile import BadZipFile, ZipFile

_NAME = "archbench.json"


def write_metadata(path: Path, text: str) -> None:
    """Puts a text into the file, once; what its runtime reads stays as it is."""
    with ZipFile(path, "a") as archive:
        names = archive.namelist()
        home = f"{names[0].partition('/')[0]}/extra/" if names else ""  # where PyTorch looks
        archive.writestr(home + _NAME, text)


def read_metadata(path: Path) -> str:
    """The text that ``write_metadata`` put into the file; empty where there is none."""
    try:
        with ZipFile(path) as archive:
            found = [name for name in archive.namelist() if name.endswith(_NAME)]
            return archive.read(found[0]).decode() if found else ""
    except BadZipFile:
        return ""
