"""The XML of a dump: what is read from it, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import tracemalloc
from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.encyclopaedia import export
from kbioxlm.dataset_scripts.encyclopaedia.dumps import PagesFile, find_dump
from kbioxlm.dataset_scripts.encyclopaedia.export import Page
from kbioxlm.dataset_scripts.encyclopaedia.pages import PagesTask, read_pages, read_site, tasks

HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="zh">\n<siteinfo>'
    '<dbname>zhwiki</dbname><namespaces><namespace key="-2">媒体</namespace><namespace key="0" />'
    '<namespace key="6" case="first-letter">File</namespace></namespaces></siteinfo>\n'
)
TAIL = "</mediawiki>\n"


def page(number: int, text: str = "text", more: str = "", namespace: int = 0, model: str = "wikitext") -> str:
    return (
        f"<page><title>Title {number}</title><ns>{namespace}</ns><id>{number}</id>{more}<revision><id>1</id>"
        f"<contributor><username>id</username><id>2</id></contributor><comment>text</comment><model>{model}</model>"
        f'<text bytes="4" xml:space="preserve">{text}</text></revision></page>\n'
    )


def written(path: Path, text: str | bytes) -> PagesTask:
    data = text.encode() if isinstance(text, str) else text
    if path.suffix == ".bz2":
        data = bz2.compress(data)
    elif path.suffix == ".gz":
        data = gzip.compress(data)
    path.write_bytes(data)
    return PagesTask(path.name, path, None)


def read(task: PagesTask, *wanted: int) -> list[Page]:
    return list(read_pages(task, frozenset(wanted)))


@pytest.mark.parametrize("suffix", [".xml", ".xml.gz", ".xml.bz2"])
def test_wanted_articles_and_no_others(tmp_path: Path, suffix: str) -> None:
    pages = [
        page(3, "&lt;b&gt; &amp; ''a''\n\nb"),
        page(4),
        page(5, more='<redirect title="x" />'),
        page(6, namespace=4),
        page(7, model="json"),
        page(8, ""),
    ]
    task = written(tmp_path / f"x{suffix}", HEAD + "".join(pages) + TAIL)
    expected = [Page(3, "Title 3", "<b> & ''a''\n\nb"), Page(8, "Title 8", "")]
    assert read(task, 2, 1, 3, 5, 6, 7, 8) == expected
    site = read_site(task.path)
    assert (site.wiki, site.version, site.namespaces) == ("zhwiki", "0.11", {-2: "媒体", 0: "", 6: "File"})


def multistream(folder: Path) -> PagesFile:
    parts = [HEAD, page(3) + page(4), page(5) + page(9), page(12), TAIL]
    streams = [bz2.compress(part.encode()) for part in parts]
    offsets = [sum(map(len, streams[:i])) for i in range(len(streams))]
    path = folder / "zhwiki-20251101-pages-articles-multistream.xml.bz2"
    path.write_bytes(b"".join(streams))
    index = path.with_name("zhwiki-20251101-pages-articles-multistream-index.txt.bz2")
    lines = [f"{offsets[1]}:3:Title: 3", f"{offsets[1]}:4:A", f"{offsets[2]}:5:B", f"{offsets[2]}:9:C"]
    index.write_bytes(bz2.compress("\n".join([*lines, f"{offsets[3]}:12:D\n"]).encode()))
    return PagesFile(path, index)


def test_only_the_needed_streams_are_read(tmp_path: Path) -> None:
    file = multistream(tmp_path)
    (task,) = tasks(file, {4, 12, 99})
    assert task.offsets is not None
    assert len(task.offsets) == 2
    assert [found.id for found in read(task, 4, 12)] == [4, 12]
    whole = PagesTask("x", file.path, None)
    assert read(whole, 3, 4, 5, 9, 12) == read(tasks(file, {3, 4, 5, 9, 12})[0], 3, 4, 5, 9, 12)
    damaged = bytearray(file.path.read_bytes())
    damaged[len(bz2.compress(HEAD.encode())) + 20] ^= 0xFF
    file.path.write_bytes(damaged)
    assert [found.id for found in read(tasks(file, {9})[0], 9)] == [9]
    with pytest.raises(InputError, match=r"stream at byte \d+, 0 pages"):
        read(task, 4, 12)


def test_an_index_that_cannot_be_used(tmp_path: Path) -> None:
    file = multistream(tmp_path)
    assert file.index is not None
    whole = file.index.read_bytes()
    file.index.write_bytes(bz2.compress(b"1:2:x\n3-4\n"))
    with pytest.raises(InputError, match=r"index.txt.bz2:2: not offset:id:title: '3-4'; give the index"):
        tasks(file, {3})
    file.index.write_bytes(whole[:-9])
    with pytest.raises(InputError, match="the bzip2 data breaks off"):
        tasks(file, {3})
    file.index.write_bytes(bz2.compress(b"10:3:x\n99999:4:y\n"))
    with pytest.raises(InputError, match=r"a stream at byte 99,999, behind the end of zhwiki"):
        tasks(file, {4})
    with pytest.raises(InputError, match=r"damaged after stream at byte 10, 0 pages .*fetch the file again, and its i"):
        read(tasks(file, {3})[0], 3)


def test_parts_that_cannot_hold_a_wanted_page_are_not_read(tmp_path: Path) -> None:
    file = PagesFile(tmp_path / "missing.xml.bz2", None, first=1, last=100)
    assert tasks(file, {101, 200}) == []
    assert [task.offsets for task in tasks(file, {100})] == [None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + page(3) + page(4), r"x.xml:\d+: malformed XML after 2 pages, the last 'Title 4' \(no element found\)"),
        (HEAD + page(3) + "<page></pag>" + TAIL, "malformed XML after 1 pages, the last 'Title 3' .mismatched tag"),
        (HEAD + page(3, "a \x01 b") + TAIL, "malformed XML after 0 pages .not well-formed"),
        (HEAD + page(3) + page(4, "&undefined;") + TAIL, "malformed XML after 1 pages.*undefined entity"),
        ("<html><body/></html>", "its first element is <html>, not <mediawiki>"),
        ("404 Not Found", "malformed XML after 0 pages"),
        (
            '<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>\n' + HEAD + page(3, "&b;") + TAIL,
            "the XML declares entities or a DTD, after 0 pages",
        ),
        (
            '<!DOCTYPE m SYSTEM "file:///etc/passwd">\n' + HEAD + page(3) + TAIL,
            "the XML declares entities or a DTD, after 0 pages",
        ),
    ],
)
def test_xml_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    task = written(tmp_path / "x.xml", text)
    with pytest.raises(InputError, match=message):
        read(task, 3, 4)


def test_mixed_encodings(tmp_path: Path) -> None:
    task = written(tmp_path / "x.xml", HEAD.encode() + page(3, "病毒").encode("gb18030") + TAIL.encode())
    with pytest.raises(InputError, match=r"malformed XML after 0 pages \(not well-formed"):
        read(task, 3)


def test_data_that_breaks_off_says_how_far_it_came(tmp_path: Path) -> None:
    task = written(tmp_path / "x.xml.bz2", b"")
    parts = [bz2.compress((HEAD + "".join(map(page, range(1, 500)))).encode()), bz2.compress(page(500).encode())]
    task.path.write_bytes(parts[0] + parts[1][:-7])
    with pytest.raises(InputError, match=r"bzip2 data breaks off or is damaged after 500 pages, the last 'Title 500'"):
        read(task, 1)


def test_another_version_of_the_export(tmp_path: Path) -> None:
    task = written(tmp_path / "x.xml", HEAD.replace('version="0.11"', 'version="0.3"') + TAIL)
    with pytest.raises(InputError, match=r"its export version is '0.3'; versions 0.10 and 0.11"):
        read_site(task.path)


def test_memory_does_not_grow_with_the_file_nor_with_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "LONGEST_TEXT", 100_000)
    long = "a" * 30_000_000
    text = HEAD + "".join(page(i, "b" * 2_000) for i in range(2_000, 3_000)) + page(3_000, long) + page(3_001) + TAIL
    task = written(tmp_path / "x.xml.bz2", text)
    del text, long
    tracemalloc.start()
    found = [(found.id, len(found.wikitext)) for found in read_pages(task, frozenset(range(2_900, 3_002)))]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[-3:] == [(2_999, 2_000), (3_000, 0), (3_001, 4)]  # longer than any page may be: no text
    assert peak < 10_000_000


def test_files_of_a_dump(tmp_path: Path) -> None:
    names = [f"{table}.sql.gz" for table in ("page", "redirect", "langlinks", "categorylinks")]
    parts = ["pages-articles2.xml-p11p20.bz2", "pages-articles1.xml-p1p10.bz2"]
    for name in [*names, *parts]:
        (tmp_path / f"zh_min_nanwiki-20251101-{name}").write_bytes(b"x")
    (tmp_path / "sha1sums.txt").write_bytes(b"x")
    dump = find_dump("zh-min-nan", tmp_path)
    assert (dump.code, dump.date, sorted(dump.tables)) == (
        "zh-min-nan",
        "20251101",
        ["categorylinks", "langlinks", "page", "redirect"],
    )
    assert [(file.path.name[24:], file.first, file.last) for file in dump.pages] == [
        ("pages-articles1.xml-p1p10.bz2", 1, 10),
        ("pages-articles2.xml-p11p20.bz2", 11, 20),
    ]
    for name in ("pages-articles-multistream.xml.bz2", "pages-articles-multistream-index.txt.bz2"):
        (tmp_path / f"zh_min_nanwiki-20251101-{name}").write_bytes(b"x")
    (file,) = find_dump("zh-min-nan", tmp_path).pages
    assert file.path.name.endswith("pages-articles-multistream.xml.bz2")
    assert file.index is not None
    (tmp_path / "zh_min_nanwiki-20251101-page.sql.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"page.sql.gz: the file is empty"):
        find_dump("zh-min-nan", tmp_path)
