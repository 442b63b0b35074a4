"""The annotated data that are translated: configurations of a data set folder, or IOB files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import yaml

from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.benchmarks.folder import sentence_table
from kbioxlm.dataset_scripts.benchmarks.iob import read_iob
from kbioxlm.dataset_scripts.folder import CARD, column_names, read_table

# words that stand for an entity in relation data, such as @GENE$
PLACEHOLDER = re.compile(r"@[A-Za-z][A-Za-z0-9_-]*\$")
REQUIRED = ("id", "document", "language", "text")
_SPLIT_OF_STEM = {"train": "train", "dev": "validation", "validation": "validation", "test": "test"}


class Enclosed(NamedTuple):
    """What gets markers: an entity with its label, or a placeholder, whose label is itself."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Row:
    """A row that is translated.

    Attributes:
        key: `config/split/id`, under which it is reviewed.
        document: its document's id.
        text: in the source language.
        enclosed: in the order of the text; number n is the n-th, from 1.
    """

    key: str
    document: str
    text: str
    enclosed: tuple[Enclosed, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each number."""
        return tuple(one.label for one in self.enclosed)


@dataclass(frozen=True)
class Split:
    """A split of a data set: its table with all columns, and its rows, in the same order.

    Attributes:
        config: of the source.
        place: the folder, or the IOB file.
        origin: the same without the path to it, for the card.
        license: what the source's card states, or `unknown`.
    """

    config: str
    name: str
    place: Path
    origin: str
    license: str
    table: pa.Table
    rows: tuple[Row, ...]

    @property
    def fingerprint(self) -> str:
        """A short hash of all that is translated."""
        digest = blake2b(digest_size=8)
        for row in self.rows:
            digest.update(repr((row.key, row.text, row.enclosed)).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def read_splits(sources: Sequence[str], language: str) -> list[Split]:
    """The splits of all `sources`, each `FOLDER:CONFIG`, `FOLDER:CONFIG:SPLIT` or an IOB file.

    Raises:
        InputError: nothing there, a column that is missing, rows in another language, an empty text, an id twice,
            spans outside the text or overlapping, or a split that is named twice.
    """
    splits: list[Split] = []
    for source in sources:
        splits += [_iob_split(Path(source), language)] if Path(source).is_file() else _folder_splits(source, language)
    names = [(split.config, split.name) for split in splits]
    for name in names:
        if names.count(name) > 1:
            raise InputError("--data", f"split {name[1]} of {name[0]} comes twice", "name each split once")
    return splits


def _iob_split(path: Path, language: str) -> Split:
    """`train`, `dev` and `test` files are splits named by their folder; another file is a data set of its own."""
    name = _SPLIT_OF_STEM.get(path.stem)
    config = path.resolve().parent.name if name else path.name.split(".")[0]
    table = sentence_table(read_iob(path, language=language).sentences)
    origin = f"{path.resolve().parent.name}/{path.name}"
    return _split(config, name or "train", path, origin, "unknown", table, language)


def _folder_splits(source: str, language: str) -> list[Split]:
    place, _, rest = source.partition(":")
    config, _, wanted = rest.partition(":")
    if not place or not config:
        raise InputError("--data", f"{shown(source)} is no file", "write FOLDER:CONFIG, or the path of an IOB file")
    folder = Path(place) / config
    if not folder.is_dir():
        known = sorted(path.name for path in Path(place).glob("*/") if any(path.glob("**/*.parquet")))
        raise InputError(source, "no such configuration", f"choose from {', '.join(known) or 'none: build it first'}")
    names = sorted(path.name for path in folder.glob("*/") if any(path.glob("*.parquet")))
    if wanted and wanted not in names:
        raise InputError(source, f"no split {shown(wanted)}", f"choose from {', '.join(names) or 'none'}")
    if not names:
        raise InputError(folder, "no SPLIT/*.parquet in it", "give a folder that translated_benchmarks.py has written")
    license_ = _license(Path(place))
    splits = []
    for name in [wanted] if wanted else names:
        columns = column_names(place, f"{config}/{name}")
        table = read_table(place, f"{config}/{name}", list(dict.fromkeys([*REQUIRED, *columns])))
        origin = f"{Path(place).resolve().name}:{config}"
        splits.append(_split(config, name, Path(place), origin, license_, table.select(columns), language))
    return splits


def _license(folder: Path) -> str:
    """The licence in the card's front matter."""
    card = folder / CARD
    parts = card.read_text(encoding="utf-8").split("---\n") if card.is_file() else []
    try:
        content = yaml.safe_load(parts[1]) if len(parts) > 2 else None
    except yaml.YAMLError as error:
        raise InputError(card, "its front matter is not YAML", "build the folder again") from error
    return str(content.get("license", "unknown")) if isinstance(content, dict) else "unknown"


def _split(config: str, name: str, place: Path, origin: str, license_: str, table: pa.Table, language: str) -> Split:
    if not table.num_rows:
        raise InputError(place, f"no row in split {name}", "leave it out")
    columns = [column for column in (*REQUIRED, "entities") if column in table.column_names]
    rows = tuple(_row(f"{config}/{name}", place, number, content, language)
                 for number, content in enumerate(table.select(columns).to_pylist()))  # fmt: skip
    seen: set[str] = set()
    for row in rows:
        if row.key in seen:
            raise InputError(place, f"{shown(row.key)} is there twice", "make ids unique within a split")
        seen.add(row.key)
    return Split(config, name, place, origin, license_, table, rows)


def _row(prefix: str, place: Path, number: int, content: dict[str, Any], language: str) -> Row:
    text = content["text"]
    where = f"row {number} ({content['id']})"
    if not isinstance(text, str) or not text.strip():
        raise InputError(place, f"{where} has no text", "take it out")
    if content["language"] not in (language, "", None):
        raise InputError(place, f"{where} is in {shown(content['language'])}", f"--source says {language}")
    entities = sorted(Enclosed(one["start"], one["end"], one["label"]) for one in content.get("entities") or ())
    last = 0
    for start, end, _ in entities:
        if not last <= start < end <= len(text) or text[start:end].isspace():
            raise InputError(
                place, f"{where}: entity {start}..{end} overlaps another, is white space, or leaves the text of "
                f"{len(text)} characters", "correct the offsets",
            )  # fmt: skip
        last = end
    placeholders = [Enclosed(*match.span(), match[0]) for match in PLACEHOLDER.finditer(text)]
    free = [one for one in placeholders if not any(one.start < end and start < one.end for start, end, _ in entities)]
    return Row(f"{prefix}/{content['id']}", str(content["document"]), text, tuple(sorted(entities + free)))


def is_placeholder(label: str) -> bool:
    """Whether a label is that of a placeholder, which is its own label."""
    return PLACEHOLDER.fullmatch(label) is not None
