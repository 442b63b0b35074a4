"""Parts of the Space by themselves."""

from __future__ import annotations

import ast
import re
import string
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kbioxlm.spaces.space.alignment import aligned
from kbioxlm.spaces.space.batch import documents_of
from kbioxlm.spaces.space.display import marked, named_alike, percent, safe, table
from kbioxlm.spaces.space.examples import EXAMPLES
from kbioxlm.spaces.space.knowledge import KnowledgeBase, agreed
from kbioxlm.spaces.space.refusal import RefusedError
from kbioxlm.spaces.space.settings import NUMBERS, Settings
from kbioxlm.spaces.space.texts import TEXTS, say
from kbioxlm.tests.spaces.conftest import ROOT, SPACES

SETTINGS = Settings.read({"KBIOXLM_MAX_CHARACTERS": "40", "KBIOXLM_MAX_DOCUMENTS": "3", "KBIOXLM_MAX_UPLOAD": "500"})


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str, str | bytes], list[dict[str, Any]]]:
    """Reads a file of the given ending and content."""

    def work(suffix: str, content: str | bytes) -> list[dict[str, Any]]:
        path = tmp_path / f"texts{suffix}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return documents_of(path, SETTINGS)

    return work


def test_a_text_file_has_a_document_a_line(read: Callable[..., Any]) -> None:
    assert read(".txt", b"\xef\xbb\xbfone\r\n\n  \ntwo\n") == [{"id": "1", "text": "one"}, {"id": "4", "text": "two"}]


def test_json_lines(read: Callable[..., Any]) -> None:
    found = read(".JSONL", '{"id": 3, "text": "a\\nb", "x": 1}\n\n{"id": "b", "text": "\\ud83d"}')
    assert found == [{"id": "3", "text": "a\nb"}, {"id": "b", "text": "\ufffd"}]


def test_pubtator(read: Callable[..., Any]) -> None:
    content = "12|t|A | b\n12|a|c\n12\t0\t1\tA\tChemical\tC1\n\n13|t|d\n13|a|\n"
    assert read(".pubtator", content) == [{"id": "12", "text": "A | b\nc"}, {"id": "13", "text": "d"}]


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        (".pdf", "a", "Files of this kind are not read"),
        (".txt", "a\n" * 251, "502 bytes; at most 500"),
        (".txt", "a\nb\n\nc\nd\n", "line 5: more than 3 documents"),
        (".txt", "a\n" + "b" * 41, "line 2: a document of 41 characters; at most 40"),
        (".jsonl", '{"id": "1", "text": "a"}\n{"id": 1, "text": "b"}', "line 2: a second document with the id '1'"),
        (".jsonl", '{"id": true, "text": "a"}', 'line 1: no "id"'),
        (".jsonl", '{"id": "1", "text": 4}', 'line 1: no "text"'),
        (".jsonl", '{"id": "1", "text": "a"', "line 1: not a JSON object"),
        (".jsonl", '["id"]', "line 1: not a JSON object"),
        (".pubtator", "1|t|a\n1|a|b\nnonsense\n", "line 3: not PubTator"),
        (".pubtator", "1|a|b\n", "line 1: not PubTator"),
        (".pubtator", "1|t|a\n2|a|b\n", "line 2: not PubTator"),
        (".txt", b"ok\nab\xff\n", "line 2: not UTF-8"),
        (".txt", b"ok\nok\na\0b\n", "line 3: this is not a text file"),
        (".txt", "", "There is no document"),
    ],
)
def test_bad_files_name_their_line(read: Callable[..., Any], suffix: str, content: str | bytes, said: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(said)) as caught:
        read(suffix, content)
    assert caught.value.said("zh") != caught.value.said("en")


@given(text=st.text(st.characters(codec="utf-8"), max_size=60))
def test_no_text_becomes_markup(text: str) -> None:
    drawn = safe(text)
    assert set(re.findall(r"<[^>]*>", drawn)) <= {'<span class="hidden-mark">', "</span>"}
    plain = unescape(re.sub(r'<span class="hidden-mark">U\+(\w+)</span>', lambda m: f"\ue000{m[1]}\ue000", drawn))
    assert re.sub("\ue000(\\w+)\ue000", lambda m: chr(int(m[1], 16)), plain) == text or "\ue000" in text


def test_marks_nobody_sees_are_shown() -> None:
    assert safe("a\u202eb") == 'a<span class="hidden-mark">U+202E</span>b'
    assert safe("👩\u200d👧\n<b>") == "👩\u200d👧\n&lt;b&gt;"


def test_entities_say_their_type_and_confidence_in_words() -> None:
    text = "take <i>aspirin</i>"
    entity = {"entity_group": "Chemical", "score": 0.9999, "word": "<i>aspirin", "start": 5, "end": 15}
    drawn = marked(text, [entity], ["Chemical", "Disease"], "A", "en")
    assert re.sub("<[^>]*>", "", drawn) == "take &lt;i&gt;aspirinA1 Chemical 99%&lt;/i&gt;"
    assert "化学物质 99%" in marked(text, [entity], ["Chemical"], "A", "zh")
    assert percent(1.0) == "100%"


def test_a_table_has_its_heads_in_every_cell() -> None:
    assert table(["column_words"], [["x"]], "zh").count("文本") == 2


def entity(word: str, label: str = "Chemical") -> dict[str, Any]:
    return {"word": word, "entity_group": label}


