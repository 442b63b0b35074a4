"""The elements of MediaWiki's XML export (schema 0.10 and 0.11)."""

from __future__ import annotations

from typing import NamedTuple
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

LONGEST_TEXT = 8_000_000  # characters; MediaWiki refuses pages of more than 2 MiB
_LONGEST_FIELD = 2_000
# the fields of a page and where they stand: depth of the element, the root being 1
_FIELDS = {("title", 3), ("ns", 3), ("id", 3), ("model", 4), ("text", 4)}


class Page(NamedTuple):
    """An article. The text of one that is longer than any page of MediaWiki is empty."""

    id: int
    title: str
    wikitext: str


class ExportHandler(ContentHandler):
    """Collects the wanted articles of an export while its XML is parsed; of other pages it keeps nothing.

    Args:
        wanted: page ids.

    Attributes:
        head_read: whether `<siteinfo>` is past; `wiki`, `version` and `namespaces` come from it.
        pages: number of pages met so far; `title` is the last one's.
        place: where in the file the XML came from, for error messages.
    """

    def __init__(self, wanted: frozenset[int]):
        super().__init__()
        self.head_read = False
        self.wiki = ""
        self.version = ""
        self.namespaces: dict[int, str] = {}
        self.pages = 0
        self.title = ""
        self.place = ""
        self._wanted = wanted
        self._found: list[Page] = []
        self.restart()

    def restart(self) -> None:
        """Get ready for another document."""
        self._depth = 0
        self._fields: dict[str, str] = {}
        self._redirect = False
        self._collected: list[str] | None = None
        self._room = 0
        self._namespace: int | None = None

    def taken(self) -> list[Page]:
        """The articles found since the last call."""
        found, self._found = self._found, []
        return found

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        self._depth += 1
        depth = self._depth
        if depth == 1:
            if name != "mediawiki":
                raise SAXException(f"its first element is <{name}>, not <mediawiki>")
            self.version = attrs.get("version", "")
        elif depth == 2 and name == "page":
            self._fields = {}
            self._redirect = False
        elif depth == 3 and name == "redirect":
            self._redirect = True
        elif (name, depth) in _FIELDS:
            if name != "text" or self._is_wanted():
                self._collect(LONGEST_TEXT if name == "text" else _LONGEST_FIELD)
        elif not self.head_read and (name == "dbname" or name == "namespace"):
            self._collect(_LONGEST_FIELD)
            self._namespace = int(attrs["key"]) if "key" in attrs else None

    def characters(self, content: str) -> None:
        if self._collected is not None:
            self._room -= len(content)
            if self._room >= 0:
                self._collected.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802
        depth = self._depth
        self._depth -= 1
        if self._collected is not None:
            value = "".join(self._collected) if self._room >= 0 else ""
            self._collected = None
            if name == "dbname":
                self.wiki = value
            elif name == "namespace":
                self.namespaces[self._namespace or 0] = value
            else:
                self._fields[name] = value
        if depth == 2 and name == "siteinfo":
            self.head_read = True
        elif depth == 2 and name == "page":
            self.pages += 1
            self.title = self._fields.get("title", "")
            if self._is_wanted() and self._fields.get("model", "wikitext") == "wikitext":
                self._found.append(Page(self._id(), self.title, self._fields.get("text", "")))

    def _collect(self, room: int) -> None:
        self._collected = []
        self._room = room

    def _id(self) -> int:
        value = self._fields.get("id", "")
        return int(value) if value.isdecimal() else -1

    def _is_wanted(self) -> bool:
        return not self._redirect and self._fields.get("ns") == "0" and self._id() in self._wanted
