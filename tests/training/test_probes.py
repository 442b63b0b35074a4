from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.folder import write_benchmarks
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, read_iob
from kbioxlm.dataset_scripts.benchmarks.published import Split
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.evaluation.probes import (
    held_out_pairs,
    masked_name_translation,
    name_retrieval,
    parallel_pairs,
    parallel_sources,
    seen_pairs,
    sentence_retrieval,
)
from kbioxlm.training.evaluation.retrieval import embed, precision_at_1
from kbioxlm.training.finetuning.ner import NerData

NAMES = [("aspirin", "阿司匹林"), ("heparin", "肝素"), ("lithium", "锂"), ("morphine", "吗啡"), ("nausea", "恶心")]


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> Any:
    """Model and tokenizer of the tiny checkpoint."""
    model = KBioXLMForPreTraining.from_pretrained(checkpoint)
    return model, AutoTokenizer.from_pretrained(checkpoint, config=model.config)


def test_a_text_is_the_mean_of_its_pieces(encoder: tuple[Any, Any]) -> None:
    model, tokenizer = encoder
    texts = ["took aspirin", "锂", "the patient had fever"]
    embedded = embed(model, tokenizer, texts, batch_size=2)
    assert embedded.shape == (3, 3, 32)
    model.eval()
    for i, text in enumerate(texts):
        with torch.no_grad():
            states = model.roberta(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        for layer, state in enumerate(states):
            torch.testing.assert_close(embedded[layer, i], state[0, 1:-1].mean(0), rtol=1e-4, atol=1e-5)


def test_vectors_in_bfloat16_are_those_of_float32_rounded(encoder: tuple[Any, Any]) -> None:
    model, tokenizer = encoder
    texts = ["took aspirin", "锂", "the patient had fever"]
    exact, coarse = (embed(model, tokenizer, texts, bf16=bf16) for bf16 in (False, True))
    assert coarse.dtype == torch.float32
    assert not torch.equal(exact, coarse)
    torch.testing.assert_close(coarse, exact, rtol=0.05, atol=0.05)


def test_long_text_is_read_in_parts(encoder: tuple[Any, Any]) -> None:
    model, tokenizer = encoder
    text = "the patient took aspirin and had fever . " * 12
    pieces = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(pieces) > 120
    parts = [pieces[i : i + 18] for i in range(0, len(pieces), 18)]
    model.eval()
    with torch.no_grad():
        states = [
            model.roberta(torch.tensor([[0, *part, 2]]), output_hidden_states=True).hidden_states[2][0, 1:-1]
            for part in parts
        ]
    embedded = embed(model, tokenizer, [text], max_length=20)[2, 0]
    torch.testing.assert_close(embedded, torch.cat(states).mean(0), rtol=1e-4, atol=1e-5)
    # longer windows than the model has positions are shortened to fit it
    torch.testing.assert_close(
        embed(model, tokenizer, [text], max_length=500), embed(model, tokenizer, [text], max_length=62)
    )


def test_precision_at_1() -> None:
    left = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.2]])
    assert precision_at_1(left, 3 * left) == (100.0, 100.0)
    right = torch.tensor([[0.9, 0.1], [1.0, 0.05], [1.0, 1.0], [-1.0, 0.0]])
    forward, backward = precision_at_1(left, right)
    # the first asks and finds the second's, the second finds the third's
    assert (forward, backward) == (50.0, 75.0)


def test_names_that_are_the_same_find_each_other(encoder: tuple[Any, Any]) -> None:
    same = [(english, english) for english, _ in NAMES]
    result = name_retrieval(*encoder, same, same[:2])
    assert (result["value"], result["forward"], result["backward"], result["layer"]) == (100, 100, 100, 0)
    assert (result["n"], result["n_dev"], result["chance"]) == (5, 2, 20)
    assert result["centred"]["value"] == 100


