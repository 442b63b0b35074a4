"""The units of a text on which entity scores are computed."""

from __future__ import annotations

from collections.abc import Iterable

from kbioxlm.dataset_scripts.matching.folding import in_spaced_word


def units_of(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Units of `text`: words of spaced scripts, and every other character, without white space.

    No unit reaches across the border of one of `spans`.
    """
    borders = {border for span in spans for border in span}
    units: list[tuple[int, int]] = []
    for place, character in enumerate(text):
        if character.isspace():
            continue
        goes_on = (
            units
            and units[-1][1] == place
            and place not in borders
            and in_spaced_word(character)
            and in_spaced_word(text[place - 1])
        )
        if goes_on:
            units[-1] = (units[-1][0], place + 1)
        else:
            units.append((place, place + 1))
    return units
