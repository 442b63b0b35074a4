"""What is translated, by whom, and where the files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.folder import require_replaceable
from kbioxlm.dataset_scripts.translation.protocol import Translator
from kbioxlm.dataset_scripts.translation.run import PATIENCE, Patience
from kbioxlm.dataset_scripts.translation.specification import read_translators


@dataclass(frozen=True)
class DatasetTranslation:
    """One run of `translate`.

    Attributes:
        data: `FOLDER:CONFIG`, `FOLDER:CONFIG:SPLIT` or IOB files.
        source, target: ISO 639-1 codes.
        translator: of texts with markers.
        review: folder of the rows that a person should see, and of decisions.
        output: data set folder to write.
        cache: SQLite file of all answers; any runs may share one.
        threshold: undecided rows of a higher risk are left out.
        sample: share of the rows without a defect that are put up for review, 0 to 1.
        seed: of that sample.
        piece: characters of text that are translated at once, but for longer sentences.
        knowledge_base: folder in which names of entities are looked up, or None.
        checker: a chat model that compares meanings, or None.
        limit: rows of each split, to try it out; None for all.
        patience: how long a failing translator is tried again.
    """

    data: tuple[str, ...]
    source: str
    target: str
    translator: Translator
    review: Path
    output: Path
    cache: Path
    threshold: float
    sample: float
    seed: int
    piece: int
    knowledge_base: Path | None = None
    checker: Translator | None = None
    limit: int | None = None
    patience: Patience = PATIENCE


def check_settings(settings: DatasetTranslation) -> None:
    """Refuse settings that cannot be.

    Raises:
        InputError: a language into itself, a share outside 0 to 1, an output that is something else or holds the
            review or the cache, or a review that is a file.
    """
    if settings.source == settings.target:
        raise InputError("--target", f"{settings.source} into itself", "give two languages")
    for name, value in (("--threshold", settings.threshold), ("--sample", settings.sample)):
        if not 0.0 <= value <= 1.0:
            raise InputError(name, f"{value} is not from 0 to 1", "give a share")
    require_replaceable(settings.output)
    output = settings.output.resolve()
    for other in (settings.review, settings.cache):
        if output == other.resolve() or output in other.resolve().parents:
            raise InputError(
                settings.output, f"{other} lies in it", "put review and cache beside the output, not in it"
            )
    if settings.review.exists() and not settings.review.is_dir():
        raise InputError(settings.review, "is a file", "give a folder")


def one_translator(path: Path, instruction: str) -> Translator:
    """The only translator of a YAML list; `instruction` is for a chat model without one of its own.

    Raises:
        InputError: several of them, or as `read_translators`.
    """
    found = read_translators(path, instruction)
    if len(found) != 1:
        raise InputError(path, f"lists {len(found)} translators", "list one")
    return found[0]
