"""Languages, running case, phrases of relations, and the knowledge base in memory."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.folder import ShardWriter, dataset_folder, read_table, write_rows
from kbioxlm.dataset_scripts.knowledge.casing import RunningCase
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES, ISO_OF_UMLS, parse_languages
from kbioxlm.dataset_scripts.knowledge.relation_names import SHIPPED, read_relation_names, relation_names
from kbioxlm.dataset_scripts.knowledge.schemas import NAMES, RELATION_NAMES, RELATIONS
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase


def test_languages_are_read_in_the_order_given() -> None:
    assert parse_languages("zh, en") == ("zh", "en")
    assert set(ISO_OF_UMLS.values()) == set(ENGLISH_NAMES)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("en,CHI", "--languages: unknown language 'CHI'; write 'zh'"),
        ("en,", "unknown language ''; give ISO 639-1 codes"),
        ("en,en", "a language is given twice in 'en,en'"),
        ("en", "only 'en'; give at least 2 languages"),
    ],
)
def test_bad_languages_are_named(value: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_languages(value, at_least=2)


def test_running_case_needs_evidence() -> None:
    fitted = RunningCase(
        [
            "Toe pain",
            "fracture of toe",
            "Down syndrome",
            "mosaic Down syndrome",
            "step down",
            "Rare thing",
            "HIV infection",
        ],
        "en",
    )
    assert fitted("Toe pain") == "toe pain"
    assert fitted("Toe") == "toe"
    assert fitted("Toe-nail loss") == "toe-nail loss"
    assert fitted("Down syndrome") == "Down syndrome"
    assert fitted("Rare thing") == "Rare thing"
    assert fitted("HIV infection") == "HIV infection"
    assert fitted("肝炎") == "肝炎"
    assert fitted("Montelukast") == "montelukast"
    assert fitted("Down") == "Down"
    assert RunningCase(["Herz", "herz"], "de")("Herz") == "Herz"


def test_shipped_phrases_come_in_english_and_chinese() -> None:
    names = read_relation_names(SHIPPED)
    assert {relation for relation, language in names if language == "en"} == {
        relation for relation, language in names if language == "zh"
    }
    assert len(names) > 100
    japanese, spanish = ({relation for relation, code in names if code == language} for language in ("ja", "es"))
    assert japanese == spanish
    assert {"isa", "may_treat", "associated_with", "has_finding_site"} <= spanish


def test_phrases_fall_back_to_the_relation_in_english_alone(tmp_path: Path) -> None:
    extra = tmp_path / "phrases.tsv"
    extra.write_text("relation\tlanguage\tname\nisa\tzh\t属于\n", encoding="utf-8")
    names = relation_names({"isa", "has_active_moiety"}, ("en", "zh", "fr"), extra)
    assert names == {
        ("isa", "en"): "is a",
        ("isa", "zh"): "属于",
        ("has_active_moiety", "en"): "has active moiety",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\n", r"tsv:1: header 'name'; begin with the columns relation"),
        ("relation\tlanguage\tname\nisa\tzh\n", r"tsv:2: not three filled columns"),
        ("relation\tlanguage\tname\nisa\tCHI\t是\n", r"tsv:2: unknown language 'CHI'"),
        ("relation\tlanguage\tname\nisa\tzh\t是\nisa\tzh\t属\n", r"tsv:3: isa is named twice in zh"),
    ],
)
def test_bad_phrase_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "phrases.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_relation_names(path)


def knowledge_base_folder(folder: Path) -> Path:
    write_rows(
        folder / "names",
        NAMES,
        [
            ("C1", "en", "Cancer", False, "A", "SY", "CC0-1.0"),
            ("C1", "en", "Neoplasm", True, "A", "PT", "CC0-1.0"),
            ("C1", "en", "neoplasm", False, "B", "PT", "CC0-1.0"),
            ("C1", "zh", "肿瘤", True, "B", "PT", "CC0-1.0"),
            ("C2", "en", "lung cancer", True, "B", "PT", "CC0-1.0"),
        ],
    )
    write_rows(folder / "relations", RELATIONS, [("C2", "isa", "C1", "A"), ("C2", "isa", "C1", "B")])
    write_rows(folder / "relation_names", RELATION_NAMES, [("isa", "en", "is a"), ("isa", "zh", "是一种")])
    return folder


def test_names_are_loaded_preferred_first_in_running_case(tmp_path: Path) -> None:
    base = KnowledgeBase.load(knowledge_base_folder(tmp_path / "kb"), ("en", "zh"))
    assert [list(base.concepts(language)) for language in ("en", "zh")] == [["C1", "C2"], ["C1"]]
    assert base.names_of("C1", "en") == ["neoplasm", "cancer"]
    assert base.names_of("C2", "en") == ["lung cancer"]
    assert (base.names_of("C1", "zh"), base.names_of("C2", "zh"), base.names_of("C9", "zh")) == (["肿瘤"], [], [])
    assert base.relations_of("C2") == {"C1": ["isa"]}
    assert base.relations_of("C1") == base.relations_of("C9") == {}
    assert base.phrases == {("isa", "en"): "is a", ("isa", "zh"): "是一种"}


def test_a_language_the_knowledge_base_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"kb: no names in language 'fr'; .* it has en,zh"):
        KnowledgeBase.load(knowledge_base_folder(tmp_path / "kb"), ("en", "fr"))
    with pytest.raises(InputError, match="no such folder; build one with knowledge_base"):
        KnowledgeBase.load(tmp_path / "nothing", ("en",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no names/\*\.parquet in it"):
        KnowledgeBase.load(tmp_path / "empty", ("en",))


def test_broken_shards_are_named(tmp_path: Path) -> None:
    (tmp_path / "names").mkdir()
    shard = tmp_path / "names" / "part-00000.parquet"
    shard.write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match=r"part-00000\.parquet: not a readable Parquet file"):
        read_table(tmp_path, "names", ("concept",))
    pq.write_table(pa.table({"other": ["x"]}), shard)
    with pytest.raises(InputError, match=r"part-00000\.parquet: no column 'concept'"):
        read_table(tmp_path, "names", ("concept",))


def test_shards_are_cut_and_an_empty_config_keeps_its_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kbioxlm.dataset_scripts.folder.ROWS_PER_SHARD", 4)
    schema = pa.schema([("number", pa.int64())])
    writer = ShardWriter(tmp_path / "many", schema)
    for start in (0, 3, 6):
        writer.write(pa.table({"number": [start, start + 1, start + 2]}, schema=schema))
    writer.close()
    shards = sorted((tmp_path / "many").iterdir())
    assert [pq.read_table(shard).num_rows for shard in shards] == [4, 4, 1]
    assert read_table(tmp_path, "many", ("number",)).column("number").to_pylist() == list(range(9))
    write_rows(tmp_path / "none", schema, [])
    assert read_table(tmp_path, "none", ("number",)).num_rows == 0


def test_only_an_earlier_data_set_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out: is a folder with other content"), dataset_folder(target):
        pass
    with pytest.raises(InputError, match=r"thesis\.txt: is a file"), dataset_folder(target / "thesis.txt"):
        pass
    (target / "stats.json").write_text("{}")
    with dataset_folder(target) as draft:
        (draft / "new").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new"]
