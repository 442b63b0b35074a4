"""A UMLS release as a source: where its files are found, and what its options keep."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge import release_files as release_files_module
from kbioxlm.dataset_scripts.knowledge import sources
from kbioxlm.dataset_scripts.knowledge.release_files import release_files
from kbioxlm.dataset_scripts.knowledge.sources import Provenance, SourceTables
from kbioxlm.dataset_scripts.knowledge.umls_release import ALL_NAMES, UmlsOptions, UmlsRelease


def atom(concept: str, language: str, name: str, source: str = "MSH", suppress: str = "N", level: str = "0") -> str:
    return f"{concept}|{language}|P|L|PF|S|Y|A||||{source}|PT|X|{name}|{level}|{suppress}||"


TABLES = {
    "MRCONSO": [
        atom("C1", "ENG", "phenytoin"),
        atom("C1", "CHI", "苯妥英", source="MSHCHI", level="3"),
        atom("C2", "ENG", "seizure"),
        atom("C2", "ENG", "fit", source="SNOMEDCT_US", level="9", suppress="O"),
        atom("C3", "ENG", "paris", source="OWN", level=""),
    ],
    "MRREL": [
        "C2||CUI|RO|C1||CUI|may_treat|R1||MSH|MSH|||N||",
        "C1||CUI|RO|C2||CUI|cures|R1||SNOMEDCT_US|MSH|||N||",
    ],
    "MRSTY": ["C1|T121|A|Drug|AT1||", "C2|T047|B|Disease|AT2||", "C3|T083|A|Place|AT3||"],
    "MRDOC": [
        *("RELA|cures|rela_inverse|cured_by|", "REL|PAR|rel_inverse|CHD|"),
        *("RELA||rela_inverse||", "LAT|ENG|expanded_form|English|"),
    ],
    "MRSAB": ["C|C|MSH2024|MSH|Medical Subject Headings|MSH|2024|||||||0||||||ENG|UTF-8|Y|Y|MSH|x|"],
}


def folder_of(folder: Path, tables: Mapping[str, list[str]] = TABLES) -> Path:
    folder.mkdir(parents=True)
    for name, lines in tables.items():
        (folder / f"{name}.RRF").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def contents(prefix: str = "2024AA/META/", gz: bool = False) -> dict[str, bytes]:
    return {
        f"{prefix}{name}.RRF{'.gz' if gz else ''}": gzip.compress(text.encode()) if gz else text.encode()
        for name, lines in TABLES.items()
        for text in ["".join(f"{line}\n" for line in lines)]
    }


def read(release: Path, scratch: Path, options: UmlsOptions = ALL_NAMES) -> SourceTables:
    return UmlsRelease(release, scratch, scratch.with_name("rejects.tsv"), options).read()


def names(tables: SourceTables) -> list[str]:
    return tables.names.collect()["name"].to_list()


def test_the_tables_of_a_release(tmp_path: Path) -> None:
    tables = read(folder_of(tmp_path / "META"), tmp_path / "scratch")
    assert tables.names.collect_schema() == sources.NAMES
    assert tables.relations.collect_schema() == sources.RELATIONS
    assert tables.semantic_types.collect_schema() == sources.SEMANTIC_TYPES
    assert tables.names.collect().rows() == [
        ("C1", "en", "phenytoin", "MSH", "PT", "UMLS-SRL-0", 0),
        ("C1", "zh", "苯妥英", "MSHCHI", "PT", "UMLS-SRL-3", 0),
        ("C2", "en", "seizure", "MSH", "PT", "UMLS-SRL-0", 0),
        ("C3", "en", "paris", "OWN", "PT", "UMLS-SRL-unknown", 0),
    ]
    assert tables.relations.collect().rows() == [("C1", "may_treat", "C2", "MSH"), ("C2", "cures", "C1", "SNOMEDCT_US")]
    assert tables.inverses == {"cures": "cured_by", "PAR": "CHD"}
    assert tables.provenance == (
        Provenance("MSH", "UMLS-SRL-0", "Medical Subject Headings", "2024", "MRCONSO.RRF"),
        Provenance("MSHCHI", "UMLS-SRL-3", file="MRCONSO.RRF"),
        Provenance("OWN", "UMLS-SRL-unknown", file="MRCONSO.RRF"),
    )


def test_options_keep_vocabularies_types_and_suppressible_names(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "META")
    kept = read(folder, tmp_path / "a", UmlsOptions(vocabularies=("MSH",)))
    assert names(kept) == ["phenytoin", "seizure"]
    assert kept.relations.collect()["source"].to_list() == ["MSH"]
    assert names(read(folder, tmp_path / "b", UmlsOptions(semantic_types=("T047", "T121"), languages=("en",)))) == [
        "phenytoin",
        "seizure",
    ]
    assert names(read(folder, tmp_path / "c", UmlsOptions(languages=("en",), suppressible=("O",)))) == [
        *("phenytoin", "seizure", "fit", "paris"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabularies": ("MSH", "MESH")}, r"MRCONSO\.RRF: nothing with source vocabulary 'MESH'; .* MSHCHI, OWN$"),
        ({"semantic_types": ("T999",)}, r"MRSTY\.RRF: nothing with semantic type 'T999'; .*T047, T083, T121$"),
        ({"suppressible": ("N",)}, r"suppressible names: unknown value 'N'; give some of O, E, Y"),
        ({"on_error": "ignore"}, r"on error: unknown value 'ignore'; give stop or skip"),
    ],
)
def test_options_that_no_release_has(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(folder_of(tmp_path / "META"), tmp_path / "scratch", UmlsOptions(**options))  # type: ignore[arg-type]


def test_skipped_lines_of_all_tables_are_in_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path / "META", {**TABLES, "MRREL": ["short", *TABLES["MRREL"]], "MRDOC": ["x"]})
    with (folder / "MRCONSO.RRF").open("ab") as stream:
        stream.write(b"C9|\xff\n" + atom("", "ENG", "x\ty" * 200).encode())
    tables = read(folder, tmp_path / "scratch", UmlsOptions(on_error="skip"))
    assert tables.rejected == 4
    assert names(tables)[-1] == "paris"
    rows = [line.split("\t") for line in (tmp_path / "rejects.tsv").read_text(encoding="utf-8").splitlines()]
    assert [(Path(file).name, line, reason) for file, line, reason, _ in rows] == [
        ("file", "line", "reason"),
        ("MRCONSO.RRF", "6", r"not UTF-8 text (invalid start byte at the end of b'C9|\xff')"),
        ("MRCONSO.RRF", "7", "column CUI is empty"),
        ("MRREL.RRF", "1", "too few columns, 1 instead of 16: 'short'"),
        ("MRDOC.RRF", "1", "too few columns, 1 instead of 4: 'x'"),
    ]
    assert rows[2][3].startswith("'|ENG|P|")
    assert len(rows[2][3]) == 200
    assert f"4 lines were skipped, they are in {tmp_path / 'rejects.tsv'}" in capsys.readouterr().err


def test_files_are_found_plain_or_compressed_also_in_meta(tmp_path: Path) -> None:
    folder = tmp_path / "2024AA" / "META"
    folder.mkdir(parents=True)
    for name in ("MRCONSO.RRF", "MRREL.RRF.gz", "MRSTY.RRF"):
        (folder / name).write_bytes(b"x")
    for given in (folder, folder.parent, tmp_path):
        files = release_files(given, tmp_path / "scratch")
        assert files["MRREL"].path == folder / "MRREL.RRF.gz"
        assert sorted(files) == ["MRCONSO", "MRREL", "MRSTY"]
    folder_of(tmp_path / "2024AB" / "META")
    with pytest.raises(InputError, match=r"holds several releases: .*2024AA/META, .*2024AB/META"):
        release_files(tmp_path, tmp_path / "scratch")
    (folder / "MRSTY.RRF").unlink()
    with pytest.raises(InputError, match=r"MRSTY\.RRF: no such file; put MRSTY\.RRF or MRSTY\.RRF\.gz"):
        release_files(folder, tmp_path / "scratch")
    with pytest.raises(InputError, match="no such folder"):
        release_files(tmp_path / "missing", tmp_path / "scratch")


@pytest.mark.parametrize("gz", [False, True])
def test_a_zip_gives_the_same_tables(tmp_path: Path, gz: bool) -> None:
    expected = read(folder_of(tmp_path / "META"), tmp_path / "a")
    release = zipped(tmp_path / "release.zip", {"2024AA/META/": b"", **contents(gz=gz), "2024AA/README.txt": b"hello"})
    tables = read(release, tmp_path / "b")
    assert tables.names.collect().equals(expected.names.collect())
    assert tables.relations.collect().equals(expected.relations.collect())
    assert tables.inverses == expected.inverses
    assert sorted(path.name for path in (tmp_path / "b" / "zip").iterdir()) == sorted(
        f"{name}.RRF{'.gz' if gz else ''}" for name in TABLES
    )


def test_the_nested_archives_of_a_full_release(tmp_path: Path) -> None:
    """`…-meta.nlm` files are zips, in which the tables are cut into gzipped parts."""
    text = "".join(f"{line}\n" for line in TABLES["MRCONSO"]).encode()
    others = {name: content for name, content in contents(gz=True).items() if "MRCONSO" not in name}
    one = {"2024AA/META/MRCONSO.RRF.aa.gz": gzip.compress(text[:50]), **others}
    two = {"2024AA/META/MRCONSO.RRF.ab.gz": gzip.compress(text[50:])}
    archives = {}
    for number, members in enumerate((two, one)):
        path = zipped(tmp_path / "nested", members)
        archives[f"2024AA-full/2024AA-{number}-meta.nlm"] = path.read_bytes()
    release = zipped(tmp_path / "full.zip", {**archives, "2024AA-full/mmsys.zip": b"not a zip"})
    assert names(read(release, tmp_path / "scratch")) == ["phenytoin", "苯妥英", "seizure", "paris"]
    del archives["2024AA-full/2024AA-1-meta.nlm"]
    archives["rest.zip"] = zipped(tmp_path / "nested", others).read_bytes()
    with pytest.raises(InputError, match=r"parts of MRCONSO are missing, it has only 2024AA/META/MRCONSO\.RRF\.ab\.gz"):
        read(zipped(tmp_path / "full.zip", archives), tmp_path / "other")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../MRCONSO.RRF": b"x"}, r"an entry climbs out of the zip: '\.\./MRCONSO\.RRF'"),
        ({"META/../../x.txt": b"x"}, "an entry climbs out of the zip"),
        ({"/etc/x": b"x"}, "an entry climbs out of the zip: '/etc/x'"),
        ({"..\\x": b"x"}, "an entry climbs out of the zip"),
        ({"C:\\x": b"x"}, "an entry climbs out of the zip"),
        ({"other/MRCONSO.RRF": b"x"}, r"several files of MRCONSO: 2024AA/META/MRCONSO\.RRF, other/MRCONSO\.RRF"),
        ({"META/MRSTY.RRF.gz": b"x"}, "several files of MRSTY"),
    ],
)
def test_a_zip_that_is_not_to_be_trusted(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    release = zipped(tmp_path / "release.zip", {**contents(), **members})
    with pytest.raises(InputError, match=message):
        read(release, tmp_path / "scratch" / "here")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release.zip", "scratch"]


def test_a_damaged_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = zipped(tmp_path / "release.zip", contents())
    content = release.read_bytes()
    release.write_bytes(content[:-30])
    with pytest.raises(InputError, match=r"release\.zip: not a readable zip"):
        read(release, tmp_path / "scratch")
    place = content.index(b"MRCONSO.RRF") + 60
    release.write_bytes(content[:place] + b"\0\xff\0\xff" + content[place + 4 :])
    with pytest.raises(InputError, match=r"release\.zip: not a readable zip"):
        read(release, tmp_path / "scratch")
    zipped(release, {name: text for name, text in contents().items() if "MRSTY" not in name})
    with pytest.raises(InputError, match=r"release\.zip: no MRSTY\.RRF or MRSTY\.RRF\.gz in it"):
        read(release, tmp_path / "scratch")
    zipped(release, contents())
    monkeypatch.setattr(release_files_module.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match=r"bytes are needed for 2024AA/META/MRCONSO\.RRF, 10 are free"):
        read(release, tmp_path / "scratch")


def test_an_entry_larger_than_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = zipped(tmp_path / "release.zip", contents())
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: io.BytesIO(b"x" * (1 << 22)))
    with pytest.raises(InputError, match=r"MRCONSO\.RRF has another size than the \d+ bytes declared"):
        read(release, tmp_path / "scratch")
    assert (tmp_path / "scratch" / "zip" / "MRCONSO.RRF").stat().st_size < 1 << 20


def test_errors_in_a_zip_name_its_entry(tmp_path: Path) -> None:
    release = zipped(tmp_path / "release.zip", {**contents(), "2024AA/META/MRSTY.RRF": b"short\n"})
    with pytest.raises(InputError, match=r"release\.zip:2024AA/META/MRSTY\.RRF:1: too few columns"):
        read(release, tmp_path / "scratch")
