"""Probes of cross-lingual alignment: names and sentences that find their translations, masked names predicted.

Every probe gives `value` in 0 to 100, `n`, and `chance`, what a model that knows nothing reaches.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.folder import read_table
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.evaluation.retrieval import Pair, retrieval
from kbioxlm.training.finetuning.batching import pad
from kbioxlm.training.finetuning.ner import NerData, load_ner
from kbioxlm.training.finetuning.spans import IGNORED


def name_retrieval(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    dev_pairs: Sequence[Pair],
    batch_size: int = 128,
    bf16: bool = False,
) -> dict[str, Any]:
    """P@1 of concept names across languages: a name's nearest name in the other language is its own concept's.

    Args:
        model: an encoder, or a model with one.
        tokenizer: its tokenizer.
        pairs: names of the same concept in both languages, of concepts that pretraining never paired.
        dev_pairs: likewise, other concepts; the layer is chosen on them.
        batch_size: names in a batch.
        bf16: bfloat16 autocast.

    Returns:
        see `retrieval.retrieval`.
    """
    return retrieval(model, tokenizer, pairs, dev_pairs, batch_size, bf16=bf16)


def sentence_retrieval(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    dev_pairs: Sequence[Pair],
    batch_size: int = 64,
    max_length: int = 256,
    bf16: bool = False,
) -> dict[str, Any]:
    """P@1 of parallel documents across languages; arguments and result as in `name_retrieval`."""
    return retrieval(model, tokenizer, pairs, dev_pairs, batch_size, max_length, bf16)


def masked_name_translation(
    model: KBioXLMForPreTraining,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    batch_size: int = 128,
    bf16: bool = False,
) -> dict[str, Any]:
    """How much of a masked name is predicted from the same concept's name in the other language.

    The input is `<s> source name </s></s> <mask> … <mask> </s>`, one mask for each piece of the target name
    but a metaspace that stands alone. Pieces that a reduced head has no row for count as wrong.

    Returns:
        `value`: share of pieces whose best prediction is right, 0 to 100; `names`: share of names with all
        pieces right; `n` names; `pieces`; `shuffled`: `value` when every target has another concept's source
        name, so what is guessed without translating; `chance`: 100 / rows of the head.

    Raises:
        InputError: no pairs, or a name that is too long for the model.
    """
    if not pairs:
        raise InputError("probe", "no names to mask", "give pairs of names")
    right = _masked_pieces_right(model, tokenizer, pairs, batch_size, bf16)
    others = [pairs[(i + 1) % len(pairs)][0] for i in range(len(pairs))]
    shuffled = _masked_pieces_right(
        model, tokenizer, [(other, target) for other, (_, target) in zip(others, pairs, strict=True)], batch_size, bf16
    )
    return {
        "value": _share(sum(map(sum, right)), sum(map(len, right))),
        "names": _share(sum(all(row) for row in right), len(pairs)),
        "shuffled": _share(sum(map(sum, shuffled)), sum(map(len, shuffled))),
        "n": len(pairs),
        "pieces": sum(map(len, right)),
        "chance": round(100 / model.lm_head.bias.numel(), 4),
    }


def _share(part: int, whole: int) -> float:
    return round(100 * part / whole, 4) if whole else 0.0


def _masked_pieces_right(
    model: KBioXLMForPreTraining, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], batch_size: int, bf16: bool
) -> list[list[bool]]:
    """For each pair, whether each masked piece of the target name is predicted."""
    space = tokenizer.convert_tokens_to_ids("▁")
    encoded = tokenizer(
        [source for source, _ in pairs], [target for _, target in pairs], return_attention_mask=False, verbose=False
    )
    rows, labels = [], []
    for i, ids in enumerate(encoded["input_ids"]):
        masked = [segment == 1 and piece != space for segment, piece in zip(encoded.sequence_ids(i), ids, strict=True)]
        rows.append([tokenizer.mask_token_id if mask else piece for mask, piece in zip(masked, ids, strict=True)])
        labels.append([piece if mask else IGNORED for mask, piece in zip(masked, ids, strict=True)])
    longest = max(map(len, rows))
    if longest > model.config.max_position_embeddings - model.config.pad_token_id - 1:
        raise InputError("probe", f"a pair of names has {longest} pieces, more than the model's positions", "drop it")
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))
    right: list[list[bool]] = [[] for _ in rows]
    was_training = model.training
    model.eval()
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        for first in tqdm(range(0, len(order), batch_size), desc="masked names", unit="batch", leave=False):
            chosen = order[first : first + batch_size]
            targets = pad([labels[i] for i in chosen], IGNORED).to(model.device)  # (batch, sequence)
            logits = model(
                input_ids=pad([rows[i] for i in chosen], model.config.pad_token_id).to(model.device),
                attention_mask=pad([[1] * len(rows[i]) for i in chosen], 0).to(model.device),
                labels=targets,
            ).prediction_logits  # (masked pieces of the batch, rows of the head)
            where = targets != IGNORED
            hits = (logits.argmax(-1) == model.lm_head.rows(targets[where])).tolist()
            for i, count in zip(chosen, where.sum(1).tolist(), strict=True):
                right[i], hits = hits[:count], hits[count:]
    model.train(was_training)
    return right


def held_out_pairs(corpora: str | Path) -> tuple[list[Pair], list[Pair]]:
    """The names of an aligned corpora folder that its pairings leave out: `(test pairs, dev pairs)`.

    Raises:
        InputError: no such folder, or none held out.
    """
    table = read_table(corpora, "held_out", ["split", "source", "target"]).to_pylist()
    test, dev = (
        [(row["source"], row["target"]) for row in table if row["split"] == split] for split in ("test", "dev")
    )
    if not test or not dev:
        raise InputError(corpora, "no names were held out", "build the corpora with --hold-out N")
    return test, dev


def seen_pairs(
    knowledge_base: str | Path, corpora: str | Path, languages: tuple[str, str], count: int, seed: int
) -> list[Pair]:
    """Preferred names of up to `count` concepts in both languages that were not held out, drawn with `seed`.

    Raises:
        InputError: the knowledge base has no concept with preferred names in both.
    """
    held = set(read_table(corpora, "held_out", ["concept"])["concept"].to_pylist())
    preferred: dict[str, dict[str, str]] = {language: {} for language in languages}
    table = read_table(knowledge_base, "names", ["concept", "language", "name", "preferred"]).to_pylist()
    for row in table:
        if row["preferred"] and row["language"] in preferred:
            preferred[row["language"]].setdefault(row["concept"], row["name"])
    first, second = (preferred[language] for language in languages)
    concepts = sorted(
        concept
        for concept in (first.keys() & second.keys()) - held
        if first[concept].casefold() != second[concept].casefold()
    )
    if not concepts:
        raise InputError(knowledge_base, f"no concept is named in both {' and '.join(languages)}", "add names")
    chosen = sorted(random.Random(seed).sample(concepts, min(count, len(concepts))))
    return [(first[concept], second[concept]) for concept in chosen]


def parallel_pairs(first: NerData, second: NerData) -> list[Pair]:
    """The texts of the documents that both sources hold, in the order of the ids.

    Sentences are joined by a space, or by nothing in Chinese. Documents whose text another document repeats, in
    either language, are left out: which of them is the translation could not be told.

    Raises:
        InputError: no document in common.
    """
    texts = [_documents(data) for data in (first, second)]
    repeats = [Counter(by_document.values()) for by_document in texts]
    shared = sorted(
        document
        for document in texts[0].keys() & texts[1].keys()
        if all(count[by_document[document]] == 1 for count, by_document in zip(repeats, texts, strict=True))
    )
    if not shared:
        raise InputError(second.source, f"no document in common with {first.source}", "name parallel sources")
    return [(texts[0][document], texts[1][document]) for document in shared]


def _documents(data: NerData) -> dict[str, str]:
    parts: dict[str, list[str]] = {}
    for sentence in data.examples:
        parts.setdefault(sentence.document, []).append(sentence.text)
    joiner = "" if data.examples[0].language == "zh" else " "
    return {document: joiner.join(texts) for document, texts in parts.items()}


def parallel_sources(first: str, second: str, dev_documents: int, seed: int) -> tuple[list[Pair], list[Pair]]:
    """Parallel documents of two NER sources: `(test pairs, dev pairs)`.

    Test pairs come from the test splits, dev pairs from the train splits, at most `dev_documents`, drawn with
    `seed`. Sources without splits (IOB files, or `folder:config:split`) are parted: a fifth becomes dev.

    Raises:
        InputError: a source cannot be read, or has no document in common with the other.
    """
    tests = [load_ner(source, "test") for source in (first, second)]
    trains = [load_ner(source, "train") for source in (first, second)]
    rng = random.Random(seed)
    pairs = parallel_pairs(*tests)
    if any(test.examples == train.examples for test, train in zip(tests, trains, strict=True)):
        chosen = set(rng.sample(range(len(pairs)), min(dev_documents, max(1, len(pairs) // 5))))
        dev = [pairs[i] for i in sorted(chosen)]
        return [pair for i, pair in enumerate(pairs) if i not in chosen], dev
    dev = parallel_pairs(*trains)
    return pairs, rng.sample(dev, min(dev_documents, len(dev)))
