"""What a reduced vocabulary covers of the corpora and what it leaves out, in figures and as a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from kbioxlm.dataset_scripts.folder import markdown_table
from kbioxlm.training.pretraining.encoded import EncodedLevel
from kbioxlm.training.pretraining.masking import Kind

PIECES = "pieces.jsonl"
CURVE = "coverage.png"
SHOWN_PIECES = 50
SHOWN_SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)
_ROWS = 1 << 16  # whose units are looked at together


@dataclass(frozen=True)
class PieceCounts:
    """How often the rows of some levels hold each piece.

    Attributes:
        by_language: `(vocabulary,)` each; 0 for special pieces, but for `<unk>`, which stands for text.
        ranked: ordinary pieces, the most frequent of all languages first, `(ordinary,)`.
    """

    by_language: dict[str, NDArray[np.int64]]
    ranked: NDArray[np.int64]

    @property
    def total(self) -> NDArray[np.int64]:
        """Over all languages, `(vocabulary,)`."""
        return np.sum(list(self.by_language.values()), axis=0)

    def covered_shares(self) -> dict[str, NDArray[np.float64]]:
        """By language, the share of its pieces that the n first of `ranked` are, for n from 1: `(ordinary,)`."""
        return {
            language: np.cumsum(counts[self.ranked]) / max(1, counts.sum())
            for language, counts in self.by_language.items()
        }


def piece_counts(levels: Sequence[EncodedLevel], tokenizer: PreTrainedTokenizerBase) -> PieceCounts:
    """The counts of all levels together."""
    counted = counted_pieces(tokenizer)
    counts: dict[str, NDArray[np.int64]] = {}
    for level in levels:
        for language, values in level.piece_counts.items():
            counts[language] = counts.get(language, 0) + np.where(counted, values, 0)
    order = np.argsort(-np.sum(list(counts.values()), axis=0), kind="stable")
    return PieceCounts(dict(sorted(counts.items())), order[~np.isin(order, tokenizer.all_special_ids)])


def counted_pieces(tokenizer: PreTrainedTokenizerBase) -> NDArray[np.bool_]:
    """Whether a piece stands for text, `(vocabulary,)`: all but the special ones, `<unk>` among them."""
    counted = np.ones(len(tokenizer), dtype=bool)
    counted[[piece for piece in tokenizer.all_special_ids if piece != tokenizer.unk_token_id]] = False
    return counted


def coverage(
    levels: Sequence[EncodedLevel], predictable: NDArray[np.bool_], tokenizer: PreTrainedTokenizerBase
) -> dict[str, dict[str, dict[str, int]]]:
    """By level, then language of the row: its pieces but for special ones, and those among them that are predictable.

    `<unk>` is a piece that is not predictable.

    Args:
        predictable: whether the head has a row for each piece, `(vocabulary,)`.
    """
    counted = counted_pieces(tokenizer)
    covered = predictable & counted
    covered[tokenizer.unk_token_id] = False
    return {
        level.name: {
            language: {"pieces": int(counts[counted].sum()), "covered": int(counts[covered].sum())}
            for language, counts in level.piece_counts.items()
        }
        for level in levels
    }


def coverage_by_size(counts: PieceCounts, size: int) -> dict[str, dict[str, float]]:
    """Covered shares at some round sizes and at `size`, by language."""
    shares = counts.covered_shares()
    sizes = sorted({number for number in (*SHOWN_SIZES, size) if number <= len(counts.ranked)})
    return {
        str(number): {code: round(float(share[number - 1]), 6) for code, share in shares.items()} for number in sizes
    }


def units_never_masked(level: EncodedLevel, predictable: NDArray[np.bool_]) -> dict[str, dict[str, int]]:
    """By kind of unit: how many there are, and how many hold a piece outside the vocabulary."""
    units, outside = np.zeros(len(Kind), dtype=np.int64), np.zeros(len(Kind), dtype=np.int64)
    for first in range(0, len(level.ends), _ROWS):
        rows = np.arange(first, min(first + _ROWS, len(level.ends)))
        part = slice(int(level.starts(rows[:1])[0]), int(level.ends[rows[-1]]))
        kinds, begins = EncodedLevel.read_marks(np.asarray(level.marks[part]))
        firsts = np.flatnonzero(begins)
        whole = np.logical_and.reduceat(predictable[level.pieces[part]], firsts)
        units += np.bincount(kinds[firsts], minlength=len(Kind))
        outside += np.bincount(kinds[firsts][~whole], minlength=len(Kind))
    return {
        kind.name.lower(): {"units": int(units[kind]), "never_masked": int(outside[kind])}
        for kind in Kind
        if kind != Kind.SPECIAL and units[kind]
    }


def left_out(
    tokenizer: PreTrainedTokenizerBase, counts: PieceCounts, predictable: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """The most frequent pieces that are not kept."""
    total = counts.total
    first = counts.ranked[~predictable[counts.ranked]][:SHOWN_PIECES]
    return [
        {
            "id": piece,
            "piece": tokenizer.convert_ids_to_tokens(piece),
            "count": int(total[piece]),
            "by_language": {language: int(values[piece]) for language, values in counts.by_language.items()},
        }
        for piece in first.tolist()
        if total[piece]
    ]


def vocabulary_card(report: Mapping[str, Any]) -> str:
    """The card of a vocabulary's folder."""
    pieces = report["pieces"]
    languages = list(next(iter(report["coverage_by_size"].values()), {}))
    covered = [
        (level, language, cell["pieces"], f"{100 * cell['covered'] / max(1, cell['pieces']):.3f}%")
        for level, by_language in report["coverage"].items()
        for language, cell in by_language.items()
    ]
    sizes = [
        (int(size), *(f"{100 * shares[language]:.3f}%" for language in languages))
        for size, shares in report["coverage_by_size"].items()
    ]
    units = [
        (level, kind, cell["units"], cell["never_masked"], f"{100 * cell['never_masked'] / cell['units']:.3f}%")
        for level, kinds in report["units_never_masked"].items()
        for kind, cell in kinds.items()
    ]
    missing = [
        (_code(row["piece"]), str(row["id"]), row["count"], *row["by_language"].values()) for row in report["left_out"]
    ]
    sections = [
        "# Reduced vocabulary",
        f"The {pieces['kept']:,} most frequent of {pieces['tokenizer']:,} pieces; the corpora hold "
        f"{pieces['in_corpora']:,} different ones. `{PIECES}` lists input id, piece and count. Pieces are those of "
        f"rows cut at {report['recipe']['max_length']}, without special ones; the language is that of the row.",
        f"![Coverage by size]({CURVE})",
        "## Covered",
        markdown_table(("level", "language", "pieces", "covered"), covered),
        "## Covered by the most frequent",
        markdown_table(("pieces", *languages), sizes),
        "## Units that are never masked",
        "A word, entity or relation phrase with a piece outside the vocabulary stays in sight.",
        markdown_table(("level", "unit", "units", "never masked", "share"), units),
    ]
    if missing:
        sections += [
            "## Most frequent pieces left out",
            markdown_table(("piece", "id", "count", *languages), missing),
        ]
    return "\n\n".join(sections) + "\n"


def _code(piece: str) -> str:
    """`piece` as code in a cell of a Markdown table."""
    quotes = "``" if "`" in piece else "`"
    return f"{quotes} {piece} {quotes}".replace("|", "\\|")
