"""Open sources of knowledge: babelon tables, OBO flat files, OBO Graphs JSON."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge.babelon import BabelonSource
from kbioxlm.dataset_scripts.knowledge.licenses import agreed_license, known_license
from kbioxlm.dataset_scripts.knowledge.obo import OboSource
from kbioxlm.dataset_scripts.knowledge.open_source import open_source
from kbioxlm.dataset_scripts.knowledge.open_tables import compact_id, one_to_one
from kbioxlm.dataset_scripts.knowledge.own_tsv import TsvSource
from kbioxlm.dataset_scripts.knowledge.sources import (
    NAMES,
    RELATIONS,
    SEMANTIC_TYPES,
    KnowledgeSource,
    Provenance,
    SourceTables,
)

DATA = Path(__file__).parents[1] / "data" / "open_sources"
BABELON = DATA / "complaints.babelon.tsv"
OBO = DATA / "complaints.obo"
GRAPHS = DATA / "complaints.json"
TABLE = DATA / "complaints.tsv"
HEADER = (
    "subject_id\tpredicate_id\tsource_language\tsource_value\ttranslation_language\ttranslation_value\t"
    "translation_status"
)
FEVER = "XO:7\trdfs:label\ten\tfever\tes\tfiebre\tOFFICIAL"


def names(tables: SourceTables, concept: str, language: str) -> list[tuple[str, str, int]]:
    rows = tables.names.collect().filter(concept=concept, language=language)
    return list(rows.select("name", "term_type", "rank").sort("rank", maintain_order=True).iter_rows())


def written(folder: Path, *lines: str, name: str = "x.babelon.tsv") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def edited(folder: Path, original: Path, *replacements: tuple[str, str]) -> Path:
    text = original.read_text(encoding="utf-8")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / original.name
    path.write_text(text, encoding="utf-8")
    return path


# What holds for all of them


@pytest.mark.parametrize("path", [BABELON, OBO, GRAPHS, TABLE], ids=lambda path: path.name)
def test_every_source_keeps_the_contract(path: Path) -> None:
    tables = open_source(path, "CC0-1.0" if path == TABLE else None).read()
    assert tables.names.collect_schema() == NAMES
    assert tables.relations.collect_schema() == RELATIONS
    assert tables.semantic_types.collect_schema() == SEMANTIC_TYPES
    frame = tables.names.collect()
    assert frame.height > 10
    assert not frame["name"].str.contains(r"^\s|\s\s|\s$|^$").any()
    assert not frame.null_count().sum_horizontal().item()
    assert set(frame.select("source", "license").iter_rows()) == {(p.source, p.license) for p in tables.provenance}
    for provenance in tables.provenance:
        assert provenance.file == path.name
        assert provenance.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("path", [BABELON, OBO, GRAPHS, TABLE], ids=lambda path: path.name)
def test_gzip_gives_the_same_tables_and_the_digest_of_the_compressed_file(path: Path, tmp_path: Path) -> None:
    packed = tmp_path / f"{path.name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    plain, unpacked = (open_source(file, "CC0-1.0" if path == TABLE else None).read() for file in (path, packed))
    assert plain.names.collect().equals(unpacked.names.collect())
    assert plain.same_as == unpacked.same_as
    assert unpacked.provenance[0].sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()


@pytest.mark.parametrize("path", [BABELON, OBO, GRAPHS, TABLE], ids=lambda path: path.name)
def test_damaged_files_are_refused(path: Path, tmp_path: Path) -> None:
    def read(name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        open_source(tmp_path / name, "CC0-1.0").read()

    content = path.read_bytes()
    with pytest.raises(InputError, match=r"\.gz: the gzip data breaks off or is damaged after line \d+ .*fetch"):
        read(f"{path.name}.gz", gzip.compress(content)[:-20])
    with pytest.raises(InputError, match=r"\.gz: the gzip data breaks off or is damaged after line 0"):
        read(f"{path.name}.gz", content)
    lines = content.split(b"\n")
    lines[2] += b"n\xe9phrite"
    with pytest.raises(InputError, match=r":3: not UTF-8 text .*convert the file to UTF-8"):
        read(path.name, b"\n".join(lines))
    with pytest.raises(InputError, match="the file is empty"):
        read(path.name, b"")
    with pytest.raises(InputError, match="no such file"):
        open_source(tmp_path / f"absent-{path.name}", "CC0-1.0")


@pytest.mark.parametrize("path", [BABELON, OBO, TABLE], ids=lambda path: path.name)
def test_a_line_without_end_is_refused_before_it_is_parsed(path: Path, tmp_path: Path) -> None:
    file = tmp_path / f"{path.name}.gz"
    with gzip.open(file, "wb", compresslevel=1) as stream:
        stream.write(path.read_bytes() + b"\n")
        for _ in range(100):
            stream.write(b"a" * 1_000_000)
    line = path.read_bytes().count(b"\n") + 2
    with pytest.raises(InputError, match=rf":{line}: a line of more than 1,048,576 bytes"):
        open_source(file, "CC0-1.0").read()


def test_the_reader_is_chosen_by_name_and_header(tmp_path: Path) -> None:
    kinds: dict[Path, type[KnowledgeSource]] = {BABELON: BabelonSource, OBO: OboSource, GRAPHS: OboSource}
    for path, kind in (kinds | {TABLE: TsvSource}).items():
        assert isinstance(open_source(path), kind)
    assert isinstance(
        open_source(written(tmp_path, "# a comment", HEADER, FEVER, name="translations.tsv")), BabelonSource
    )
    table = open_source(TABLE, "CC0-1.0", ("en",))
    assert table == TsvSource(TABLE, DATA / "complaints.relations.tsv", "CC0-1.0", ("en",))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hp.owl", "a format that is not read; .*robot convert"),
        ("hp.csv", "a file of unknown kind '.csv'; give an ontology"),
        ("hp.tsv", "a table with the columns .'subject_id', 'translation_value'.*; give an ontology"),
        ("hp.babelon.tsv", "no column 'source_language'.*; give a babelon file"),
    ],
)
def test_files_of_another_kind_are_refused(name: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, "subject_id\ttranslation_value", "XO:1\tx", name=name)
    with pytest.raises(InputError, match=message):
        open_source(path, "CC0-1.0").read()


# Licences


@pytest.mark.parametrize(
    ("statement", "spdx"),
    [
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/legalcode", "CC0-1.0"),
        ("CC0", "CC0-1.0"),
        ("cc0-1.0", "CC0-1.0"),
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("http://creativecommons.org/licenses/by-nc-sa/3.0/deed.en", "CC-BY-NC-SA-3.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("CC-BY-SA-4.0", "CC-BY-SA-4.0"),
        ("Creative Commons BY-ND 3.0", "CC-BY-ND-3.0"),
        ("https://www.apache.org/licenses/LICENSE-2.0.txt", "Apache-2.0"),
        ("MIT", "MIT"),
        ("https://hpo.jax.org/app/license", None),
        ("permit", None),
    ],
)
def test_common_licences_get_their_spdx_id(statement: str, spdx: str | None) -> None:
    assert known_license(statement) == spdx


def test_the_licence_is_that_of_the_file_or_of_the_user() -> None:
    assert agreed_license(Path("x"), ["CC BY 4.0"], None) == "CC-BY-4.0"
    assert agreed_license(Path("x"), ["https://creativecommons.org/licenses/by/4.0/"], "CC BY 4.0") == "CC-BY-4.0"
    assert agreed_license(Path("x"), ["see the website"], None) == "see the website"
    assert agreed_license(Path("x"), ["see the website"], "CC0") == "CC0-1.0"
    with pytest.raises(InputError, match="states no licence; give it with --license"):
        agreed_license(Path("x"), ["", " "], " ")
    with pytest.raises(InputError, match=r"states the licence 'CC-BY-4\.0', but 'CC0-1.0' was given"):
        agreed_license(Path("x"), ["CC BY 4.0"], "CC0")
    with pytest.raises(InputError, match=r"states the licences \['CC-BY-4.0', 'CC0-1.0'\]; say with --license"):
        agreed_license(Path("x"), ["CC0", "CC BY 4.0"], None)
    with pytest.raises(InputError, match="a licence of 300 characters"):
        agreed_license(Path("x"), ["x" * 300], None)


# Babelon


def test_labels_are_preferred_and_official_ones_first() -> None:
    tables = BabelonSource(BABELON).read()
    assert names(tables, "XO:0000003", "en") == [("kidney stone", "label", 0), ("renal calculus", "exact", 2)]
    assert names(tables, "XO:0000003", "zh") == [
        ("肾结石", "label", 0),
        ("肾脏结石", "label", 1),
        ("肾石", "exact", 2),
    ]
    assert names(tables, "XO:0000006", "es") == [("migraña", "label", 1)]
    assert names(tables, "XO:0000006", "ja") == [("片頭痛", "label", 0)]
    assert tables.provenance == (
        Provenance(
            "babelon:complaints",
            "CC-BY-4.0",
            "Complaints, translated",
            "2024-05-01",
            BABELON.name,
            hashlib.sha256(BABELON.read_bytes()).hexdigest(),
        ),
    )


def test_a_source_name_is_told_once() -> None:
    frame = BabelonSource(BABELON).read().names.collect()
    assert frame.filter(language="en").height == 11
    assert frame.filter(language="en")["name"].is_unique().all()


def test_what_is_no_name_is_left_out_and_counted() -> None:
    source = BabelonSource(BABELON)
    tables = source.read()
    assert names(tables, "XO:0000009", "fr") == names(tables, "XO:0000007", "fr") == []
    assert source.left_out == {
        "predicate IAO:0000115": 1,
        "status NOT_TRANSLATED": 1,
        "status UNDER_REVIEW": 1,
        "precision BROADER": 1,
        "empty translation": 1,
    }
    source.read()
    assert source.left_out["empty translation"] == 1


def test_quoted_values_are_unquoted_and_no_status_is_a_candidate() -> None:
    assert names(BabelonSource(BABELON).read(), "XO:0000010", "fr") == [('asthme "bronchique"', "label", 1)]


def test_statuses_and_languages_can_be_chosen(tmp_path: Path) -> None:
    everything = BabelonSource(BABELON, statuses=("OFFICIAL", "UNDER_REVIEW", "CANDIDATE")).read()
    assert names(everything, "XO:0000007", "fr") == [("fièvre", "label", 1)]
    strict = BabelonSource(BABELON, statuses=("OFFICIAL",)).read().names.collect()
    assert set(strict["language"]) == {"en", "zh", "ja"}
    some = BabelonSource(BABELON, languages=("ja", "es"))
    assert set(some.read().names.collect()["language"]) == {"ja", "es"}
    assert some.left_out["other language"] == 13
    twi = written(tmp_path, HEADER, FEVER, FEVER.replace("\tes\t", "\ttw\t"))
    assert BabelonSource(twi, "CC0", languages=("es",)).read().names.collect()["name"].to_list() == ["fiebre"]


def test_columns_may_stand_in_any_order_and_ids_be_addresses(tmp_path: Path) -> None:
    header, row = (list(reversed(line.split("\t"))) for line in (HEADER, FEVER))
    row[header.index("subject_id")] = "http://purl.obolibrary.org/obo/XO_7"
    row[header.index("predicate_id")] = "http://www.w3.org/2000/01/rdf-schema#label"
    path = written(tmp_path, "\ufeff" + "\t".join([*header, "comment"]), "\t".join([*row, "a\u2028 remark"]), "")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert names(BabelonSource(path, "CC0").read(), "XO:7", "es") == [("fiebre", "label", 0)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (FEVER.replace("\tes\t", "\ttw\t"), ":4: unknown language 'tw'; give one of ar,cs,"),
        (FEVER.replace("\tes\t", "\tspa\t"), ":4: unknown language 'spa'"),
        (FEVER.replace("\tes\t", "\t\t"), ":4: unknown language ''"),
        (FEVER.replace("\ten\tfever", "\txx\tpyrexia"), ":4: unknown language 'xx'"),
        (FEVER.removesuffix("\tOFFICIAL"), ":4: 6 columns instead of 7"),
        (FEVER + "\t", ":4: 8 columns instead of 7"),
        (FEVER.replace("OFFICIAL", "official"), ":4: unknown translation_status 'official'; give OFFICIAL,"),
        (FEVER.removeprefix("XO:7"), ":4: no subject_id"),
        (FEVER.replace("fiebre", '"fiebre" alta'), ":4: not well-formed tab-separated text"),
        (FEVER.replace("fiebre", '"fiebre'), ":4: not well-formed tab-separated text"),
        (FEVER.replace("fiebre", "f" * 200_000), ":4: not well-formed tab-separated text .field larger"),
    ],
)
def test_a_bad_row_is_named_by_its_line(line: str, message: str, tmp_path: Path) -> None:
    two_lines = FEVER.replace("rdfs:label", "IAO:0000115").replace("fiebre", '"first\nsecond"')
    with pytest.raises(InputError, match=message):
        BabelonSource(written(tmp_path, HEADER, two_lines, line), "CC0").read()


def test_a_bad_header_or_no_licence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="states no licence"):
        BabelonSource(written(tmp_path, HEADER, FEVER)).read()
    with pytest.raises(InputError, match=":1: no column 'translation_value'"):
        BabelonSource(written(tmp_path, HEADER.replace("translation_value", "translation"), FEVER), "CC0").read()
    with pytest.raises(InputError, match=":2: a column is named twice"):
        BabelonSource(written(tmp_path, "# x", f"{HEADER}\tsubject_id", FEVER), "CC0").read()
    with pytest.raises(InputError, match="no column 'source_language'"):
        BabelonSource(written(tmp_path, "# only comments"), "CC0").read()


# OBO flat files


def test_an_ontology_gives_labels_and_exact_synonyms() -> None:
    source = OboSource(OBO)
    tables = source.read()
    assert names(tables, "XO:0000003", "en") == [
        ("kidney stone", "label", 0),
        ("renal calculus", "exact", 1),
        ("nephrolith", "exact", 1),
    ]
    assert tables.provenance[0].source == "XO"
    assert tables.provenance[0].title == "Small Ontology of Complaints"
    assert tables.provenance[0].version == "2024-05-01"
    assert tables.provenance[0].license == "CC0-1.0"
    assert source.left_out == {"obsolete terms": 1, "relation RO:0000099 without a label": 1}
    concepts = tables.names.collect()["concept"].unique(maintain_order=True).to_list()
    assert concepts == [f"XO:{number:07d}" for number in range(1, 11)]


def test_other_scopes_come_after_exact_ones() -> None:
    tables = OboSource(OBO, scopes=("EXACT", "BROAD")).read()
    assert names(tables, "XO:0000003", "en")[-1] == ("stone", "broad", 2)
    with pytest.raises(InputError, match="unknown scope 'exact'"):
        OboSource(OBO, scopes=("exact",)).read()


def test_relations_carry_their_label_and_stay_within_the_file() -> None:
    relations = OboSource(OBO).read().relations.collect()
    assert set(relations["source"]) == {"XO"}
    assert sorted(relations.select("subject", "relation", "object").iter_rows()) == [
        ("XO:0000002", "isa", "XO:0000001"),
        ("XO:0000003", "has_finding_site", "XO:0000008"),
        ("XO:0000003", "isa", "XO:0000002"),
        ("XO:0000004", "caused_by", "XO:0000003"),
        ("XO:0000004", "has_finding_site", "XO:0000008"),
        ("XO:0000004", "isa", "XO:0000002"),
        ("XO:0000005", "isa", "XO:0000001"),
        ("XO:0000006", "isa", "XO:0000005"),
        ("XO:0000007", "isa", "XO:0000001"),
        ("XO:0000009", "isa", "XO:0000001"),
        ("XO:0000010", "isa", "XO:0000001"),
    ]


def test_only_one_to_one_references_to_the_umls_are_kept() -> None:
    assert OboSource(OBO).read().same_as == {"XO:0000003": "C0022650", "XO:0000009": "C0010200"}
    assert one_to_one([("a", "1"), ("a", "1"), ("b", "2"), ("b", "3"), ("c", "4"), ("d", "4")]) == {"a": "1"}


def test_imports_are_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert OboSource(OBO).read().names.collect().height == 18


def test_names_may_be_of_another_language() -> None:
    assert set(OboSource(OBO, language="de").read().names.collect()["language"]) == {"de"}


def test_escapes_qualifiers_and_comments_are_no_part_of_a_name(tmp_path: Path) -> None:
    path = edited(tmp_path, OBO, ("name: fever", r'name: fever\: \"hot\"\,  \{x\} {xml:lang="en"} ! a remark'))
    assert names(OboSource(path).read(), "XO:0000007", "en")[0] == ('fever: "hot", {x}', "label", 0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("is_obsolete: true", "is_obsolete: perhaps", r"obo:\d+: not OBO 1.4: expected Boolean .*perhaps"),
        ("name: fever", "name fever", r"obo:\d+: not OBO 1.4: .*'name fever'"),
        ("id: XO:0000007\n", "", r"obo:\d+: not OBO 1.4: .*'name: fever'"),
        ('synonym: "pyrexia" EXACT', 'synonym: "pyrexia EXACT', r"obo:\d+: not OBO 1.4: "),
        ("name: disease\n", "name: disease\nis_a: XO:0000006\n", "a circle of is_a: XO:0000001 is_a|XO:0000006 is_a"),
        ("name: disease\n", "name: disease\nis_a: XO:0000001\n", "a circle of is_a: XO:0000001 is_a XO:0000001"),
        ("property_value: dcterms:license", "remark:", "states no licence; give it with --license"),
    ],
)
def test_a_bad_ontology_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = edited(tmp_path, OBO, (old, new))
    with pytest.raises(InputError, match=message):
        OboSource(path).read()


def test_the_line_of_an_error_is_that_of_the_file(tmp_path: Path) -> None:
    path = edited(tmp_path, OBO, ("is_obsolete: true", "is_obsolete: perhaps"))
    line = path.read_text(encoding="utf-8").split("\n").index("is_obsolete: perhaps") + 1
    with pytest.raises(InputError, match=rf"complaints.obo:{line}: "):
        OboSource(path).read()


@pytest.mark.parametrize(
    "statement",
    [
        "terms:license http://creativecommons.org/licenses/by/3.0/",
        "dcterms-license http://creativecommons.org/licenses/by/3.0/",
        "http://purl.org/dc/terms/license http://creativecommons.org/licenses/by/3.0/ xsd:string",
        'http://purl.org/dc/terms/license "CC BY 3.0" xsd:string',
        r'dc:license "CC-BY-3\.0"',
    ],
)
def test_a_licence_is_found_however_it_is_written(statement: str, tmp_path: Path) -> None:
    text = OBO.read_text(encoding="utf-8")
    line = next(line for line in text.split("\n") if "dcterms:license" in line)
    path = edited(tmp_path, OBO, (line, f"property_value: {statement}"))
    assert OboSource(path).read().provenance[0].license == "CC-BY-3.0"


@pytest.mark.parametrize("content", ["<rdf:RDF/>", "PK\x03\x04", "{}", "\n\n", "id: XO:1\nname: x"])
def test_what_is_no_obo_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.obo"):
        OboSource(written(tmp_path, content, name="x.obo"), "CC0").read()


# OBO Graphs


def graph(path: Path = GRAPHS) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def test_graphs_give_what_the_flat_file_gives() -> None:
    source = OboSource(GRAPHS)
    tables = source.read()
    flat = OboSource(OBO).read()
    own = tables.names.collect().filter(concept="EFO:0000400")
    assert own["name"].to_list() == ["diabetes mellitus"]
    columns = ["concept", "language", "name", "source", "term_type", "rank"]
    rest = tables.names.collect().filter(~(tables.names.collect()["concept"] == "EFO:0000400"))
    assert rest.select(columns).equals(flat.names.collect().select(columns))
    assert tables.same_as == {"XO:0000003": "C0022650"}
    relations = set(tables.relations.collect().select("subject", "relation", "object").iter_rows())
    assert ("XO:0000004", "has_finding_site", "XO:0000008") in relations
    assert ("XO:0000006", "isa", "XO:0000005") in relations
    assert len(relations) == 9
    provenance = tables.provenance[0]
    assert (provenance.source, provenance.version, provenance.license) == ("XO", "2024-05-01", "CC-BY-4.0")
    assert provenance.title == "Small Ontology of Complaints"
    assert source.left_out == {"obsolete terms": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"graphs": [', "json:2: not JSON"),
        ("<xml/>", "json:1: not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", r"the file is \[\], not a dict"),
        ("{}", "no graph in 'graphs'"),
        ('{"graphs": {}}', "'graphs' of the file is {}, not a list"),
        ('{"graphs": [3]}', r"graphs\[0\] is 3, not a dict"),
        ('{"graphs": [{"nodes": [{"lbl": "x"}]}]}', "no 'id' in a node"),
        ('{"graphs": [{"nodes": [{"id": "XO:1", "lbl": 3}]}]}', "'lbl' of node XO:1 is 3, not a str"),
        ('{"graphs": [{"nodes": [{"id": "XO:1", "meta": []}]}]}', "'meta' of node XO:1"),
        ('{"graphs": [{"nodes": [], "edges": [{"sub": "XO:1"}]}]}', "no 'pred' in an edge"),
        ('{"graphs": [{"nodes": [{"id": "XO:1", "type": "CLASS"}]}]}', "no term with a label"),
    ],
)
def test_what_is_no_graph_is_refused(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        OboSource(written(tmp_path, content, name="x.json"), "CC0").read()


def test_a_circle_or_no_licence_in_a_graph_is_refused(tmp_path: Path) -> None:
    document = graph()
    document["graphs"][0]["edges"].append({"sub": "XO:0000001", "pred": "is_a", "obj": "XO:0000006"})
    with pytest.raises(InputError, match="a circle of is_a: "):
        OboSource(written(tmp_path, json.dumps(document), name="x.json")).read()
    document = graph()
    document["graphs"][0]["meta"]["basicPropertyValues"] = None
    path = written(tmp_path, json.dumps(document), name="x.json")
    with pytest.raises(InputError, match="states no licence"):
        OboSource(path).read()
    assert OboSource(path, "CC BY 4.0").read().provenance[0].license == "CC-BY-4.0"


@pytest.mark.parametrize(
    ("identifier", "compact"),
    [
        ("http://purl.obolibrary.org/obo/HP_0001250", "HP:0001250"),
        ("http://www.example.org/ORDO/Orphanet_558", "Orphanet:558"),
        ("http://www.example.org/x#NCIT_C3262", "NCIT:C3262"),
        ("HP:0001250", "HP:0001250"),
        ("http://purl.obolibrary.org/obo/hp_base", "http://purl.obolibrary.org/obo/hp_base"),
        ("_:genid12", "_:genid12"),
    ],
)
def test_addresses_of_terms_become_compact(identifier: str, compact: str) -> None:
    assert compact_id(identifier) == compact