def test_mentions_of_a_concept_stand_together() -> None:
    nausea = {"concepts": [{"concept": "1"}]}
    first = [{**entity("nausea"), **nausea}, {**entity("Other"), "concepts": []}, {**entity("Nausea"), **nausea}]
    second = [{**entity("恶心"), **nausea}, {**entity("other "), "concepts": []}]
    groups = named_alike({"entities": first, "parallel_entities": second})
    assert [[name for name, _ in group] for group in groups] == [["A1", "A3", "B1"], ["A2", "B2"]]


def test_alignment_prefers_concepts_to_vectors_and_is_one_to_one() -> None:
    first = [entity("a"), entity("b"), entity("c"), entity("d", "Disease")]
    second = [entity("B"), entity("A"), entity("C"), entity("D")]
    concepts = {"a": {"1"}, "A": {"1"}, "b": {"2"}, "B": {"3"}}
    similarities = torch.tensor(
        [[0.9, 0.45, 0.9, 0.9], [0.9, 0.9, 0.5, 0.1], [0.1, 0.1, 0.6, 0.1], [0.1, 0.1, 0.1, 0.9]]
    )
    pairs = aligned(first, second, lambda one: frozenset(concepts.get(one["word"], ())), similarities)
    # a and A are one concept; b and B are two; c and C are most alike; d is of another type than D
    assert [(pair.first, pair.second, pair.by) for pair in pairs] == [(0, 1, "concept"), (2, 2, "similarity")]
    twice = [entity("a"), entity("A")]
    mentions = aligned(twice, twice, lambda one: frozenset("1"), torch.eye(2).flip(0))
    assert [(pair.first, pair.second) for pair in mentions] == [(0, 0), (1, 1)]
    assert aligned(first, [], lambda one: frozenset(), torch.zeros(4, 0)) == []


def test_the_knowledge_base_says_what_is_ambiguous(tmp_path: Path) -> None:
    source = tmp_path / "two.tsv"
    rows = [
        ("C1", "en", "Cold", "yes"), ("C1", "zh", "感冒", "yes"), ("C2", "en", "cold", "yes"),
        ("C2", "en", "low  temperature", "no"), ("C2", "zh", "冷", "yes"),
    ]  # fmt: skip
    lines = ["concept\tlanguage\tname\tpreferred\tlicense", *("\t".join((*row, "CC0-1.0")) for row in rows)]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "dataset_scripts/knowledge_base.py", "build", "--source", str(source)]
    subprocess.run([*command, "--output", str(tmp_path / "kb")], cwd=ROOT, check=True, capture_output=True)
    knowledge = KnowledgeBase(str(tmp_path / "kb"))
    both = knowledge.find("COLD")
    assert [concept.id for concept in both] == ["C1", "C2"]
    assert agreed(both) == ""
    [one] = knowledge.find(" Low temperature ")
    assert one.told() == {
        "concept": "C2", "names": {"en": "cold", "zh": "冷"}, "sources": [{"source": "two", "license": "CC0-1.0"}],
    }  # fmt: skip
    assert knowledge.find("col") == []


def test_what_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="KBIOXLM_MAX_UPLOAD=2MB: give a whole number"):
        Settings.read({"KBIOXLM_MAX_UPLOAD": "2MB"})
    with pytest.raises(RefusedError, match="no knowledge base can be read there"):
        KnowledgeBase(str(tmp_path))
    environment = {"PATH": "", "HF_HUB_OFFLINE": "1", "KBIOXLM_MODEL": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, str(SPACES / "app.py")], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}: no biomedical-ner model can be loaded there")
    assert list(tmp_path.iterdir()) == []


def test_both_languages_say_everything() -> None:
    for key, (english, chinese) in TEXTS.items():
        fields = [
            Counter(name for _, name, _, _ in string.Formatter().parse(text) if name) for text in (english, chinese)
        ]
        assert fields[0] == fields[1], key
        assert re.search("[\u4e00-\u9fff]", chinese) or not re.search(r"[A-Za-z]", english), key
    assert {f"example_{name.partition('_')[2]}" for name in EXAMPLES} <= set(TEXTS)
    assert say("fr", "find") == "Find entities"


def test_the_space_stands_alone() -> None:
    for path in SPACES.rglob("*.py"):
        if "models" in path.relative_to(SPACES).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert not any(name.split(".")[0] == "kbioxlm" for name in names), path


def test_card_and_requirements_say_what_is_there() -> None:
    readme = (SPACES / "README.md").read_text(encoding="utf-8")
    card = yaml.safe_load(readme.split("---")[1])
    requirements = dict(
        line.split("==") for line in (SPACES / "requirements.txt").read_text().splitlines() if "==" in line
    )
    tested: dict[str, str] = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        tested |= dict(line.split("==") for line in (ROOT / name).read_text().splitlines() if "==" in line)
    assert card["sdk_version"] == requirements["gradio"]
    assert (SPACES / card["app_file"]).is_file()
    assert len(card["short_description"]) <= 60
    assert requirements == {name: tested[name] for name in requirements}
    for name, value in NUMBERS.items():
        assert f"| `{name}` | {value} |" in readme


def test_the_knowledge_base_is_made_of_the_sample(tmp_path: Path) -> None:
    command = [sys.executable, str(SPACES / "make_knowledge_base.py"), str(tmp_path / "kb")]
    subprocess.run(command, check=True, capture_output=True)
    made, shipped = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "kb", SPACES / "knowledge_base")
    )
    assert made == shipped
    assert sum(map(len, shipped.values())) < 100_000
