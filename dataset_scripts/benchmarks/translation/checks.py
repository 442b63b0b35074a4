"""What can be told of a translation by comparing it with its source, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from kbioxlm.common.errors import shown
from kbioxlm.dataset_scripts.benchmarks.translation.defects import Defect
from kbioxlm.dataset_scripts.benchmarks.translation.quantities import differing_numbers
from kbioxlm.dataset_scripts.benchmarks.translation.untranslated import is_name, untranslated_runs
from kbioxlm.dataset_scripts.knowledge.agreement import holds_remains
from kbioxlm.dataset_scripts.translation.scripts import is_acronym

MISSING = Defect("missing", "there is no translation, or not of all of it")


def text_defects(
    source_text: str, target_text: str, source: str, target: str, known: Sequence[tuple[int, int]] = ()
) -> list[Defect]:
    """Defects of a translated text without its markers.

    Args:
        known: places in `target_text` of names in the target language.
    """
    if not target_text.strip():
        return []
    if target_text.casefold().split() == source_text.casefold().split() and not is_acronym(source_text):
        return [Defect("copied", "the translation is the source text")]
    defects = []
    if holds_remains(target_text, source_text):
        defects.append(Defect("remains", "there are remains of a prompt, a list or a form"))
    for run in untranslated_runs(source_text, target_text, source, target, known):
        name = "foreign_name" if is_name(run) else "untranslated"
        defects.append(Defect(name, f"{shown(run, 60)} is not translated"))
    numbers = differing_numbers(source_text, target_text, source, target)
    if numbers:
        defects.append(Defect("numbers", f"numbers differ: {', '.join(numbers)}"))
    return defects
