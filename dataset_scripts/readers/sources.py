"""What `--text` may name, and the parts that it is read in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import require_file
from kbioxlm.dataset_scripts.readers.documents import Document, Part, Withdrawal
from kbioxlm.dataset_scripts.readers.json_lines import read_documents
from kbioxlm.dataset_scripts.readers.parquet import read_parquet
from kbioxlm.dataset_scripts.readers.plain_text import read_plain_text
from kbioxlm.dataset_scripts.readers.pubmed import read_pubmed


class _Reader(Protocol):
    def __call__(
        self, path: Path, name: str, languages: tuple[str, ...], language: str | None = None
    ) -> Iterator[Document | Withdrawal]: ...


_COMPRESSED = ("", ".gz", ".bz2")
_READERS: dict[str, _Reader] = {
    **{f"{suffix}{end}": read_documents for suffix in (".jsonl", ".json") for end in _COMPRESSED},
    **{f".txt{end}": read_plain_text for end in _COMPRESSED},
    **{f".xml{end}": read_pubmed for end in _COMPRESSED},
    ".parquet": read_parquet,
}
_FORMATS = ".jsonl, .json, .txt, .xml (each also .gz or .bz2), .parquet"


@dataclass(frozen=True)
class FilePart:
    """One file. `name` is its name without the folder, since ids of texts are made of it."""

    path: Path
    languages: tuple[str, ...]
    language: str | None

    @property
    def name(self) -> str:
        return self.path.name

    def read(self) -> Iterator[Document | Withdrawal]:
        """The texts of the file, in its order.

        Raises:
            InputError: as the reader of the format.
        """
        return _READERS[_suffix(self.path)](self.path, self.name, self.languages, self.language)


def parts(specification: str | Path, languages: tuple[str, ...], language: str | None = None) -> list[Part]:
    """The parts of a file, of a folder (the files directly in it that have a known suffix, by name), or of `hub:…`.

    Args:
        specification: a path, or `hub:owner/name[:config[:split]]`, where a folder may stand for owner/name.
        languages: the languages asked for.
        language: of texts that do not say theirs.

    Raises:
        InputError: nothing there, an unknown suffix, a folder without texts, a data set that cannot be opened.
    """
    if isinstance(specification, str) and specification.startswith("hub:"):
        from kbioxlm.dataset_scripts.readers.hub import hub_parts  # datasets takes seconds to import

        return list(hub_parts(specification, languages, language))
    path = Path(specification)
    files = _files_of(path) if path.is_dir() else [path]
    for file in files:
        if _suffix(file) not in _READERS:
            raise InputError(file, f"unknown format {_suffix(file) or 'without suffix'!r}", f"give {_FORMATS}")
        require_file(file)
    return [FilePart(file, languages, language) for file in files]


def _files_of(folder: Path) -> list[Path]:
    files = [file for file in folder.iterdir() if _suffix(file) in _READERS and file.is_file()]
    files = sorted((file for file in files if not file.name.startswith(".")), key=lambda file: file.name)
    if not files:
        remedy = f"put {_FORMATS} directly into it, or write hub:{folder}:CONFIG for a data set folder"
        raise InputError(folder, "no texts in the folder", remedy)
    return files


def _suffix(path: Path) -> str:
    ends = path.suffixes[-2:] if path.suffix in _COMPRESSED else path.suffixes[-1:]
    return "".join(ends).lower()
