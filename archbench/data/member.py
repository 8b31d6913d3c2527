"""Where does a file lie whose bytes are part of an archive?"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Member:
    """A file in an uncompressed tar archive, and the place of its bytes there."""

    archive: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}:{self.name}"

    @property
    def suffix(self) -> str:
        """As that of a path."""
        return PurePosixPath(self.name).suffix

    def read_bytes(self) -> bytes:
        """The bytes of the file.

        Raises:
            OSError: The archive cannot be read, or ends before them.
        """
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.size)
        if len(content) < self.size:
            raise OSError("the archive is cut short")
        return content

    def relative_to(self, root: Path) -> str:
        """Its name below a folder."""
        return f"{self.archive.relative_to(root)}:{self.name}"


Stored = Path | Member
"""Where the bytes of an image lie."""
