"""What a knowledge base is made of, on disk and in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import written_beside
from kbioxlm.dataset_scripts.knowledge.store_tables import NameColumns, RelationColumns
from kbioxlm.dataset_scripts.knowledge.string_column import StringColumn, StringIndex, mapped

FORMAT = 1
DESCRIPTION = "knowledge_base.json"
ARRAYS = ("concepts", "bucket_starts", "bucket_items", "names", "cells", "subjects", "objects", "relations")
Phrases = dict[tuple[str, str], str]


class Parts(NamedTuple):
    """What a knowledge base is made of; strings and arrays may be memory-mapped.

    Attributes:
        names: of all concepts, sorted by concept, then language.
        cells: (concepts · languages + 1,) int32. The names of a concept in a language are those from
            `cells[concept · languages + language]` to the next.
        subjects: (concepts + 1,) int64. The relations of a subject are those from `subjects[subject]` to the next.
        objects, relations: (relations,) int32, by subject sorted by object, then relation.
    """

    languages: tuple[str, ...]
    concepts: StringColumn
    concept_index: StringIndex
    names: StringColumn
    cells: NDArray[np.int32]
    relation_ids: list[str]
    subjects: NDArray[np.int64]
    objects: NDArray[np.int32]
    relations: NDArray[np.int32]
    phrases: Phrases


def parts_of(languages: tuple[str, ...], names: NameColumns, relations: RelationColumns, phrases: Phrases) -> Parts:
    """The parts of a knowledge base with these names, relations and phrases."""
    concepts = StringColumn.of(names.concepts)
    count = len(languages)
    cell = names.concept.astype(np.int64) * count + names.language
    return Parts(
        languages,
        concepts,
        StringIndex.of(concepts),
        StringColumn.of(names.names),
        _starts(cell, len(concepts) * count).astype(np.int32),
        relations.relations,
        _starts(relations.subject, len(concepts)),
        relations.object,
        relations.relation,
        phrases,
    )


def _starts(groups: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Where each of `count` groups begins in the sorted `groups`, and at the end their length; (count + 1,)."""
    return np.searchsorted(groups, np.arange(count + 1)).astype(np.int64)


def save_parts(parts: Parts, folder: Path) -> None:
    """Write `parts` to `folder`: one `.npy` file an array, the strings as `.utf8`, and a small JSON file."""
    arrays: tuple[NDArray[Any], ...] = (
        *(parts.concepts.offsets, parts.concept_index.starts, parts.concept_index.items),
        *(parts.names.offsets, parts.cells, parts.subjects, parts.objects, parts.relations),
    )
    description = {
        "format": FORMAT,
        "languages": parts.languages,
        "relations": parts.relation_ids,
        "phrases": sorted((*key, name) for key, name in parts.phrases.items()),
    }
    if folder.exists() and not (folder / DESCRIPTION).is_file():
        raise InputError(folder, "is something else than a saved knowledge base", "give a folder that does not exist")
    with written_beside(folder) as draft:
        draft.mkdir(parents=True)
        for name, array in zip(ARRAYS, arrays, strict=True):
            np.save(draft / f"{name}.npy", array, allow_pickle=False)
        (draft / "concepts.utf8").write_bytes(parts.concepts.data)
        (draft / "names.utf8").write_bytes(parts.names.data)
        text = json.dumps(description, ensure_ascii=False, indent=1)
        (draft / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def open_parts(folder: Path) -> Parts:
    """What `save_parts` wrote to `folder`, memory-mapped.

    Raises:
        InputError: not such a folder, one of another version, or a missing or damaged file.
    """
    remedy = "save the knowledge base there again"
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        concepts, names = (
            StringColumn(arrays[name], mapped(folder / f"{name}.utf8")) for name in ("concepts", "names")
        )
    except FileNotFoundError as error:
        raise InputError(folder, f"no {Path(error.filename).name} in it", remedy) from error
    except (OSError, ValueError) as error:
        raise InputError(folder, f"not a saved knowledge base ({error})", remedy) from error
    if description.get("format") != FORMAT:
        raise InputError(folder / DESCRIPTION, f"format {shown(description.get('format'))}, not {FORMAT}", remedy)
    return Parts(
        tuple(description["languages"]),
        concepts,
        StringIndex(concepts, arrays["bucket_starts"], arrays["bucket_items"]),
        names,
        arrays["cells"],
        description["relations"],
        arrays["subjects"],
        arrays["objects"],
        arrays["relations"],
        {(relation, language): name for relation, language, name in description["phrases"]},
    )