def test_the_layer_is_chosen_on_dev(encoder: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from kbioxlm.training.evaluation import retrieval

    def planted(model: Any, tokenizer: Any, texts: list[str], *_: Any) -> torch.Tensor:
        # layer 1 aligns dev ("d…"), layer 2 aligns test: the worse one must be reported
        numbers = torch.tensor([int(text[1:]) for text in texts])
        right, wrong = torch.eye(4)[numbers], torch.eye(4)[(numbers + len(texts[0]) % 2) % 4]
        is_dev = texts[0].startswith("d")
        return torch.stack([wrong, right if is_dev else wrong, wrong if is_dev else right])

    monkeypatch.setattr(retrieval, "embed", planted)
    dev = [(f"d{i}", f"d0{i}") for i in range(4)]
    test = [(f"t{i}", f"t0{i}") for i in range(4)]
    result = name_retrieval(*encoder, test, dev)
    assert (result["layer"], result["value"]) == (1, 0)
    assert name_retrieval(*encoder, dev, dev)["value"] == 100


def test_centring_removes_a_language_offset(encoder: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from kbioxlm.training.evaluation import retrieval

    def planted(model: Any, tokenizer: Any, texts: list[str], *_: Any) -> torch.Tensor:
        vectors = torch.eye(4)[torch.arange(len(texts))]
        offset = torch.tensor([0.0, 0.0, 0.0, 5.0]) if texts[0].startswith("zh") else 0.0
        return (vectors + offset).unsqueeze(0)

    monkeypatch.setattr(retrieval, "embed", planted)
    pairs = [(f"en{i}", f"zh{i}") for i in range(4)]
    result = sentence_retrieval(*encoder, pairs, pairs)
    assert result["value"] < 100
    assert result["centred"] == {"value": 100, "forward": 100, "backward": 100, "layer": 0}


def test_probes_leave_the_model_in_its_mode(encoder: tuple[Any, Any]) -> None:
    model, tokenizer = encoder
    model.train()
    name_retrieval(model, tokenizer, NAMES, NAMES[:2])
    masked_name_translation(model, tokenizer, NAMES)
    assert model.training
    assert model.roberta.training
    model.eval()


def test_no_pairs(encoder: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match="no test pairs to retrieve"):
        name_retrieval(*encoder, [], NAMES)
    with pytest.raises(InputError, match="no dev pairs to retrieve"):
        name_retrieval(*encoder, NAMES, [])
    with pytest.raises(InputError, match="no names to mask; give pairs of names"):
        masked_name_translation(*encoder, [])


def test_masked_names_by_hand(encoder: tuple[Any, Any]) -> None:
    model, tokenizer = encoder
    result = masked_name_translation(model, tokenizer, NAMES, batch_size=2)
    right, whole, pieces = 0, 0, 0
    space = tokenizer.convert_tokens_to_ids("▁")
    for source, target in NAMES:
        source_ids = tokenizer(source, add_special_tokens=False)["input_ids"]
        target_ids = tokenizer(target, add_special_tokens=False)["input_ids"]
        masked = [i if i == space else tokenizer.mask_token_id for i in target_ids]
        ids = torch.tensor([[0, *source_ids, 2, 2, *masked, 2]])
        with torch.no_grad():
            best = model(ids).prediction_logits[0, len(source_ids) + 3 : -1].argmax(-1).tolist()
        hits = [guess == wanted for guess, wanted in zip(best, target_ids, strict=True) if wanted != space]
        right, whole, pieces = right + sum(hits), whole + all(hits), pieces + len(hits)
    assert result["pieces"] == pieces == 9  # 阿司 匹林, 肝 素, 锂, 吗 啡, 恶 心
    assert result["value"] == pytest.approx(100 * right / pieces, abs=1e-3)
    assert result["names"] == pytest.approx(100 * whole / 5, abs=1e-3)
    assert (result["n"], result["chance"]) == (5, round(100 / len(tokenizer), 4))


def test_a_head_that_always_says_the_same(encoder: tuple[Any, Any], checkpoint: Path) -> None:
    model = KBioXLMForPreTraining.from_pretrained(checkpoint)
    tokenizer = encoder[1]
    lithium = tokenizer.convert_tokens_to_ids("锂")
    model.reduce_mlm_head(torch.tensor([lithium, *range(5, 9)]))
    with torch.no_grad():
        model.lm_head.bias.zero_()
        model.lm_head.bias[model.lm_head.rows(torch.tensor(lithium))] = 1e4
    result = masked_name_translation(model, tokenizer, [("lithium", "锂"), ("nausea", "恶心")])
    # 恶 and 心 have no row in the reduced head: wrong, not left out
    assert (result["value"], result["names"], result["pieces"]) == (pytest.approx(33.3333), 50, 3)
    assert result["shuffled"] == result["value"]
    assert result["chance"] == 20


def test_too_long_names(encoder: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match=r"a pair of names has \d+ pieces, more than the model's positions"):
        masked_name_translation(*encoder, [("aspirin " * 30, "锂" * 30)])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A knowledge base and a corpora folder that holds out K1 and K2."""
    names = [
        *[("K1", "en", "lithium", True), ("K1", "zh", "锂", True), ("K2", "en", "heparin", True)],
        *[("K3", "en", "aspirin", True), ("K3", "en", "ASA", False), ("K3", "zh", "阿司匹林", True)],
        *[("K4", "en", "CT", True), ("K4", "zh", "ct", True), ("K5", "en", "nausea", True), ("K5", "zh", "恶心", True)],
        *[("K6", "en", "fever", True), ("K6", "zh", "发热", False)],
    ]
    held_out = [("K1", "test", "lithium", "锂"), ("K2", "dev", "heparin", "肝素")]
    (tmp_path / "kb" / "names").mkdir(parents=True)
    (tmp_path / "corpora" / "held_out").mkdir(parents=True)
    columns = ("concept", "language", "name", "preferred")
    table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in names])
    pq.write_table(table, tmp_path / "kb" / "names" / "part.parquet")
    columns = ("concept", "split", "source", "target")
    table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in held_out])
    pq.write_table(table, tmp_path / "corpora" / "held_out" / "part.parquet")
    return tmp_path / "kb", tmp_path / "corpora"


def test_pairs_of_names(folders: tuple[Path, Path]) -> None:
    knowledge_base, corpora = folders
    assert held_out_pairs(corpora) == ([("lithium", "锂")], [("heparin", "肝素")])
    seen = seen_pairs(knowledge_base, corpora, ("en", "zh"), 10, seed=1)
    assert seen == [("aspirin", "阿司匹林"), ("nausea", "恶心")]
    assert seen_pairs(knowledge_base, corpora, ("zh", "en"), 1, seed=1)[0] in [(b, a) for a, b in seen]
    with pytest.raises(InputError, match="no concept is named in both en and fr; add names"):
        seen_pairs(knowledge_base, corpora, ("en", "fr"), 10, seed=1)
    with pytest.raises(InputError, match="no held_out"):
        held_out_pairs(knowledge_base)


def documents(language: str, **texts: str) -> NerData:
    parts = [(d, n, t) for d, text in texts.items() for n, t in enumerate(text.split("|"))]
    sentences = tuple(Sentence(f"{d}/{n}", d, t, (), (), language) for d, n, t in parts)
    return NerData(language, "b", sentences)


def test_parallel_documents() -> None:
    english = documents("en", a="one|two", b="same", c="same", d="four")
    chinese = documents("zh", d="四", a="一|二", b="二二", c="三", e="五")
    assert parallel_pairs(english, chinese) == [("one two", "一二"), ("four", "四")]
    with pytest.raises(InputError, match="zh: no document in common with en; name parallel sources"):
        parallel_pairs(english, documents("zh", z="九"))


def test_parallel_sources_with_splits(tmp_path: Path, ner_files: dict[str, Path]) -> None:
    splits = []
    for language in ("en", "zh"):
        for name, first, count in (("train", 0, 6), ("test", 50, 3)):
            path = tmp_path / f"{name}_{language}.txt"
            unit = "w" if language == "en" else "字"
            lines = [f"-DOCSTART-\t{d}\n\n{unit}{d}\tO\n" for d in range(first, first + count)]
            path.write_text("\n".join(lines), encoding="utf-8")
            splits.append(Split("ade", language, name, path, read_iob(path, language=language).sentences))
    write_benchmarks(splits, tmp_path / "bench")
    test, dev = parallel_sources(f"{tmp_path}/bench:ade_en", f"{tmp_path}/bench:ade_zh", 4, seed=1)
    assert test == [("w50", "字50"), ("w51", "字51"), ("w52", "字52")]
    assert len(dev) == 4
    assert all(left[1:] == right[1:] and int(left[1:]) < 6 for left, right in dev)


def test_parallel_files_are_parted(tmp_path: Path) -> None:
    for language in ("w", "字"):
        lines = [f"-DOCSTART-\t{d}\n\n{language}{d}\tO\n" for d in range(20)]
        (tmp_path / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    sources = (str(tmp_path / "w.txt"), str(tmp_path / "字.txt"))
    test, dev = parallel_sources(*sources, dev_documents=300, seed=1)
    assert (len(test), len(dev)) == (16, 4)
    assert not set(test) & set(dev)
    assert parallel_sources(*sources, dev_documents=300, seed=1) == (test, dev)
    assert len(parallel_sources(*sources, dev_documents=2, seed=1)[1]) == 2
