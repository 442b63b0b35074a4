"""Marked texts as HTML: entities in colours by number, the same on both sides. All text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from kbioxlm.dataset_scripts.benchmarks.translation.defects import Defect
from kbioxlm.dataset_scripts.benchmarks.translation.markers import Numbered

COLOURS = 8  # classes entity-0 to entity-7 of page.css


def highlighted(text: str, spans: Sequence[Numbered], labels: Sequence[str], language: str) -> str:
    """`text` with its spans, which do not overlap, as marks with number and label."""
    parts: list[str] = []
    last = 0
    for number, start, end in sorted(spans, key=lambda span: span.start):
        parts.append(escape(text[last:start]))
        label = escape(labels[number - 1])
        parts.append(
            f'<mark class="entity entity-{(number - 1) % COLOURS}" data-number="{number}" title="{label}">'
            f"{escape(text[start:end])}<sub>{number} {label}</sub></mark>"
        )
        last = end
    parts.append(escape(text[last:]))
    return f'<div class="marked-text" lang="{escape(language)}" dir="auto">{"".join(parts)}</div>'


def listed(defects: Sequence[Defect], heading: str) -> str:
    """Defects as a list, the heaviest first; nothing if there are none."""
    if not defects:
        return ""
    items = "".join(
        f'<li><span class="defect-name">{escape(one.name)}</span> {escape(one.message)} '
        f'<span class="weight">{one.weight:.2f}</span></li>'
        for one in sorted(defects, key=lambda one: -one.weight)
    )
    return f'<div class="defects"><b>{escape(heading)}</b><ul>{items}</ul></div>'


def said(text: str, kind: str) -> str:
    """A line that says what happened; `kind` is a class of page.css."""
    return f'<div class="message {escape(kind)}" role="status">{escape(text)}</div>' if text else ""
