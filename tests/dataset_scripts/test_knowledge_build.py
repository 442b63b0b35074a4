"""The knowledge base script, from files to a data set that loads."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge.build import BuildSettings, build_from_umls
from kbioxlm.dataset_scripts.knowledge.store import KnowledgeBase

SCRIPT = Path(__file__).parents[2] / "dataset_scripts" / "knowledge_base.py"


def atom(concept: str, language: str, name: str, ts: str = "P", source: str = "SRC", suppress: str = "N") -> str:
    return f"{concept}|{language}|{ts}|L|PF|S|Y|A||||{source}|PT|X|{name}|0|{suppress}||"


ATOMS = [
    atom("C2", "ENG", "seizure", ts="S"),
    atom("C2", "ENG", "convulsion"),
    atom("C2", "ENG", "convulsion"),
    atom("C2", "ENG", "convulsion", ts="S", source="OTHER"),
    atom("C2", "CHI", "惊厥"),
    atom("C1", "ENG", "phenytoin"),
    atom("C1", "CHI", "苯妥英"),
    atom("C1", "SPA", "fenitoína"),
    atom("C3", "ENG", "obsolete thing", suppress="O"),
]
RELATIONS = [
    "C2||CUI|RO|C1||CUI|may_treat|R1||MED-RT|MED-RT|||N||",
    "C2||CUI|RO|C1||CUI|may_treat|R2||MED-RT|MED-RT|||N||",
    "C3||CUI|RO|C1||CUI|may_treat|R3||MED-RT|MED-RT|||N||",
]
TYPES = ["C1|T121|A|Pharmacologic Substance|AT1||", "C1|T109|A|Organic Chemical|AT2||", "C9|T047|B|Disease|AT3||"]


@pytest.fixture
def umls(tmp_path: Path) -> Path:
    folder = tmp_path / "META"
    folder.mkdir()
    for name, lines in (("MRCONSO", ATOMS), ("MRREL", RELATIONS), ("MRSTY", TYPES)):
        (folder / f"{name}.RRF").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def load(folder: Path, config: str, cache: Path) -> list[dict[str, object]]:
    return datasets.load_dataset(str(folder), config, split="train", cache_dir=str(cache)).to_list()


def test_tables_are_sorted_and_without_duplicates(umls: Path, tmp_path: Path) -> None:
    statistics = build_from_umls(umls, tmp_path / "kb")
    names = load(tmp_path / "kb", "names", tmp_path / "cache")
    assert [(row["concept"], row["language"], row["name"], row["preferred"], row["source"]) for row in names] == [
        ("C1", "en", "phenytoin", True, "SRC"),
        ("C1", "es", "fenitoína", True, "SRC"),
        ("C1", "zh", "苯妥英", True, "SRC"),
        ("C2", "en", "convulsion", False, "OTHER"),
        ("C2", "en", "convulsion", True, "SRC"),
        ("C2", "en", "seizure", False, "SRC"),
        ("C2", "zh", "惊厥", True, "SRC"),
    ]
    assert load(tmp_path / "kb", "concepts", tmp_path / "cache") == [
        {"concept": "C1", "semantic_types": ["T109", "T121"]},
        {"concept": "C2", "semantic_types": []},
    ]
    assert load(tmp_path / "kb", "relations", tmp_path / "cache") == [
        {"subject": "C1", "relation": "may_treat", "object": "C2", "source": "MED-RT"}
    ]
    phrases = load(tmp_path / "kb", "relation_names", tmp_path / "cache")
    assert {"relation": "may_treat", "language": "zh", "name": "可治疗"} in phrases
    assert statistics.concepts == 2
    assert statistics.names == {"en": 4, "es": 1, "zh": 2}
    assert json.loads((tmp_path / "kb" / "stats.json").read_text())["relations"] == {"may_treat": 1}


def test_the_same_input_gives_the_same_bytes(umls: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build_from_umls(umls, tmp_path / name, settings=BuildSettings(("en", "zh")))
    one, two = (
        {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two")
    )
    assert one == two
    assert len(one) == 7


def test_only_the_asked_languages_are_kept(umls: Path, tmp_path: Path) -> None:
    assert build_from_umls(umls, tmp_path / "kb", settings=BuildSettings(("en", "zh"))).names == {"en": 4, "zh": 2}
    with pytest.raises(
        InputError, match=r"MRCONSO\.RRF: no name in language 'fr' \(French\); .*of those asked it found: en"
    ):
        build_from_umls(umls, tmp_path / "other", settings=BuildSettings(("en", "fr")))
    assert not (tmp_path / "other").exists()


def test_a_truncated_gzip_is_one_error_and_leaves_nothing(umls: Path, tmp_path: Path) -> None:
    plain = umls / "MRREL.RRF"
    (umls / "MRREL.RRF.gz").write_bytes(gzip.compress(plain.read_bytes() * 50)[:-20])
    plain.unlink()
    with pytest.raises(InputError, match=r"MRREL\.RRF\.gz: the gzip data breaks off"):
        build_from_umls(umls, tmp_path / "kb")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["META"]


def test_the_command_says_one_line_and_exits_with_2(umls: Path, tmp_path: Path) -> None:
    with (umls / "MRCONSO.RRF").open("a", encoding="utf-8") as stream:
        stream.write("C4|ENG|short\n")
    command = [sys.executable, str(SCRIPT), "build", "--umls", str(umls), "--output", str(tmp_path / "kb")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 2
    error = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.startswith("error:")]
    assert len(error) == 1
    assert "MRCONSO.RRF:10: too few columns, 3 instead of 18: 'C4|ENG|short'" in error[0]
    assert not (tmp_path / "kb").exists()


@pytest.mark.skipif("KBIOXLM_REAL_DATA" not in os.environ, reason="KBIOXLM_REAL_DATA is not set")
def test_the_open_knowledge_base(tmp_path: Path) -> None:
    source = Path(os.environ["KBIOXLM_REAL_DATA"]) / "open_knowledge_base"
    statistics = build_from_umls(source, tmp_path / "kb", settings=BuildSettings(("en", "zh")))
    assert statistics.names == {"en": 42321, "zh": 21122}
    assert statistics.bilingual_concepts == 20906
    assert statistics.relations == {"isa": 12288, "may_treat": 1775}
    base = KnowledgeBase.load(tmp_path / "kb", ("en", "zh"))
    names = {base.names_of(concept, "en")[0]: concept for concept in base.concepts("en")}
    drug, disease = names["montelukast"], names["asthma"]
    assert base.relations_of(drug)[disease] == ["may_treat"]
