"""Reading articles from the XML of a dump (`pages-articles.xml.bz2`, one stream or many)."""

from __future__ import annotations

import bz2
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple
from xml.sax import SAXException, SAXParseException

import defusedxml.expatreader
from defusedxml import DefusedXmlException

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_blocks, read_lines
from kbioxlm.dataset_scripts.encyclopaedia.dumps import PagesFile
from kbioxlm.dataset_scripts.encyclopaedia.export import ExportHandler, Page

BLOCK = 1 << 20
STREAMS_A_TASK = 2_000
_HEAD = b"<mediawiki><siteinfo/>"
_TAIL = b"</mediawiki>"


class SiteInfo(NamedTuple):
    """What the head of a dump says of its edition.

    Attributes:
        namespaces: number → name in the edition's language.
    """

    wiki: str
    version: str
    namespaces: dict[int, str]


@dataclass(frozen=True)
class PagesTask:
    """Some of the pages of a file, to be read by one process.

    Attributes:
        name: the same wherever the work is done.
        offsets: of the bz2 streams that hold them; None if the whole file must be read.
    """

    name: str
    path: Path
    offsets: tuple[int, ...] | None


def read_site(path: Path) -> SiteInfo:
    """The head of a dump.

    Raises:
        InputError: a file that is missing, damaged, or no XML export of MediaWiki in a known version.
    """
    handler = ExportHandler(frozenset())
    with _errors(path, handler):
        parser = _parser(handler)
        for block in read_blocks(path, 1 << 14):
            parser.feed(block)
            if handler.head_read:
                break
        else:
            parser.close()
    if handler.version not in ("0.10", "0.11"):
        raise InputError(
            path,
            f"its export version is {shown(handler.version)}",
            "versions 0.10 and 0.11 of MediaWiki's XML export are known; give …-pages-articles.xml.bz2",
        )
    return SiteInfo(handler.wiki, handler.version, dict(handler.namespaces))


def tasks(file: PagesFile, wanted: Collection[int]) -> list[PagesTask]:
    """Cut the reading of the pages with ids `wanted` into pieces; none where the file cannot hold any.

    Raises:
        InputError: an index that is damaged or not of the expected form.
    """
    wanted = {page for page in wanted if file.first <= page <= file.last}
    if not wanted:
        return []
    if file.index is None:
        return [PagesTask(file.path.name, file.path, None)]
    offsets = sorted({offset for offset, page in _read_index(file.index) if page in wanted})
    if offsets and offsets[-1] >= file.path.stat().st_size:
        raise InputError(
            file.index, f"a stream at byte {offsets[-1]:,}, behind the end of {file.path.name}",
            "fetch index and pages of the same dump again",
        )  # fmt: skip
    return [
        PagesTask(f"{file.path.name}-{start // STREAMS_A_TASK:04d}", file.path, tuple(offsets[start:][:STREAMS_A_TASK]))
        for start in range(0, len(offsets), STREAMS_A_TASK)
    ]


def read_pages(task: PagesTask, wanted: frozenset[int]) -> Iterator[Page]:
    """The pages with ids `wanted` that are articles in wikitext and no redirects, in the order of the file.

    Raises:
        InputError: data that breaks off or is damaged, XML that is malformed or declares entities.
    """
    handler = ExportHandler(wanted)
    with _errors(task.path, handler):
        if task.offsets is None:
            yield from _parsed(handler, read_blocks(task.path, BLOCK, lambda: _reached(handler)))
            return
        with task.path.open("rb") as stream:
            for offset in task.offsets:
                handler.place = f"stream at byte {offset:,}, "
                handler.restart()
                yield from _parsed(handler, _whole(_one_stream(stream, offset)))


def _parsed(handler: ExportHandler, blocks: Iterator[bytes]) -> Iterator[Page]:
    parser = _parser(handler)
    for block in blocks:
        parser.feed(block)
        yield from handler.taken()
    parser.close()
    yield from handler.taken()


def _parser(handler: ExportHandler) -> defusedxml.expatreader.DefusedExpatParser:
    parser = defusedxml.expatreader.create_parser(forbid_dtd=True)
    parser.setContentHandler(handler)
    return parser


def _one_stream(stream: IO[bytes], offset: int) -> Iterator[bytes]:
    stream.seek(offset)
    decompressor = bz2.BZ2Decompressor()
    while not decompressor.eof:
        packed = stream.read(BLOCK) if decompressor.needs_input else b""
        if decompressor.needs_input and not packed:
            raise EOFError(f"the stream at byte {offset:,} has no end")
        block = decompressor.decompress(packed, BLOCK)
        if block:
            yield block


def _whole(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """One of many streams, which begins and ends between two pages, as a document. The last one brings the end."""
    yield _HEAD
    tail = b""
    for block in blocks:
        yield tail
        tail = block
    yield tail
    if not tail.rstrip().endswith(_TAIL):
        yield _TAIL


def _read_index(path: Path) -> Iterator[tuple[int, int]]:
    """(offset, page id) of each line `offset:id:title`."""
    for number, line in read_lines(path):
        offset, page, *_ = (*line.split(":", 2), "")
        if not offset.isdecimal() or not page.isdecimal():
            raise InputError(
                path, f"not offset:id:title: {shown(line)}", "give the index of the dump, …-multistream-index.txt.bz2",
                line=number,
            )  # fmt: skip
        yield int(offset), int(page)


@contextmanager
def _errors(path: Path, handler: ExportHandler) -> Iterator[None]:
    """Whatever is wrong with a file, as an InputError that says how far it could be read."""
    try:
        yield
    except (EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the machine, not of the data
        raise InputError(
            path,
            f"the bzip2 data breaks off or is damaged after {_reached(handler)} ({error})",
            "fetch the file again, and its index",
        ) from error
    except DefusedXmlException as error:
        raise InputError(
            path, f"the XML declares entities or a DTD, after {_reached(handler)} ({error})",
            "no dump does; fetch it from dumps.wikimedia.org",
        ) from error  # fmt: skip
    except SAXParseException as error:
        raise InputError(
            path, f"malformed XML after {_reached(handler)} ({error.getMessage()})", "fetch it again",
            line=error.getLineNumber() if not handler.place else None,
        ) from error  # fmt: skip
    except SAXException as error:
        raise InputError(
            path, f"{error.getMessage()}, after {_reached(handler)}", "give a dump of a Wikipedia"
        ) from error


def _reached(handler: ExportHandler) -> str:
    last = f", the last {shown(handler.title)}" if handler.pages else ""
    return f"{handler.place}{handler.pages:,} pages{last}"
