"""knowledge_base.py and aligned_corpora.py as a user meets them: what the options do, and one-line errors."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts import aligned_corpora, knowledge_base
from kbioxlm.dataset_scripts.aligned_corpora import parse_dumps

OPEN = Path(__file__).parents[1] / "data" / "open_sources"
UMLS = Path(__file__).parents[2] / "sample" / "umls"


def call(module: Any, *arguments: object) -> Result:
    return CliRunner().invoke(module.app, [str(argument) for argument in arguments])


def error_of(result: Result) -> str:
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def names_of(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "names" / "*.parquet")


@pytest.mark.parametrize(
    ("module", "commands"),
    [(knowledge_base, ["build", "translate"]), (aligned_corpora, ["build", "articles", "back-translate"])],
)
def test_every_command_has_help(module: Any, commands: list[str]) -> None:
    for command in commands:
        result = call(module, command, "--help")
        assert result.exit_code == 0
        assert "--output" in result.output


def test_open_sources_alone_and_beside_a_umls(tmp_path: Path) -> None:
    sources = ["--source", OPEN / "complaints.obo", "--source", OPEN / "complaints.babelon.tsv"]
    result = call(knowledge_base, "build", *sources, "--languages", "en,zh", "--output", tmp_path / "open")
    assert result.exit_code == 0, result.output
    alone = names_of(tmp_path / "open")
    assert set(alone["language"]) == {"en", "zh"}
    assert alone.filter(pl.col("license") == "").is_empty()
    listed = pl.read_parquet(tmp_path / "open" / "sources" / "*.parquet")
    assert set(listed["source"]) == set(alone["source"])
    assert all(len(digest) == 64 for digest in listed["sha256"])

    result = call(
        knowledge_base, "build", "--umls", UMLS, *sources, "--languages", "en,zh", "--output", tmp_path / "two"
    )
    assert result.exit_code == 0, result.output
    both = names_of(tmp_path / "two")
    assert set(alone["source"]) < set(both["source"])
    card = (tmp_path / "two" / "README.md").read_text(encoding="utf-8")
    assert all(licence in card for licence in listed["license"])


def test_licences_on_the_command_line(tmp_path: Path) -> None:
    table = tmp_path / "own.tsv"
    table.write_text("concept\tlanguage\tname\nA:1\ten\tfever\nA:1\tzh\t发热\n", encoding="utf-8")
    build = ["build", "--source", table, "--output", tmp_path / "kb"]
    assert "licence" in error_of(call(knowledge_base, *build))
    for value in ("CC0-1.0", "other.tsv=CC0-1.0", "own.tsv="):
        assert error_of(call(knowledge_base, *build, "--license", value)) == (
            f"--license: cannot use {value!r}; write FILE=LICENSE, FILE one of --source"
        )
    assert not (tmp_path / "kb").exists()
    assert call(knowledge_base, *build, "--license", "own.tsv=CC0-1.0").exit_code == 0
    assert set(names_of(tmp_path / "kb")["license"]) == {"CC0-1.0"}


def test_options_of_a_umls(tmp_path: Path) -> None:
    build = ["build", "--umls", UMLS, "--output", tmp_path / "kb"]
    assert "at least one source" in error_of(call(knowledge_base, "build", "--output", tmp_path / "kb"))
    assert "NOSUCH" in error_of(call(knowledge_base, *build, "--vocabularies", "NOSUCH"))
    assert "T999" in error_of(call(knowledge_base, *build, "--semantic-types", "T999"))
    assert "give some of O, E, Y" in error_of(call(knowledge_base, *build, "--suppressible", "X"))
    assert call(knowledge_base, *build, "--on-error", "sometimes").exit_code == 2


def test_bad_lines_are_listed_on_request(tmp_path: Path) -> None:
    folder = tmp_path / "umls"
    folder.mkdir()
    for file in UMLS.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    names = folder / "MRCONSO.RRF"
    names.write_text("C1|ENG|only three\n" + names.read_text(encoding="utf-8"), encoding="utf-8")
    build = ["build", "--umls", folder, "--output", tmp_path / "kb"]
    assert "MRCONSO.RRF:1: too few columns, 3 instead of 18" in error_of(call(knowledge_base, *build))
    assert call(knowledge_base, *build, "--on-error", "skip").exit_code == 0
    [rejected] = csv.DictReader((tmp_path / "kb.rejects.tsv").open(encoding="utf-8"), delimiter="\t")
    assert rejected["line"] == "1"
    assert "too few columns" in rejected["reason"]


@pytest.fixture
def translators(tmp_path: Path) -> Path:
    """Two lexicons that agree on fever and differ on cough."""
    for name, cough in (("first", "咳嗽"), ("second", "咳")):
        rows = ["source_language\ttarget_language\tsource\ttarget", "en\tzh\tfever\t发热", f"en\tzh\tcough\t{cough}"]
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    path = tmp_path / "translators.yaml"
    path.write_text(
        "translators:\n"
        + "".join(f"  - {{kind: lexicon, file: {tmp_path / name}.tsv}}\n" for name in ("first", "second")),
        encoding="utf-8",
    )
    return path


def test_translation_review_and_decision(tmp_path: Path, translators: Path) -> None:
    table = tmp_path / "own.tsv"
    table.write_text("concept\tlanguage\tname\nA:1\ten\tfever\nA:2\ten\tcough\nA:3\tzh\t水肿\n", encoding="utf-8")
    build = ["build", "--source", table, "--license", "own.tsv=CC0-1.0", "--output", tmp_path / "kb"]
    assert call(knowledge_base, *build).exit_code == 0
    review = tmp_path / "review.tsv"
    translate = [
        "translate", "--knowledge-base", tmp_path / "kb", "--source", "en", "--target", "zh",
        "--translators", translators, "--review", review, "--output", tmp_path / "translated",
    ]  # fmt: skip
    result = call(knowledge_base, *translate)
    assert result.exit_code == 0, result.output
    assert "2 asked, 1 agreed" in result.output
    assert f"open ones are in {review}" in result.output
    added = names_of(tmp_path / "translated").filter(pl.col("term_type") == "MT")
    assert added["name"].to_list() == ["发热"]

    review.write_text(review.read_text(encoding="utf-8").replace("\t\t\n", "\t1\t\n"), encoding="utf-8")
    assert call(knowledge_base, *translate).exit_code == 0
    reviewed = names_of(tmp_path / "translated").filter(pl.col("term_type") == "MT-reviewed")
    assert reviewed["name"].to_list() == ["咳嗽"]


def test_one_translator_is_not_enough(tmp_path: Path, translators: Path) -> None:
    lines = translators.read_text(encoding="utf-8").splitlines()
    translators.write_text("\n".join(lines[:2]) + "\n", encoding="utf-8")
    translate = [
        "translate", "--knowledge-base", tmp_path, "--source", "en", "--target", "zh", "--translators", translators,
        "--review", tmp_path / "review.tsv", "--output", tmp_path / "translated",
    ]  # fmt: skip
    assert "lists 1 translators; list two" in error_of(call(knowledge_base, *translate))


def test_dumps_are_named_by_language(tmp_path: Path) -> None:
    assert parse_dumps(["en=a", "zh=b/c"]) == (("en", Path("a")), ("zh", Path("b/c")))
    for value, message in (
        ("en", "write LANGUAGE=FOLDER"),
        ("en=", "write LANGUAGE=FOLDER"),
        ("xx=a", "unknown language"),
    ):
        with pytest.raises(InputError, match=message):
            parse_dumps([value])
    articles = ["articles", "--dump", f"en={tmp_path}", "--output", tmp_path / "out"]
    assert "give two or more" in error_of(call(aligned_corpora, *articles))
    assert "page.sql" in error_of(call(aligned_corpora, *articles, "--dump", f"zh={tmp_path}"))
