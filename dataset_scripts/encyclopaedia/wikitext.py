"""From wikitext to the running text of an article."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import NamedTuple

import mwparserfromhell
from mwparserfromhell.nodes import (
    ExternalLink,
    Heading,
    HTMLEntity,
    Node,
    Tag,
    Template,
    Text,
    Wikilink,
)
from mwparserfromhell.wikicode import Wikicode

from kbioxlm.dataset_scripts.encyclopaedia.namespaces import is_apparatus, leaves_no_text, without_prefix
from kbioxlm.dataset_scripts.encyclopaedia.templates import template_text
from kbioxlm.dataset_scripts.encyclopaedia.variants import resolve_variants, simplified

_NO_TEXT = frozenset(
    (
        "ref", "references", "table", "gallery", "math", "chem", "ce", "score", "timeline", "graph", "hiero",
        "imagemap", "mapframe", "maplink", "syntaxhighlight", "source", "templatedata", "templatestyles", "section",
        "indicator", "inputbox", "categorytree", "includeonly", "phonos", "style", "script", "noinclude", "video",
        "audio", "img",
    )
)  # fmt: skip
_LINE_BREAKS = frozenset(["br", "p", "div", "li", "dd", "dt", "hr", "blockquote", "poem", "center"])
_MAGIC_WORD = re.compile(r"__(?:[A-Z]{3,}|[\u3400-\u9fff]{2,})__")
_TABLE_LEFT_OVER = re.compile(r"^\s*(?:\{\||\|\}|\|-|\||!).*$", re.MULTILINE)
_BRACES = re.compile(r"\{\{+|\}\}+|\[\[|\]\]|'''+|''")
_MARKUP_LEFT_OVER = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_LIST_MARK = re.compile(r"^[*#:;\s]+", re.MULTILINE)
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200b\u202f\ufeff\u200e\u200f]+")
# what is left of a bracket whose templates are gone: "Aspirin (, also ASA)", "阿司匹林（）"
_EMPTY_BRACKET = re.compile(r" ?\([\s,;:·/–-]*\)|（[\s,;:，；：、·/–-]*）")
_BRACKET_BEGINS = re.compile(r"([(（])[\s,;:，；：、]+")
_BRACKET_ENDS = re.compile(r"[\s,;，；、]+([)）])")
_BEFORE_STOP = re.compile(r" +([,.;!?)，。；、！？：）])")


class Markup(NamedTuple):
    """What of an edition's markup the cleaning must know.

    Attributes:
        namespaces: its own names of the namespaces for images and categories, in small letters.
        simplify: whether Chinese is to be brought into simplified characters.
    """

    chinese: bool
    namespaces: frozenset[str] = frozenset()
    simplify: bool = True


def clean(wikitext: str, markup: Markup) -> str:
    """The running text of an article, a paragraph or list item a line.

    Left out are templates but those of `templates`, references, tables, images, formulas, comments, headings, and
    sections such as "See also" and 参考文献. Links show their text. Chinese variants are resolved to the simplified
    one.
    """
    if markup.chinese:
        wikitext = resolve_variants(wikitext)
    text = _tidy("".join(_running(mwparserfromhell.parse(wikitext).nodes, markup.namespaces)))
    return simplified(text) if markup.chinese and markup.simplify else text


def _running(nodes: Iterable[Node], namespaces: frozenset[str]) -> Iterable[str]:
    """The text of the sections that are running text."""
    left_out = 0
    for node in nodes:
        if isinstance(node, Heading):
            heading = " ".join(_render(node.title, namespaces).split())
            if not left_out or node.level <= left_out:
                left_out = node.level if is_apparatus(heading, simplified(heading)) else 0
            yield "\n"
        elif not left_out:
            yield _render_node(node, namespaces)


def _render(code: Wikicode | None, namespaces: frozenset[str]) -> str:
    return "" if code is None else "".join(_render_node(node, namespaces) for node in code.nodes)


def _render_node(node: Node, namespaces: frozenset[str]) -> str:
    if isinstance(node, Text):
        return str(node.value)
    if isinstance(node, Wikilink):
        return _link(node, namespaces)
    if isinstance(node, Template):
        return template_text(node, lambda code: _render(code, namespaces))
    if isinstance(node, Tag):
        return _tag(node, namespaces)
    if isinstance(node, ExternalLink):
        return _render(node.title, namespaces) if node.title is not None else ""
    if isinstance(node, HTMLEntity):
        return str(node.normalize())
    return ""  # comments, arguments of templates, headings inside other markup


def _link(node: Wikilink, namespaces: frozenset[str]) -> str:
    target = str(node.title).strip()
    if leaves_no_text(target, namespaces):
        return ""
    text = _render(node.text, namespaces)
    if text.strip():
        return text
    shown = without_prefix(_render(node.title, namespaces))
    # the pipe trick: [[Mercury (element)|]] shows "Mercury"
    return re.sub(r" ?[(（].*[)）]$", "", shown) if node.text is not None else shown


def _tag(node: Tag, namespaces: frozenset[str]) -> str:
    name = str(node.tag).strip().lower()
    if name in _NO_TEXT:
        return ""
    text = _render(node.contents, namespaces)
    if name in _LINE_BREAKS:
        # wiki markup for a list item begins a line already
        return text if node.wiki_markup else f"\n{text}\n"
    return text


def _tidy(text: str) -> str:
    """Without what the parser left as text because it was malformed, and without the traces of what was left out."""
    text = _MAGIC_WORD.sub("", html.unescape(text))
    text = _TABLE_LEFT_OVER.sub("", text)
    text = _MARKUP_LEFT_OVER.sub("", _BRACES.sub("", text))
    text = _SPACES.sub(" ", _LIST_MARK.sub("", text))
    text = _BRACKET_BEGINS.sub(r"\1", _EMPTY_BRACKET.sub("", text))
    text = _BEFORE_STOP.sub(r"\1", _BRACKET_ENDS.sub(r"\1", text))
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if any(map(str.isalnum, line)))
