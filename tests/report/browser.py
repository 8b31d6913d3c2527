"""What a browser would make of a page, as far as its safety goes."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_EMPTY = {"meta", "link", "br", "img"}


@dataclass
class Page:
    """The elements of a page with their attributes, and its text by element."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    def attributes(self, name: str) -> list[str]:
        """All values of one attribute."""
        return [values[name] for _, values in self.elements if name in values]

    def within(self, tag: str) -> list[str]:
        """The text of each element of this kind."""
        return [text for name, text in self.texts if name == tag]

    @property
    def text(self) -> str:
        """All text that is not in a script or style."""
        return "".join(text for name, text in self.texts if name not in ("script", "style"))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _EMPTY:
            self.page.unclosed.append(tag)
            self.page.texts.append((tag, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.page.unclosed.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        for index in range(len(self.page.texts) - 1, -1, -1):
            if self.page.unclosed and self.page.texts[index][0] == self.page.unclosed[-1]:
                name, before = self.page.texts[index]
                self.page.texts[index] = (name, before + data)
                return


def read(text: str) -> Page:
    """The page; elements that close in the wrong order are an error."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert not reader.page.unclosed, reader.page.unclosed
    return reader.page
