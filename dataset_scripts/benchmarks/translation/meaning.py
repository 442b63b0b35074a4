"""A chat model that compares translations with their sources (paper, section 4: ChatGPT finds inconsistencies)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kbioxlm.common.errors import one_line, shown
from kbioxlm.dataset_scripts.benchmarks.translation.defects import Defect
from kbioxlm.dataset_scripts.translation.cache import AnswerCache
from kbioxlm.dataset_scripts.translation.protocol import Answer, Translator
from kbioxlm.dataset_scripts.translation.run import PATIENCE, Patience, translate_all

INSTRUCTION = (
    "You compare biomedical texts with their translations. Each numbered item holds a text in {source}, a line with "
    "=====, and its translation in {target}. A translation is good if it says the same as the text: nothing is added, "
    "left out, turned around or left in {source}; names of drugs, diseases, genes and findings are those of the text; "
    "codes and acronyms may stay. Answer with a JSON list of exactly {count} strings, one for each item, in the same "
    'order, and with nothing else: "ok" for a good translation, otherwise one short English sentence that says what '
    "is wrong."
)
_DIVIDER = "\n=====\n"
_FINE = frozenset({"ok", "okay", "good", "correct", "good translation", "the translation is good"})


def meaning_defects(
    checker: Translator,
    pairs: Sequence[tuple[str, str]],
    source: str,
    target: str,
    cache: AnswerCache,
    progress: Callable[[int], object],
    patience: Patience = PATIENCE,
) -> list[Defect | None]:
    """What the checker has to say of each pair of a text and its translation, None where it has nothing to say.

    Verdicts are asked for and kept as translations are.

    Raises:
        InputError: as `translate_all`.
    """
    items = [_DIVIDER.join(pair) for pair in pairs]
    return [_defect(answer) for answer in translate_all(checker, items, source, target, cache, progress, patience)]


def _defect(verdict: Answer) -> Defect | None:
    said = one_line(verdict or "")
    if not said:
        return Defect("unchecked", "the checker gave no usable verdict")
    if said.casefold().strip(" .!\"'") in _FINE:
        return None
    return Defect("meaning", said if len(said) <= 300 else shown(said, 300))
