"""The few templates whose text belongs to the sentence they stand in; all others are left out."""

from __future__ import annotations

import re
from collections.abc import Callable

from mwparserfromhell.nodes import Template
from mwparserfromhell.wikicode import Wikicode

Render = Callable[[Wikicode | None], str]

_FIRST = (
    "nowrap", "nobr", "nobreak", "small", "smaller", "big", "sub", "sup", "abbr", "tooltip", "ruby", "em", "strong",
    "var", "val", "num", "nihongo", "chem", "chem2", "angbr", "unichar", "mvar", "math",
)  # fmt: skip
# name → the parameters that hold its text, the first that is there counts
_TEXT_IN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("lang", "wikt-lang"), ("2",)),
    **dict.fromkeys(("transliteration", "transl"), ("3", "2")),
    **dict.fromkeys(_FIRST, ("1",)),
    **dict.fromkeys(("color", "font color", "fontcolor"), ("2",)),
    **dict.fromkeys(("link-en", "link-ja", "link-de", "link-fr", "link-ru", "le", "lj"), ("3", "1")),
    **dict.fromkeys(("internal link helper", "tsl", "translink"), ("4", "3")),
    **dict.fromkeys(("ill", "interlanguage link", "illm", "interlanguage link multi"), ("lt", "1")),
    **dict.fromkeys(("ilh", "internal link helper/en"), ("lang-text", "1")),
    "wikilink": ("2", "1"),
}
_CHARACTERS = {
    "'": "'", "'s": "'s", "ndash": "–", "mdash": "—", "en dash": "–", "em dash": "—", "snd": " – ",
    "spaced ndash": " – ", "spnd": " – ", "dash": " – ", "pipe": "|", "!": "|", "=": "=", "nbsp": " ", "space": " ",
    "·": " · ", "•": " • ", "dot": " · ", "times": "×", "x": "×", "pm": "±", "alpha": "α", "beta": "β", "gamma": "γ",
}  # fmt: skip
_CONVERTED = {"convert", "cvt"}
_BETWEEN = {
    "-": "–", "–": "–", "to": " to ", "to(-)": " to ", "and": " and ", "or": " or ", "x": " × ", "by": " by ",
    "+/-": " ± ", "±": " ± ",
}  # fmt: skip
_LANG = re.compile(r"lang-[a-z-]+")
_NUMBER = re.compile(r"[-−+]?[\d.,]+(?:e[-−+]?\d+)?")


def template_text(template: Template, render: Render) -> str:
    """What `template` puts into the sentence, as far as we know it; otherwise nothing.

    Args:
        render: turns the wikitext of a parameter into text.
    """
    name = " ".join(str(template.name).replace("_", " ").split()).lower()

    def value(key: str) -> str:
        return render(template.get(key).value).strip() if template.has(key) else ""

    if name in _CHARACTERS:
        return _CHARACTERS[name]
    if name in _CONVERTED:
        return _converted(value)
    if name == "frac" or name == "sfrac":
        parts = [part for part in map(value, "123") if part]
        return f"{parts[0]} {parts[1]}/{parts[2]}" if len(parts) == 3 else "/".join(parts)
    if _LANG.fullmatch(name):
        return value("1")
    text = next((text for key in _TEXT_IN.get(name, ()) if (text := value(key))), "")
    if name == "chem" or name == "chem2":
        return "".join(value(str(number)) for number in range(1, 20))
    if name == "val" and text:
        unit = value("u") or value("ul")
        return f"{text} {unit}" if unit else text
    return text


def _converted(value: Callable[[str], str]) -> str:
    """`{{convert|5|mg|oz}}` → 5 mg; `{{convert|5|to|10|mg}}` → 5 to 10 mg."""
    if not _NUMBER.fullmatch(value("1")):
        return ""
    if value("2") in _BETWEEN and _NUMBER.fullmatch(value("3")):
        return f"{value('1')}{_BETWEEN[value('2')]}{value('3')} {value('4')}".strip()
    return f"{value('1')} {value('2')}".strip()
