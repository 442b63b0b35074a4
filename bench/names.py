"""Millions of names that look real, and texts, from the folder KBIOXLM_REAL_DATA."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

LANGUAGES = {"ENG": "en", "SPA": "es", "FRE": "fr", "POR": "pt", "GER": "de", "ITA": "it", "CHI": "zh"}
CHINESE_SHARE = 4  # one name in so many


def names(data: Path, count: int) -> list[tuple[str, str]]:
    """`count` different names and their languages, three in four of them Latin.

    First come the real names; the others join the beginning of one name to the end of another of its language, so
    that they share prefixes with real names and some are met in text.
    """
    real: dict[str, list[str]] = {"en": [], "zh": []}
    latin: dict[str, str] = {}
    with (data / "open_knowledge_base" / "MRCONSO.RRF").open(encoding="utf-8") as lines:
        for fields in (line.split("|") for line in lines):
            language = LANGUAGES.get(fields[1])
            if language == "zh":
                real["zh"].append(fields[14])
            elif language is not None:
                latin.setdefault(fields[14], language)
    chinese = count // CHINESE_SHARE
    rng = random.Random(0)
    latin_names = _grown([*latin], count - chinese, rng, " ")
    chinese_names = _grown([*dict.fromkeys(real["zh"])], chinese, rng, "")
    return [*((name, latin.get(name, "en")) for name in latin_names), *((name, "zh") for name in chinese_names)]


def _grown(real: list[str], count: int, rng: random.Random, space: str) -> list[str]:
    grown = dict.fromkeys(real[:count])
    while len(grown) < count:
        head, tail = rng.choice(real), rng.choice(real)
        parts = (head.split(" "), tail.split(" ")) if space else (list(head), list(tail))
        if len(parts[0]) + len(parts[1]) < 3:
            continue
        first = rng.randint(1, min(len(parts[0]), 4)) if space else rng.randint(2, max(2, min(len(parts[0]), 6)))
        last = rng.randint(1, min(len(parts[1]), 3)) if space else rng.randint(2, max(2, min(len(parts[1]), 6)))
        grown[space.join([*parts[0][:first], *parts[1][-last:]])] = None
    return [*grown]


def texts(data: Path, language: str, megabytes: float) -> list[str]:
    """The first texts of `language`, about so many megabytes of UTF-8."""
    return [*_until(data / "corpora" / f"{language}.jsonl.gz", megabytes * 1e6)]


def _until(path: Path, size: float) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            text = json.loads(line)["text"]
            yield text
            size -= len(text.encode())
            if size <= 0:
                return
