"""What a translator is to everything that uses one: texts in, texts out, and a name for what decides them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

Answer = str | None
SettingValue = str | int | float | None


class Translator(Protocol):
    """Translates texts, a batch at a time. Languages are ISO 639-1 codes."""

    @property
    def identity(self) -> str:
        """A readable name and a digest of `settings`; equal only where the answers are. Part of the cache key."""
        ...

    @property
    def settings(self) -> Mapping[str, SettingValue]:
        """All that decides the answers (model, revision, prompt, decoding), for statistics and cards. No secrets."""
        ...

    @property
    def batch_size(self) -> int:
        """Texts a call of `translate` should get."""
        ...

    @property
    def concurrent(self) -> int:
        """Calls of `translate` that may run at once, each in a thread of its own."""
        ...

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Answer]:
        """One answer a text, in order; None where the translator has none.

        Raises:
            TransientError: asking again later may help.
            UnusableAnswerError: what came cannot be told apart into one answer a text; fewer texts at once may help.
            InputError: asking again will not help.
        """
        ...


class TransientError(Exception):
    """No answer came, but may come later: an overloaded server, a timeout, a lost connection.

    Attributes:
        retry_after: seconds that the server asked to wait, where it did.
    """

    def __init__(self, message: str, retry_after: float | None = None):
        super().__init__(message)
        self.retry_after = retry_after


class UnusableAnswerError(Exception):
    """An answer came, but not one for each text."""


def identity_of(label: str, settings: Mapping[str, SettingValue]) -> str:
    """`label#digest`, the digest over all `settings`."""
    content = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return f"{label}#{blake2b(content.encode(), digest_size=6).hexdigest()}"
