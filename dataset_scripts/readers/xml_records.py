"""The records of a large XML file, one after another, in little memory and without trusting the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder

from defusedxml.common import EntitiesForbidden, ExternalReferenceForbidden
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_blocks

RECORD_LIMIT = 64 << 20  # bytes; the longest PubMed citations have a few megabytes of authors and references
_DEPTH_LIMIT = 200
_REMEDY = "fetch the file again, or leave it out"


def xml_records(
    path: str | Path,
    roots: frozenset[str],
    records: frozenset[str],
    left_out: frozenset[str] = frozenset(),
    limit: int = RECORD_LIMIT,
) -> Iterator[Element]:
    """Yield the elements named in `records` of an XML file, plain, `.gz` or `.bz2`, each without what it follows.

    A document type declaration may name a DTD, which is never fetched, but must declare no entities.

    Args:
        roots: what the outermost element may be called.
        left_out: elements inside records that are passed over with all that is in them, which is twice as fast.
            They must not be nested in an element of the same name.
        limit: the most bytes of a record.

    Raises:
        InputError: damaged compressed data, malformed XML, another outermost element, declared entities, a record
            that is too long or nested too deeply.
    """
    path = Path(path)
    collector = _Collector(path, roots, records, left_out)
    total = 0
    last_end = 0
    for block in read_blocks(path):
        collector.feed(block)
        total += len(block)
        if collector.ready:
            last_end = total
            yield from collector.ready
            collector.ready.clear()
        elif total - last_end > limit:
            raise InputError(
                path, f"no end of a record within {limit:,} bytes", "give the published XML files", line=collector.line
            )
    collector.close()


class _Collector:
    """Builds the records while the parser reads, and nothing else. Target of the parser."""

    def __init__(self, path: Path, roots: frozenset[str], records: frozenset[str], left_out: frozenset[str]):
        self.ready: list[Element] = []
        self._path = path
        self._roots = roots
        self._records = records
        self._left_out = left_out
        self._parser = DefusedXMLParser(target=self)
        self._expat = self._parser.parser
        expat = self._expat
        self._handlers = expat.StartElementHandler, expat.EndElementHandler, expat.DefaultHandlerExpand
        self._expat.CharacterDataHandler = None
        self._builder = TreeBuilder()
        self._open: list[str] = []
        self._met_root = False
        self._passed_over = ""

    @property
    def line(self) -> int:
        return int(self._expat.CurrentLineNumber)

    def feed(self, block: bytes) -> None:
        try:
            self._parser.feed(block)
        except (ParseError, EntitiesForbidden, ExternalReferenceForbidden) as error:
            raise self._named(error) from error

    def close(self) -> None:  # of the target as well, where there is nothing left to do
        if self._parser is None:
            return
        parser, self._parser = self._parser, None
        try:
            parser.close()
        except (ParseError, EntitiesForbidden, ExternalReferenceForbidden) as error:
            raise self._named(error) from error

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._met_root:
            self._met_root = True
            if tag not in self._roots:
                found = f"the outermost element is {shown(tag)}, not {' or '.join(sorted(self._roots))}"
                raise InputError(self._path, found, "give XML files of that form", line=self.line)
        elif self._open:
            if tag in self._left_out:
                self._passed_over = tag
                expat = self._expat
                expat.StartElementHandler = expat.CharacterDataHandler = expat.DefaultHandlerExpand = None
                expat.EndElementHandler = self._end_passed_over
                return
            if len(self._open) > _DEPTH_LIMIT:
                found = f"elements nested more than {_DEPTH_LIMIT} deep"
                raise InputError(self._path, found, _REMEDY, line=self.line)
            self._begin(tag, attributes)
        elif tag in self._records:
            self._builder = TreeBuilder()
            self._expat.CharacterDataHandler = self._builder.data
            self._begin(tag, attributes)

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        self._open.append(tag)
        self._builder.start(tag, attributes)

    def end(self, tag: str) -> None:
        if not self._open:
            return
        if self._open.pop() != tag:
            raise InputError(self._path, f"</{tag}> where it does not belong", _REMEDY, line=self.line)
        self._builder.end(tag)
        if not self._open:
            self.ready.append(self._builder.close())
            self._expat.CharacterDataHandler = None

    def _end_passed_over(self, tag: str) -> None:
        if tag == self._passed_over:
            expat = self._expat
            expat.StartElementHandler, expat.EndElementHandler, expat.DefaultHandlerExpand = self._handlers
            expat.CharacterDataHandler = self._builder.data

    def _named(self, error: Exception) -> InputError:
        if isinstance(error, ParseError):
            line, column = error.position
            found = f"malformed XML at column {column + 1} ({str(error).partition(':')[0]})"
            return InputError(self._path, found, _REMEDY, line=line)
        found = "declares an entity" if isinstance(error, EntitiesForbidden) else "refers to an external entity"
        remedy = "give the file as published; entities are refused because they can expand without end"
        return InputError(self._path, f"{found} ({shown(str(error))})", remedy, line=self.line)
