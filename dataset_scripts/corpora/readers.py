"""Reading the texts and the article pairs that the corpora are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_json_lines


class Document(NamedTuple):
    """A text and the language it is in."""

    id: str
    language: str
    text: str


class ArticlePair(NamedTuple):
    """One article in several languages: language → text."""

    id: str
    texts: dict[str, str]


def read_documents(path: str | Path, languages: tuple[str, ...], language: str | None = None) -> Iterator[Document]:
    """The texts of a JSON-lines file of `{"id", "lang", "text"}`; `language` stands in for a missing "lang".

    Raises:
        InputError: as `read_json_lines`; a text that is not a string, or a language that is missing or not asked.
    """
    for line, record in read_json_lines(path, required=("text",)):
        text = _text(path, line, "text", record["text"])
        found = record.get("lang", language)
        if found is None:
            raise InputError(path, "no 'lang' in the object", "add it, or say --language for the whole file", line=line)
        if found not in languages:
            raise InputError(
                path,
                f"language {shown(found)} is not one of {','.join(languages)}",
                "add it to --languages or leave the text out",
                line=line,
            )
        yield Document(str(record.get("id", f"{Path(path).name}:{line}")), found, text)


def read_article_pairs(path: str | Path, languages: tuple[str, ...]) -> Iterator[ArticlePair]:
    """Article pairs of a JSON-lines file, `{"id", "en": text, "zh": text}` or `{"sent1", "sent2"}`.

    In the second layout, that of the KBioXLM authors' sample, the text with the larger share of Han characters is
    taken as Chinese; it needs Chinese as one of two languages.

    Raises:
        InputError: as `read_json_lines`; a text that is not a string; fewer than two of `languages` in an object.
    """
    for line, record in read_json_lines(path):
        name = str(record.get("id", f"{Path(path).name}:{line}"))
        if "sent1" in record and "sent2" in record:
            first, second = (_text(path, line, key, record[key]) for key in ("sent1", "sent2"))
            yield ArticlePair(name, _told_apart(path, line, languages, first, second))
            continue
        texts = {code: _text(path, line, code, record[code]) for code in languages if code in record}
        if len(texts) < 2:
            raise InputError(
                path,
                f"keys {shown(list(record))} hold fewer than two of the languages {','.join(languages)}",
                'write {"id", "en": text, "zh": text} with the codes of --languages, or {"sent1", "sent2"}',
                line=line,
            )
        yield ArticlePair(name, texts)


def _text(path: str | Path, line: int, key: str, value: object) -> str:
    if not isinstance(value, str):
        raise InputError(path, f"{key!r} is not a text: {shown(value)}", "write a JSON string", line=line)
    return value


def _told_apart(path: str | Path, line: int, languages: tuple[str, ...], first: str, second: str) -> dict[str, str]:
    others = [code for code in languages if code != "zh"]
    if len(languages) != 2 or len(others) != 1:
        raise InputError(
            path,
            f"'sent1' and 'sent2' do not say which of {','.join(languages)} they are in",
            "use the languages as keys; only Chinese and one more language can be told apart",
            line=line,
        )
    shares = _han_share(first), _han_share(second)
    if abs(shares[0] - shares[1]) < 0.05:
        raise InputError(
            path,
            f"'sent1' and 'sent2' have the same share of Han characters ({shares[0]:.0%}, {shares[1]:.0%})",
            "give one text in each language",
            line=line,
        )
    chinese, other = (first, second) if shares[0] > shares[1] else (second, first)
    texts = {"zh": chinese, others[0]: other}
    return {code: texts[code] for code in languages}


def _han_share(text: str) -> float:
    letters = [character for character in text if character.isalpha()]
    return sum("\u3400" <= character <= "\u9fff" for character in letters) / max(1, len(letters))
