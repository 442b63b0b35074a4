"""Finding the files of a language edition's dump in a folder, as Wikimedia names them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import require_file

SQL_TABLES = ("page", "redirect", "langlinks", "categorylinks")
_NAME = re.compile(r"(?P<wiki>\w+?)wiki-(?P<date>\d{8}|latest)-(?P<rest>.+)")
_TABLE = re.compile(r"(page|redirect|langlinks|categorylinks|linktarget)\.sql(?:\.gz)?")
_PAGES = re.compile(
    r"pages-(?:meta-current|articles)(?P<multistream>-multistream)?(?P<part>\d*)\.xml(?:-p(?P<first>\d+)p(?P<last>\d+))?"
    r"(?P<packed>\.bz2|\.gz)?"
)
_INDEX = re.compile(r"pages-articles-multistream-index(?P<part>\d*)\.txt(?:-p\d+p\d+)?(?:\.bz2|\.gz)?")


@dataclass(frozen=True)
class PagesFile:
    """A file of pages.

    Attributes:
        index: offsets of the bz2 streams in a multistream file, where it is there.
        first, last: ids of the pages it may hold, where its name says so.
    """

    path: Path
    index: Path | None
    first: int = 0
    last: int = 1 << 62


@dataclass(frozen=True)
class Dump:
    """The files of one language edition.

    Attributes:
        language: as the data set calls it.
        code: as the language links of other editions call it.
        date: of the dump, from its file names.
        tables: name of an SQL table → its dump.
        pages: the files with the articles, in the order of their page ids.
    """

    language: str
    code: str
    date: str
    tables: dict[str, Path]
    pages: tuple[PagesFile, ...]


def find_dump(language: str, folder: str | Path) -> Dump:
    """The dump of one edition in `folder`.

    Of several forms of the pages, the one that is read fastest is taken: multistream with its index before others.

    Raises:
        InputError: no such folder; files of no, of several or of another edition or date; a table or the pages missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "no such folder", f"give the folder with the dump files of language {language!r}")
    named = [(path, match) for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))]
    editions = sorted({(match["wiki"], match["date"]) for _, match in named})
    if len(editions) != 1:
        found = ", ".join(f"{wiki}wiki-{date}" for wiki, date in editions) or "none"
        raise InputError(
            folder, f"dump files of one edition and date were expected; found: {found}",
            f"put files such as {language}wiki-20251101-page.sql.gz there, one edition and date in a folder",
        )  # fmt: skip
    wiki, date = editions[0]
    code = wiki.replace("_", "-")
    if code != language and (code, language) != ("simple", "en"):
        raise InputError(folder, f"holds {wiki}wiki, not language {language!r}", "check which folder is which")
    tables = {match[1]: path for path, name in named if (match := _TABLE.fullmatch(name["rest"]))}
    for table in SQL_TABLES:
        if table not in tables:
            raise InputError(
                folder, f"no {wiki}wiki-{date}-{table}.sql.gz", "fetch it from the same dump beside the others"
            )
    for path in tables.values():
        require_file(path)
    return Dump(language, code, date, tables, _pages(folder, [(path, match["rest"]) for path, match in named]))


def _pages(folder: Path, files: list[tuple[Path, str]]) -> tuple[PagesFile, ...]:
    indexes = {match["part"]: path for path, rest in files if (match := _INDEX.fullmatch(rest))}
    forms: dict[tuple[bool, bool], list[PagesFile]] = {}
    for path, rest in files:
        match = _PAGES.fullmatch(rest)
        if match:
            streams = bool(match["multistream"]) and match["packed"] == ".bz2"
            file = PagesFile(
                require_file(path),
                indexes.get(match["part"]) if streams else None,
                *(int(match[key]) for key in ("first", "last") if match[key]),
            )
            forms.setdefault((file.index is None, bool(match["part"])), []).append(file)
    if not forms:
        raise InputError(
            folder, "no pages-articles.xml.bz2", "fetch …-pages-articles-multistream.xml.bz2 and its index there"
        )
    best = sorted(forms[min(forms)], key=lambda file: (file.first, file.path.name))
    names = {(file.first, file.last) for file in best}
    if len(names) < len(best):
        raise InputError(
            folder, f"the same pages in {best[0].path.name} and {best[1].path.name}", "keep one of them there"
        )
    return tuple(best)


def fingerprint(path: Path) -> str:
    """What tells a dump file from another without reading gigabytes: name, size, time, first and last megabyte."""
    status = path.stat()
    digest = hashlib.sha256(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    with path.open("rb") as stream:
        digest.update(stream.read(1 << 20))
        stream.seek(max(0, status.st_size - (1 << 20)))
        digest.update(stream.read())
    return digest.hexdigest()[:16]
