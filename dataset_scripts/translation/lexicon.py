"""A translator that looks texts up in a tab-separated file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_lines
from kbioxlm.common.recipe import Recipe
from kbioxlm.dataset_scripts.knowledge.languages import UMLS_OF_ISO
from kbioxlm.dataset_scripts.translation.protocol import Answer, SettingValue, identity_of

HEADER = ("source_language", "target_language", "source", "target")


class LexiconSettings(Recipe):
    """A lexicon in a list of translators.

    Attributes:
        file: tab-separated, with the header `source_language target_language source target`; plain or `.gz`.
    """

    kind: Literal["lexicon"]
    file: Path


class LexiconTranslator:
    """Exact matches first, then those but for letter case. Of several translations the first in the file counts.

    Raises:
        InputError: another header, a line without four filled columns, or an unknown language.
    """

    batch_size = 10_000
    concurrent = 1

    def __init__(self, settings: LexiconSettings):
        self._exact: dict[tuple[str, str, str], str] = {}
        self._folded: dict[tuple[str, str, str], str] = {}
        digest = blake2b(digest_size=16)
        for line, text in read_lines(settings.file):
            digest.update(f"{text}\n".encode())
            row = tuple(cell.strip() for cell in text.split("\t"))
            if line == 1:
                if row != HEADER:
                    raise InputError(
                        settings.file, f"header {shown(text)}", f"begin with the columns {', '.join(HEADER)}", line=1
                    )
                continue
            if len(row) != len(HEADER) or not all(row):
                raise InputError(
                    settings.file, f"not four filled columns: {shown(text)}", f"write {', '.join(HEADER)}", line=line
                )
            source, target, name, answer = row
            for language in (source, target):
                if language not in UMLS_OF_ISO:
                    raise InputError(
                        settings.file,
                        f"unknown language {shown(language)}",
                        "write an ISO 639-1 code such as zh",
                        line=line,
                    )
            self._exact.setdefault((source, target, name), answer)
            self._folded.setdefault((source, target, name.casefold()), answer)
        self.settings: Mapping[str, SettingValue] = {
            "kind": "lexicon",
            "file": settings.file.name,
            "content": digest.hexdigest(),
        }
        self.identity = identity_of(settings.file.name.split(".")[0], self.settings)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
        """The lexicon's translations; None for a text that it does not have."""
        return [
            self._exact.get((source, target, text)) or self._folded.get((source, target, text.casefold()))
            for text in texts
        ]
