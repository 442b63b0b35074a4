"""Several sources in one knowledge base: merged, folded, and the same bytes whatever the machine."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
import yaml

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.knowledge import sorted_tables, sources
from kbioxlm.dataset_scripts.knowledge.build import (
    ALL_NAMES,
    BuildSettings,
    UmlsOptions,
    build_from_umls,
    build_knowledge_base,
)
from kbioxlm.dataset_scripts.knowledge.relation_folding import RelationFolding, shipped_inverses
from kbioxlm.dataset_scripts.knowledge.relation_names import SHIPPED, read_relation_names
from kbioxlm.dataset_scripts.knowledge.same_concepts import same_concepts
from kbioxlm.dataset_scripts.knowledge.sources import Provenance, SourceTables


@dataclass
class Source:
    """A source of a few rows: names are (concept, language, name, rank), relations (subject, relation, object)."""

    name: str
    names: Sequence[tuple[str, str, str, int]]
    relations: Sequence[tuple[str, str, str]] = ()
    types: Sequence[tuple[str, str]] = ()
    same_as: dict[str, str] = field(default_factory=dict)
    inverses: dict[str, str] = field(default_factory=dict)

    def read(self) -> SourceTables:
        names = [
            (concept, language, name, self.name, "PT", "CC0-1.0", rank) for concept, language, name, rank in self.names
        ]
        return SourceTables(
            pl.LazyFrame(names, schema=sources.NAMES, orient="row"),
            pl.LazyFrame([(*row, self.name) for row in self.relations], schema=sources.RELATIONS, orient="row"),
            pl.LazyFrame(list(self.types), schema=sources.SEMANTIC_TYPES, orient="row"),
            self.same_as,
            (Provenance(self.name, "CC0-1.0", f"The {self.name} | list", "2026", f"{self.name}.obo", "ab12"),),
            self.inverses,
        )


def table(folder: Path, config: str) -> list[tuple[object, ...]]:
    return pl.read_parquet(folder / config / "*.parquet").rows()


def test_concepts_that_are_the_same_become_one(tmp_path: Path) -> None:
    first = Source("UMLS", [("C0000001", "en", "fit", 3)], [("C0000001", "isa", "C0000001")], [("C0000001", "T047")])
    second = Source(
        "HP",
        [("HP:1", "en", "Seizure", 3), ("HP:1", "zh", "癫痫发作", 0), ("HP:2", "en", "Fever", 0)],
        [("HP:1", "isa", "HP:2"), ("HP:1", "isa", "DOID:1"), ("HP:2", "isa", "HP:9")],
        [("HP:1", "T184"), ("HP:9", "T184")],
        {"HP:1": "DOID:1", "HP:2": "DOID:2"},
    )
    third = Source("DOID", [("DOID:1", "en", "seizure", 1)], same_as={"DOID:1": "C0000001"})
    statistics = build_knowledge_base([first, second, third], tmp_path / "kb")
    assert table(tmp_path / "kb", "names") == [
        ("C0000001", "en", "Seizure", False, "HP", "PT", "CC0-1.0"),
        ("C0000001", "en", "fit", False, "UMLS", "PT", "CC0-1.0"),
        ("C0000001", "en", "seizure", True, "DOID", "PT", "CC0-1.0"),
        ("C0000001", "zh", "癫痫发作", True, "HP", "PT", "CC0-1.0"),
        ("DOID:2", "en", "Fever", True, "HP", "PT", "CC0-1.0"),
    ]
    assert table(tmp_path / "kb", "concepts") == [("C0000001", ["T047", "T184"]), ("DOID:2", [])]
    assert table(tmp_path / "kb", "relations") == [("C0000001", "isa", "DOID:2", "HP")]
    assert (statistics.merged_concepts, statistics.merge_conflicts) == (3, 0)
    assert (statistics.concepts, statistics.bilingual_concepts) == (2, 1)
    assert statistics.sources == {"DOID": 1, "HP": 3, "UMLS": 1}


def test_of_equal_ranks_the_earlier_source_is_preferred(tmp_path: Path) -> None:
    one, two = Source("A", [("C1", "en", "b", 1)]), Source("B", [("C1", "en", "c", 1), ("C1", "en", "a", 1)])
    for sources_, preferred in (([one, two], "b"), ([two, one], "c")):
        build_knowledge_base(sources_, tmp_path / "kb")
        assert [row[2] for row in table(tmp_path / "kb", "names") if row[3]] == [preferred]


def test_groups_with_two_concepts_of_a_source_are_left_apart() -> None:
    same = same_concepts(
        [
            {"HP:1": "C0000001", "HP:2": "C0000001", "HP:3": "C0000003"},
            {"DOID:7": "MESH:5", "MESH:5": "HP:9", "DOID:8": "C0000008", "MESH:6": "DOID:8", "MESH:6b": "C0000009"},
            {
                "DOID:8": "C0000008",
                "MESH:7": "C0000010",
                "DOID:10": "MESH:7",
                "OMIM:1": "C0000011",
                "DOID:10b": "OMIM:1",
            },
            {"EFO:1": "MESH:7", "EFO:1b": "DOID:10b", "EFO:1c": "C0000011"},
        ]
    )
    assert same.stands_for == {
        "HP:3": "C0000003",
        **{"HP:9": "DOID:7", "MESH:5": "DOID:7"},
        **{"DOID:8": "C0000008", "MESH:6": "C0000008", "MESH:6b": "C0000009"},
        **{"MESH:7": "C0000010", "DOID:10": "C0000010", "EFO:1": "C0000010"},
    }
    assert same.conflicts == 2
    assert same_concepts([]) == ({}, 0)


def test_inverse_and_repeated_statements_are_folded_and_counted(tmp_path: Path) -> None:
    names = [(f"C{number}", "en", f"name {number}", 0) for number in range(1, 6)]
    told = [
        ("C1", "may_treat", "C2"),
        ("C1", "may_treat", "C2"),
        ("C2", "may_be_treated_by", "C1"),
        ("C2", "inverse_isa", "C3"),
        ("C4", "SIB", "C3"),
        ("C3", "SIB", "C4"),
        ("C1", "zaps", "C2"),
        ("C2", "is_zapped_by", "C1"),
        ("C1", "unheard_of", "C2"),
        ("C1", "isa", "C99"),
        ("C5", "isa", "C5"),
    ]
    source = Source("A", names, told, inverses={"zaps": "is_zapped_by", "is_zapped_by": "zaps"})
    statistics = build_knowledge_base([source], tmp_path / "kb")
    assert table(tmp_path / "kb", "relations") == [
        ("C1", "may_treat", "C2", "A"),
        ("C1", "unheard_of", "C2", "A"),
        ("C1", "zaps", "C2", "A"),
        ("C3", "SIB", "C4", "A"),
        ("C3", "isa", "C2", "A"),
    ]
    assert (statistics.folded_relations, statistics.duplicate_relations) == (3, 1)
    assert json.loads((tmp_path / "kb" / "stats.json").read_text())["folded_relations"] == 3


def test_which_of_two_inverse_relations_is_kept() -> None:
    folding = RelationFolding.of(
        {
            **{"b_of": "has_b", "has_b": "b_of", "inverse_q": "q_of", "x": "y", "y": "x", "self": "self"},
            **{"PAR": "CHD", "CHD": "PAR", "odd": "x", "eaten_by": "meal_of"},
        }
    )
    assert folding.turned["b_of"] == "has_b"
    assert folding.turned["inverse_q"] == "q_of"
    assert folding.turned["eaten_by"] == "meal_of"
    assert folding.turned["y"] == "x"
    assert folding.turned["PAR"] == "CHD"
    assert "odd" not in folding.turned
    assert {"self", "SIB", "RO"} <= folding.symmetric
    assert not folding.turned.keys() & set(folding.turned.values())


def test_shipped_inverses_fit_the_shipped_phrases() -> None:
    pairs = shipped_inverses()
    assert pairs["isa"] == "inverse_isa"
    said = {relation for relation, _ in read_relation_names(SHIPPED)}
    assert {"may_treat", "CHD", "RN", "has_part"} <= said
    assert len(set(pairs) | set(pairs.values())) == 2 * len(pairs) - sum(a == b for a, b in pairs.items())


def test_the_card_lists_sources_with_their_licences(tmp_path: Path) -> None:
    build_knowledge_base(
        [Source("HP", [("HP:1", "en", "Fever", 0)]), Source("DO", [("DO:1", "zh", "热", 0)])], tmp_path / "kb"
    )
    card = (tmp_path / "kb" / "README.md").read_text(encoding="utf-8")
    assert "| HP | CC0-1.0 | The HP \\| list | 2026 | 1 |" in card
    assert "UMLS" not in card
    header = yaml.safe_load(card.split("---")[1])
    assert [config["config_name"] for config in header["configs"]] == ["concepts", "names", "sources"]
    assert table(tmp_path / "kb", "sources") == [
        ("DO", "CC0-1.0", "The DO | list", "2026", "DO.obo", "ab12", 1),
        ("HP", "CC0-1.0", "The HP | list", "2026", "HP.obo", "ab12", 1),
    ]


def test_languages_that_are_missing_are_an_error_that_names_those_found(tmp_path: Path) -> None:
    source = Source("HP", [("HP:1", "en", "Fever", 0), ("HP:1", "zh", "热", 0)])
    with pytest.raises(InputError, match=r"HP\.obo: no name in language 'fr' \(French\); .* it found: zh"):
        build_knowledge_base([source], tmp_path / "kb", BuildSettings(("zh", "fr")))
    with pytest.raises(InputError, match=r"HP\.obo: no name that is kept"):
        build_knowledge_base([Source("HP", [])], tmp_path / "kb")
    assert list(tmp_path.iterdir()) == []


def release(folder: Path, atoms: int = 400, seed: int = 5) -> Path:
    """A release with names, ties, duplicates and inverse relations in no order at all."""
    draw = random.Random(seed)
    folder.mkdir()
    concept = lambda: f"C{draw.randrange(atoms // 4):07d}"  # noqa: E731
    with (folder / "MRCONSO.RRF").open("w", encoding="utf-8") as stream:
        for _ in range(atoms):
            language, name = draw.choice([("ENG", "name"), ("CHI", "名"), ("SPA", "nombre")])
            order = f"{draw.choice('PS')}|L|{draw.choice(['PF', 'VO'])}|S|{draw.choice('YN')}"
            stream.write(
                f"{concept()}|{language}|{order}|A||||S{draw.randrange(3)}|PT|X|{name} {draw.randrange(9)}|0|N||\n"
            )
    with (folder / "MRREL.RRF").open("w", encoding="utf-8") as stream:
        for number in range(atoms):
            one, two = concept(), concept()
            stream.write(f"{one}||CUI|RO|{two}||CUI|isa|R{number}||S0|S0|||N||\n")
            stream.write(f"{two}||CUI|RO|{one}||CUI|inverse_isa|R{number}||S0|S0|||N||\n")
    with (folder / "MRSTY.RRF").open("w", encoding="utf-8") as stream:
        for _ in range(atoms):
            stream.write(f"{concept()}|T{draw.randrange(9):03d}|A|Type|AT1||\n")
    return folder


def test_ranges_of_concepts_give_the_rows_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = release(tmp_path / "META")
    whole = build_from_umls(folder, tmp_path / "whole")
    monkeypatch.setattr(sorted_tables, "ROWS_AT_ONCE", 30)
    monkeypatch.setattr(sorted_tables, "SAMPLED_EVERY", 3)
    assert build_from_umls(folder, tmp_path / "parts") == whole
    for config in ("concepts", "names", "relations", "relation_names", "sources"):
        rows = table(tmp_path / "whole", config)
        assert rows == table(tmp_path / "parts", config)
        assert rows == sorted(rows, key=lambda row: [cell for cell in row if not isinstance(cell, bool)])
        assert len(rows) > 2
    build_from_umls(folder, tmp_path / "typed", UmlsOptions(semantic_types=("T001", "T002")))
    typed = {row[0] for row in table(tmp_path / "whole", "concepts") if {"T001", "T002"} & set(row[1])}  # type: ignore
    assert 0 < len(typed) < whole.concepts
    kept = [row for row in table(tmp_path / "whole", "names") if row[0] in typed]
    assert table(tmp_path / "typed", "names") == kept
    preferred = [row[:2] for row in table(tmp_path / "whole", "names") if row[3]]
    assert len(preferred) == len(set(preferred)) == len({row[:2] for row in table(tmp_path / "whole", "names")})
    assert whole.relations == {"isa": len(table(tmp_path / "whole", "relations"))}
    assert whole.folded_relations >= whole.relations["isa"]


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    folder = release(tmp_path / "META", atoms=3_000)
    script = (
        "import sys\n"
        "from kbioxlm.dataset_scripts.knowledge import sorted_tables, build\n"
        "sorted_tables.ROWS_AT_ONCE = 500\n"
        "build.build_from_umls(sys.argv[1], sys.argv[2])\n"
    )
    for threads in ("1", "2"):
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": threads}
        command = [sys.executable, "-c", script, str(folder), str(tmp_path / threads / "kb")]
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=tmp_path)
    one, two = (
        {str(path.relative_to(tmp_path / threads)): path.read_bytes() for path in (tmp_path / threads).rglob("*.*")}
        for threads in "12"
    )
    assert one == two
    assert len(one) == 7, "seven files, and no scratch is left"


def test_skipped_lines_stand_beside_the_output(tmp_path: Path) -> None:
    folder = release(tmp_path / "META")
    with (folder / "MRCONSO.RRF").open("ab") as stream:
        stream.write(b"C1|short\n")
    with pytest.raises(InputError, match=r"MRCONSO\.RRF:401: too few columns"):
        build_from_umls(folder, tmp_path / "kb", ALL_NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["META"]
    assert build_from_umls(folder, tmp_path / "kb", UmlsOptions(on_error="skip")).rejected_lines == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["META", "kb", "kb.rejects.tsv"]
    assert "\t401\t" in (tmp_path / "kb.rejects.tsv").read_text(encoding="utf-8")
