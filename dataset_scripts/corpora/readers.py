"""Reading the article pairs that passages are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_json_lines
from kbioxlm.dataset_scripts.folder import column_names, read_batches

ARTICLES = "articles"


class ArticlePair(NamedTuple):
    """One article in several languages: language → text."""

    id: str
    texts: dict[str, str]


def read_article_pairs(path: str | Path, languages: tuple[str, ...]) -> Iterator[ArticlePair]:
    """Article pairs of a data set folder with the config `articles`, or of a JSON-lines file.

    A line of the file is `{"id", "en": text, "zh": text}` or `{"sent1", "sent2"}`. In the second layout, that of the
    KBioXLM authors' sample, the text with the larger share of Han characters is taken as Chinese; it needs Chinese as
    one of two languages.

    Raises:
        InputError: as `read_json_lines` and `read_batches`; a text that is not a string; fewer than two of `languages`
            in an object or in the folder.
    """
    if Path(path).is_dir():
        yield from _of_folder(path, languages)
        return
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


def _of_folder(folder: str | Path, languages: tuple[str, ...]) -> Iterator[ArticlePair]:
    found = column_names(folder, ARTICLES)
    asked = [code for code in languages if code in found]
    if len(asked) < 2:
        raise InputError(
            folder,
            f"its articles are in {','.join(code for code in found if f'{code}_title' in found) or 'no language'}, "
            f"in fewer than two of {','.join(languages)}",
            "give articles in two of the languages asked, or ask for theirs",
        )
    for batch in read_batches(folder, ARTICLES, ("id", *asked)):
        for row in batch.to_pylist():
            texts = {code: row[code] for code in asked if row[code]}
            if len(texts) > 1:
                yield ArticlePair(row["id"], texts)


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
