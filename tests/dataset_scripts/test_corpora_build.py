"""The corpora script, from files to a data set that loads."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.aligned_corpora import app, parse_max_chars, parse_slurm_options
from kbioxlm.dataset_scripts.corpora.build import build_corpora
from kbioxlm.dataset_scripts.corpora.readers import read_article_pairs
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings
from kbioxlm.dataset_scripts.corpora.statistics import CorporaStatistics
from kbioxlm.dataset_scripts.knowledge.build import build_from_umls

SCRIPT = Path(__file__).parents[2] / "dataset_scripts" / "aligned_corpora.py"
NAMES = {
    "C1": ("hypertension", "高血压"),
    "C2": ("losartan", "氯沙坦"),
    "C3": ("cough", "咳嗽"),
    "C4": ("fever", "发热"),
    "C5": ("asthma", "哮喘"),
}
TEXTS = [
    {
        "id": "en1",
        "lang": "en",
        "text": "Losartan treats hypertension. Cough follows in 1.5% of patients. Fever does not.",
    },
    {"id": "en2", "lang": "en", "text": "Asthma with cough and fever. Losartan treats hypertension. Cough is rare."},
    {"id": "zh1", "lang": "zh", "text": "氯沙坦治疗高血压，可有咳嗽。发热少见。"},
    {"id": "zh2", "lang": "zh", "text": "哮喘患者咳嗽，伴发热3天。"},
    {"id": "zh3", "lang": "zh", "text": "哮喘患者咳嗽，伴发热3天。"},
]
PAIRS = [
    {
        "id": f"p{number}",
        "en": f"Cough {number} comes. Then fever {number} comes.",
        "zh": f"先有咳嗽{number}。后有发热{number}。",
    }
    for number in range(4)
]


def json_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def knowledge_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kb")
    atoms = "".join(
        f"{concept}|{language}|P|L|PF|S|Y|A||||SRC|PT|X|{name}|0|N||\n"
        for concept, names in NAMES.items()
        for language, name in zip(("ENG", "CHI"), names, strict=True)
    )
    (folder / "MRCONSO.RRF").write_text(atoms, encoding="utf-8")
    (folder / "MRREL.RRF").write_text("C1||CUI|RO|C2||CUI|may_treat|R1||S|S|||N||\n")
    (folder / "MRSTY.RRF").write_text("C1|T047|B|Disease|AT1||\n")
    build_from_umls(folder, folder / "built")
    return folder / "built"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return json_lines(tmp_path / "text.jsonl", TEXTS)


SETTINGS = CorporaSettings(("en", "zh"), seed=7, max_chars={"en": 60, "zh": 20}, hold_out=1, translation_facts=True)


def build(knowledge_base: Path, text: Path, output: Path, settings: CorporaSettings = SETTINGS) -> CorporaStatistics:
    pairs = json_lines(output.parent / "pairs.jsonl", PAIRS)
    return build_corpora(knowledge_base, [text], output, settings, pairs)


def load(folder: Path, config: str, cache: Path) -> datasets.Dataset:
    return datasets.load_dataset(str(folder), config, split="train", cache_dir=str(cache))


def test_all_configs_load_with_the_same_features(knowledge_base: Path, text: Path, tmp_path: Path) -> None:
    statistics = build(knowledge_base, text, tmp_path / "out", replace(SETTINGS, hold_out=0))
    levels = {
        level: load(tmp_path / "out", level, tmp_path / "cache")
        for level in ("monolingual", "entity", "fact", "passage")
    }
    assert len({str(data.features) for data in levels.values()}) == 1
    for level, data in levels.items():
        assert len(data) == sum(statistics.levels[level].rows.values()) > 0
        assert set(data["level"]) == {level}
        for row in data:
            for entity in row["entities"]:
                source = row["text_pair"] if entity["in_pair"] else row["text"]
                name = source[entity["start"] : entity["end"]].lower()
                assert name == NAMES[entity["concept"]][("en", "zh").index(entity["language"])]
    assert set(levels["passage"]["passage_relation"]) == {"positive", "random", "context"}
    assert levels["monolingual"].unique("passage_relation") == [None]
    facts = [row for row in levels["fact"] if any(span["relation"] == "may_treat" for span in row["relations"])]
    assert {"氯沙坦可治疗高血压", "losartan may treat hypertension"} & {
        row["text_pair"].split("；")[0] for row in facts
    }


def test_the_held_out_concept_is_paired_nowhere(knowledge_base: Path, text: Path, tmp_path: Path) -> None:
    build(knowledge_base, text, tmp_path / "out")
    (held,) = load(tmp_path / "out", "held_out", tmp_path / "cache")
    assert set(held) == {"concept", "split", "source", "target", "source_language", "target_language"}
    assert (held["source"], held["target"]) == NAMES[held["concept"]]
    for level in ("entity", "fact"):
        for row in load(tmp_path / "out", level, tmp_path / "cache"):
            told = [entity for entity in row["entities"] if entity["replaced"] or entity["in_pair"]]
            assert held["concept"] not in {entity["concept"] for entity in told}


def test_repeated_segments_are_left_out(knowledge_base: Path, text: Path, tmp_path: Path) -> None:
    statistics = build(knowledge_base, text, tmp_path / "out")
    assert statistics.documents == {"en": 2, "zh": 3}
    assert statistics.repeated_segments == 1
    written = json.loads((tmp_path / "out" / "stats.json").read_text(encoding="utf-8"))
    assert written == statistics.as_dict()
    segments = load(tmp_path / "out", "monolingual", tmp_path / "cache")
    assert [row["id"] for row in segments] == ["en1/0", "en1/1", "en2/0", "en2/1", "zh1/0", "zh2/0"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "left out were 1 segments as repetitions" in card
    assert "| monolingual | en | 4 |" in card


def test_the_same_seed_gives_the_same_bytes(knowledge_base: Path, text: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        build(knowledge_base, text, folder, replace(SETTINGS, seed=seed))
    one, two, three = (
        {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        for folder in folders
    )
    assert one == two
    assert one.keys() == three.keys()
    assert one["passage/part-00000.parquet"] != three["passage/part-00000.parquet"]


def test_a_level_without_rows_is_not_a_config(knowledge_base: Path, text: Path, tmp_path: Path) -> None:
    build_corpora(knowledge_base, [text], tmp_path / "out", CorporaSettings(("en", "zh")))
    names = datasets.get_dataset_config_names(str(tmp_path / "out"))
    assert names == ["monolingual", "entity", "fact"]
    with pytest.raises(ValueError, match=r"BuilderConfig 'passage' not found. Available: \['monolingual', 'entity'"):
        load(tmp_path / "out", "passage", tmp_path / "cache")
    assert pq.read_table(tmp_path / "out" / "passage").num_rows == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["no object"]\n', r"text\.jsonl:1: not a JSON object: \['no object'\]"),
        ('{"id": "a", "lang": "en"}\n', r"text\.jsonl:1: no 'text' in"),
        ('{"text": 3, "lang": "en"}\n', r"text\.jsonl:1: 'text' is not a text: 3"),
        ('{"text": "x"}\n', r"text\.jsonl:1: no 'lang' beside 'x'; add it, or say --language"),
        ('{"text": "x", "lang": "fr"}\n', r"text\.jsonl:1: language 'fr' is not one of en,zh"),
        ('{"text": "x", "lang": "en"}\n{"text": \n', r"text\.jsonl:2: not JSON"),
        ('{"text": " ", "lang": "en"}\n', r"text\.jsonl: no text in any object"),
        ("", r"text\.jsonl: the file is empty"),
    ],
)
def test_bad_texts_are_one_error_and_leave_nothing(
    knowledge_base: Path, tmp_path: Path, content: str, message: str
) -> None:
    text = tmp_path / "text.jsonl"
    text.write_text(content)
    with pytest.raises(InputError, match=message):
        build_corpora(knowledge_base, [text], tmp_path / "out", CorporaSettings(("en", "zh")))
    assert [path.name for path in tmp_path.iterdir()] == ["text.jsonl"]


def test_an_earlier_data_set_survives_an_error(knowledge_base: Path, text: Path, tmp_path: Path) -> None:
    build(knowledge_base, text, tmp_path / "out")
    before = (tmp_path / "out" / "stats.json").read_bytes()
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(gzip.compress(text.read_bytes() * 9)[:-12])
    with pytest.raises(InputError, match=r"broken\.jsonl\.gz: the gzip data breaks off"):
        build(knowledge_base, broken, tmp_path / "out")
    assert (tmp_path / "out" / "stats.json").read_bytes() == before
    with pytest.raises(InputError, match=r"gone\.jsonl: no such file"):
        build(knowledge_base, tmp_path / "gone.jsonl", tmp_path / "out")


def test_the_authors_pairs_are_told_apart_by_script(tmp_path: Path) -> None:
    path = json_lines(tmp_path / "pairs.jsonl", [{"sent1": "咳嗽 cough", "sent2": "a cough", "label": "link"}])
    (pair,) = read_article_pairs(path, ("en", "zh"))
    assert pair.texts == {"en": "a cough", "zh": "咳嗽 cough"}
    with pytest.raises(InputError, match=r"pairs\.jsonl:1: 'sent1' and 'sent2' do not say which of en,es"):
        list(read_article_pairs(path, ("en", "es")))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"sent1": "one", "sent2": "two"}, r":1: 'sent1' and 'sent2' have the same share of Han characters \(0%, 0%\)"),
        ({"sent1": "one", "sent2": None}, r":1: 'sent2' is not a text: None"),
        ({"id": "a", "en": "one"}, r":1: keys \['id', 'en'\] hold fewer than two of the languages en,zh"),
    ],
)
def test_bad_pairs_are_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_article_pairs(json_lines(tmp_path / "pairs.jsonl", [row]), ("en", "zh")))


def test_budgets_are_read() -> None:
    assert parse_max_chars("en=200,zh=80", ("en", "zh")) == {"en": 200, "zh": 80}
    assert parse_max_chars(None, ("en", "zh")) == {}
    assert CorporaSettings(("en", "zh", "es"), max_chars={"es": 90}).budgets() == {"en": 400, "zh": 150, "es": 90}
    for value in ("en", "fr=100", "en=5", "en=many"):
        with pytest.raises(InputError, match="--max-chars: cannot use"):
            parse_max_chars(value, ("en", "zh"))


def test_options_of_slurm_are_read() -> None:
    assert parse_slurm_options(["account=lab", "--qos=a=b"]) == {"account": "lab", "qos": "a=b"}
    with pytest.raises(InputError, match="--slurm-option: cannot use 'account'; write KEY=VALUE"):
        parse_slurm_options(["account"])


def test_the_command_builds(knowledge_base: Path, tmp_path: Path) -> None:
    text = json_lines(tmp_path / "text.jsonl", [{"text": row["text"]} for row in TEXTS if row["lang"] == "en"])
    arguments = ["build", "--knowledge-base", str(knowledge_base), "--text", str(text), "--language", "en"]
    arguments += ["--workers", "1"]
    done = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "out"), "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert "0 concepts held out" in done.stderr
    assert "Seed 3." in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    named = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "out"), "--push-to-hub", "a b"])
    assert isinstance(named.exception, InputError)
    assert "--push-to-hub" in str(named.exception)
    refused = CliRunner().invoke(app, [*arguments, "--language", "fr", "--output", str(tmp_path / "out")])
    assert isinstance(refused.exception, InputError)
    assert "--language: 'fr' is not one of en,zh" in str(refused.exception)


def test_a_missing_language_is_one_line_and_exit_code_2(knowledge_base: Path, text: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "build", "--knowledge-base", str(knowledge_base), "--text", str(text)]
    done = subprocess.run(
        [*command, "--languages", "en,es", "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if not line.startswith(("compile:", "\r"))][-1:] == [
        f"error: {knowledge_base}: no names in language 'es'; "
        "build it with that language, or ask for others; it has en,zh"
    ]
    assert not (tmp_path / "out").exists()
