"""Putting a text together piece by piece while keeping the offsets of some pieces."""

from __future__ import annotations

from kbioxlm.dataset_scripts.matching.folding import in_spaced_word


class TextAssembly:
    """A text under construction."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._last = ""

    def add(self, piece: str, apart: bool = False) -> tuple[int, int]:
        """Append `piece` and give its offsets.

        With `apart`, a space goes before it where two words would otherwise run together ("HIV" after "the" or a
        number, but not after a Han character).
        """
        if apart and piece and self._last and in_spaced_word(self._last) and in_spaced_word(piece[0]):
            self._append(" ")
        start = self._length
        if piece:
            self._append(piece)
        return start, self._length

    def text(self) -> str:
        """The whole text."""
        return "".join(self._parts)

    def _append(self, piece: str) -> None:
        self._parts.append(piece)
        self._length += len(piece)
        self._last = piece[-1]
