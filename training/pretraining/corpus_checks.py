"""What makes encoded corpora useless for a run, found before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kbioxlm.common.errors import InputError
from kbioxlm.training.pretraining.encoded import EncodedLevel
from kbioxlm.training.pretraining.masking import IGNORED, Kind

_NEEDS = {  # level, to the units of which it must have some, and what they are
    "entity": ((Kind.ENTITY, Kind.SWITCHED), "entity"),
    "fact": ((Kind.RELATION, Kind.SWITCHED), "relation phrase and no name in the other language"),
}


def check_levels(corpora: Path, levels: Sequence[EncodedLevel]) -> None:
    """Refuse a level that has nothing of what its task predicts (3.1.2 to 3.1.4).

    Raises:
        InputError: entity rows without an entity, facts without a relation, passages without their relation.
    """
    for level in levels:
        kinds, what = _NEEDS.get(level.name, ((), ""))
        if kinds and not any(level.units[kind] for kind in kinds):
            raise InputError(
                corpora / level.name, f"no row has a usable {what} within max_length pieces",
                "give aligned_corpora.py texts that its names occur in, raise max_length, or leave the level out",
            )  # fmt: skip
        if level.name == "passage" and (level.passage_labels == IGNORED).all():
            raise InputError(
                corpora / level.name, "no row has a passage relation",
                "build it with aligned_corpora.py and article pairs, or leave the level out",
            )  # fmt: skip


def check_coverage(
    corpora: Path,
    levels: Sequence[EncodedLevel],
    predictable: NDArray[np.bool_],
    special_ids: Sequence[int],
    unk_id: int,
    least: float,
) -> None:
    """Refuse a vocabulary, or a reduced head, that does not know the texts.

    Args:
        predictable: whether the head has a row for each piece, `(vocabulary,)`.
        special_ids: pieces that stand for no text; they are not counted, but for `unk_id`.
        least: share of the pieces of each level and language that must be known.

    Raises:
        InputError: too many pieces of some language are `<unk>`, or have no row in the head.
    """
    counted = np.ones(len(predictable), dtype=bool)
    counted[[piece for piece in special_ids if piece != unk_id]] = False
    missing = counted & ~predictable
    missing[unk_id] = False
    for level in levels:
        for language, counts in level.piece_counts.items():
            total = max(1, counts[counted].sum())
            place, remedy = corpora / level.name, "or lower least_coverage"
            unknown = counts[unk_id] / total
            if 1 - unknown < least:
                raise InputError(
                    place, f"{unknown:.1%} of the pieces of its rows in {language!r} are <unk>",
                    f"take a tokenizer that was learnt on such texts, {remedy}",
                )  # fmt: skip
            outside = counts[missing].sum() / total
            if 1 - outside < least:
                raise InputError(
                    place, f"{outside:.1%} of the pieces of its rows in {language!r} have no row in the MLM head",
                    f"raise mlm_vocab_size, or start from a head that was reduced for these languages, {remedy}",
                )  # fmt: skip
