"""The page that explains everything: a text in each language, and the facts of this Space."""

from __future__ import annotations

from pathlib import Path

from .display import legend, safe, version_of
from .reading import Reading
from .texts import say

_HERE = Path(__file__).parent
_ROWS = ("model", "other_model", "labels", "knowledge", "digest", "sources")


def about_text(language: str) -> str:
    """The text, as Markdown."""
    return (_HERE / f"about_{'zh' if language == 'zh' else 'en'}.md").read_text(encoding="utf-8")


def about_facts(reading: Reading, language: str) -> str:
    """Models, types, and the knowledge base with its date and licences, as HTML."""
    told = reading.knowledge.told()
    sources = [
        " · ".join(filter(None, [one["title"] or one["source"], one["version"], one["license"]]))
        for one in told["sources"]
    ]
    values = (
        safe(reading.tagger.name), safe(reading.other.name) if reading.other else "–", legend(reading.labels, language),
        safe(f"{version_of(told, language)} · {told['concepts']:,}"), f"<code>{told['digest']}</code>",
        "<br>".join(map(safe, sources)),
    )  # fmt: skip
    rows = "".join(
        f'<tr><th scope="row">{safe(say(language, f"fact_{name}"))}</th><td>{value}</td></tr>'
        for name, value in zip(_ROWS, values, strict=True)
    )
    return f'<table class="facts plain"><tbody>{rows}</tbody></table>'
