"""Texts with their entities in the formats of biomedical text mining.

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

SUFFIXES = {"jsonl": ".jsonl", "pubtator": ".pubtator", "bioc": ".bioc.json", "brat": ".zip", "conll": ".conll"}
_SURROGATES = re.compile("[\ud800-\udfff]")
# What str.splitlines, and so many a reader, takes for the end of a line; tabs end a column.
_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # written without spaces
_TOKEN = re.compile(rf"(?:(?![{_UNSPACED}])[^\W_])+|\S")
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a file in a zip: the same documents give the same bytes


class Entity(NamedTuple):
    """An entity of a document, in code points of its text.

    Attributes:
        label: its type.
        concept: what it was linked to; empty where that is not known.
        score: its probability; None where there is none.
    """

    start: int
    end: int
    label: str
    concept: str
    score: float | None


class Document(NamedTuple):
    """A text that every format can hold, with its entities in the order of the text."""

    id: str
    text: str
    entities: tuple[Entity, ...]


def export(documents: Iterable[Mapping[str, Any]], format: str) -> bytes:
    """`documents` in one of the formats of `SUFFIXES`.

    Offsets count code points. Halves of surrogate pairs, which UTF-8 cannot hold, become U+FFFD; where a line break
    would end a line of the format, it becomes a space. Neither moves an offset.

    - `jsonl`: an object a line, as it came in.
    - `pubtator`: the first line of a text as its title, what follows as its abstract; `-` for no concept.
    - `bioc`: BioC JSON, a passage a document; score and concept (`identifier`) are infons.
    - `brat`: a zip with a `.txt` and an `.ann` a document; an entity with a line break in it has a fragment a line.
    - `conll`: token, start, end and IOB2 tag, separated by tabs; a line of the text is a sentence, and
      `-DOCSTART-` begins a document. Chinese characters are tokens. Of entities that overlap the first is told.

    Args:
        documents: `{"id", "text", "entities"}` each, with entities as the pipeline gives them and, if known,
            `"concept"`. Without an id, a document is given its number.

    Raises:
        ValueError: a format that there is not, or an entity that is not in its text.
    """
    if format not in SUFFIXES:
        raise ValueError(f"format {format!r}: choose from {', '.join(SUFFIXES)}")
    return _WRITERS[format]([_document(number, document) for number, document in enumerate(documents, 1)])


def _document(number: int, found: Mapping[str, Any]) -> Document:
    text = _SURROGATES.sub("\ufffd", found["text"])
    name = _SURROGATES.sub("\ufffd", str(found.get("id") or number))
    entities = []
    for entity in found.get("entities", ()):
        start, end, label = entity["start"], entity["end"], str(entity["entity_group"])
        if not 0 <= start < end <= len(text):
            raise ValueError(f"document {name!r}: {label} at {start}:{end} is not in its text, 0:{len(text)}")
        entities.append(Entity(start, end, label, str(entity.get("concept") or ""), entity.get("score")))
    return Document(name, text, tuple(sorted(entities, key=lambda entity: (entity.start, -entity.end, entity.label))))


def _one_line(text: str) -> str:
    return _BREAKS.sub(" ", text)


def _one_word(text: str) -> str:
    return re.sub(r"\s+", "_", _one_line(text).strip()) or "_"


def _jsonl(documents: Sequence[Document]) -> bytes:
    rows = [{"id": name, "text": text, "entities": [
        {"entity_group": entity.label, "word": text[entity.start : entity.end], "start": entity.start,
         "end": entity.end} | ({"score": entity.score} if entity.score is not None else {})
        | ({"concept": entity.concept} if entity.concept else {})
        for entity in entities
    ]} for name, text, entities in documents]  # fmt: skip
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _pubtator(documents: Sequence[Document]) -> bytes:
    lines = []
    for document in documents:
        name = _one_word(document.id).replace("|", "_")
        title, _, abstract = document.text.partition("\n")  # one space in its place, as the format counts
        text = _one_line(document.text)
        lines += [f"{name}|t|{_one_line(title)}", f"{name}|a|{_one_line(abstract)}"]
        for start, end, label, concept, _score in document.entities:
            lines.append("\t".join((name, str(start), str(end), text[start:end], _one_line(label),
                                    _one_line(concept) or "-")))  # fmt: skip
        lines.append("")
    return "".join(line + "\n" for line in lines).encode()


def _bioc(documents: Sequence[Document]) -> bytes:
    collection = {"source": "KBioXLM", "date": "", "key": "", "version": "1.0", "infons": {}, "documents": [
        {"id": name, "infons": {}, "passages": [
            {"offset": 0, "infons": {}, "text": text, "sentences": [], "relations": [], "annotations": [
                {"id": str(number), "text": text[entity.start : entity.end],
                 "locations": [{"offset": entity.start, "length": entity.end - entity.start}],
                 "infons": {"type": entity.label} | ({"identifier": entity.concept} if entity.concept else {})
                 | ({"score": f"{entity.score:.4f}"} if entity.score is not None else {})}
                for number, entity in enumerate(entities, 1)
            ]}
        ], "annotations": [], "relations": []}
        for name, text, entities in documents
    ]}  # fmt: skip
    return (json.dumps(collection, ensure_ascii=False, indent=1) + "\n").encode()


def _brat(documents: Sequence[Document]) -> bytes:
    buffer = io.BytesIO()
    used: set[str] = set()
    with zipfile.ZipFile(buffer, "w") as archive:
        for document in documents:
            text = document.text.replace("\r", " ")  # which readers of text files would drop
            lines = []
            for number, entity in enumerate(document.entities, 1):
                pieces = [(entity.start + m.start(), entity.start + m.end())
                          for m in re.finditer(r"[^\n]+", text[entity.start : entity.end])]  # fmt: skip
                if not pieces:
                    continue
                places = ";".join(f"{start} {end}" for start, end in pieces)
                words = " ".join(_one_line(text[start:end]) for start, end in pieces)
                lines.append(f"T{number}\t{_one_word(entity.label)} {places}\t{words}\n")
                if entity.concept:
                    lines.append(f"N{number}\tReference T{number} {_one_word(entity.concept)}\t{words}\n")
            name = _file_name(document.id, used)
            for suffix, content in ((".txt", text), (".ann", "".join(lines))):
                member = zipfile.ZipInfo(name + suffix, _EARLIEST)
                member.compress_type = zipfile.ZIP_DEFLATED
                member.external_attr = 0o644 << 16
                archive.writestr(member, content.encode())
    return buffer.getvalue()


def _file_name(name: str, used: set[str]) -> str:
    """A name for a file, which no other document has, that leads nowhere else."""
    plain = re.sub(r"[^\w.-]+", "_", name).lstrip(".")[:80] or "document"
    free, number = plain, 1
    while free.casefold() in used:
        number += 1
        free = f"{plain}_{number}"
    used.add(free.casefold())
    return free


def _conll(documents: Sequence[Document]) -> bytes:
    lines = []
    for document in documents:
        lines += ["-DOCSTART-\t0\t0\tO", ""]
        last = 0
        for start, end, tag in _tagged_tokens(document):
            if "\n" in document.text[last:start] and lines[-1]:
                lines.append("")
            lines.append(f"{document.text[start:end]}\t{start}\t{end}\t{tag}")
            last = end
        if lines[-1]:
            lines.append("")
    return "".join(line + "\n" for line in lines).encode()


def _tagged_tokens(document: Document) -> Iterator[tuple[int, int, str]]:
    """Tokens of the text with IOB2 tags; where an entity begins or ends, a token does too."""
    entities: list[Entity] = []
    for entity in document.entities:
        if not entities or entities[-1].end <= entity.start:
            entities.append(entity)
    borders = [0, *(place for entity in entities for place in (entity.start, entity.end)), len(document.text)]
    for number, (first, last) in enumerate(itertools.pairwise(borders)):
        label = _one_word(entities[number // 2].label) if number % 2 else ""
        prefix = "B"
        for token in _TOKEN.finditer(document.text, first, last):
            yield token.start(), token.end(), f"{prefix}-{label}" if label else "O"
            prefix = "I"


_WRITERS: dict[str, Callable[[Sequence[Document]], bytes]] = {
    "jsonl": _jsonl, "pubtator": _pubtator, "bioc": _bioc, "brat": _brat, "conll": _conll,
}  # fmt: skip

__all__ = ["SUFFIXES", "export"]
