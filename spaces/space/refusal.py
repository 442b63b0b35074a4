"""What the Space does not do, and why, in the language of the reader."""

from __future__ import annotations

from .texts import say


class RefusedError(ValueError):
    """Input that is not read, or a setting that cannot be used.

    Args:
        key: a text of `texts.TEXTS`.
        values: what stands in its braces.
    """

    def __init__(self, key: str, /, **values: object):
        super().__init__(say("en", key, **values))
        self.key = key
        self.values = values

    def said(self, language: str) -> str:
        """The message in `language`."""
        return say(language, self.key, **self.values)
