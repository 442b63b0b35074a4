"""The NER benchmarks as KBioXLM's authors publish them: which file is which split of which language.

The published folders are experiments (train in one language, test in the other), so a language's own splits
lie in two of them. ADE's `dev.txt` is the test set of the other direction and is no split of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.iob import IobFile, Sentence, read_iob

NER_FOLDER = Path("NER/datasets")
JOINED_BY = {"en": " ", "zh": ""}

_FILES = {
    "ade": {
        ("en", "train"): "ade/eng_to_zh/train.txt",
        ("en", "test"): "ade/zh_to_eng/test.txt",
        ("zh", "train"): "ade/zh_to_eng/train.txt",
        ("zh", "test"): "ade/eng_to_zh/test.txt",
    },
    "bc5cdr": {
        ("en", "train"): "cdr/eng_to_zh/train.txt",
        ("en", "validation"): "cdr/eng_to_zh/dev.txt",
        ("en", "test"): "cdr/zh_to_eng/test.txt",
        ("zh", "train"): "cdr/zh_to_eng/train.txt",
        ("zh", "validation"): "cdr/zh_to_eng/dev.txt",
        ("zh", "test"): "cdr/eng_to_zh/test.txt",
    },
}


@dataclass(frozen=True)
class Split:
    """One published split: its benchmark, language, name, file and content."""

    benchmark: str
    language: str
    name: str
    file: Path
    content: IobFile

    @property
    def config(self) -> str:
        """The data set configuration it belongs to, such as `ade_en`."""
        return f"{self.benchmark}_{self.language}"

    @property
    def documents(self) -> set[str]:
        """The ids of its documents."""
        return {sentence.document for sentence in self.content.sentences}


def read_published(source: str | Path) -> list[Split]:
    """All NER splits under `source`, the authors' repository or its `NER/datasets`.

    Raises:
        InputError: `source` holds no such files, or one of them cannot be read.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(source, "no such folder", "give the folder of the authors' published files")
    root = source / NER_FOLDER if (source / NER_FOLDER).is_dir() else source
    wanted = [(benchmark, *key, file) for benchmark, files in _FILES.items() for key, file in files.items()]
    missing = [file for *_, file in wanted if not (root / file).is_file()]
    if missing:
        raise InputError(
            root, f"{len(missing)} of {len(wanted)} files are missing, the first is {missing[0]}",
            f"give the authors' folder, with {NER_FOLDER}/{wanted[0][-1]} and the others in it",
        )  # fmt: skip
    splits = []
    for benchmark, language, name, file in tqdm(wanted, desc="reading", unit="file"):
        content = read_iob(root / file, spaced=JOINED_BY[language] == " ", language=language, repair=True)
        splits.append(Split(benchmark, language, name, Path(file), content))
    return splits


def training_texts(splits: list[Split]) -> Iterator[dict[str, str]]:
    """The training documents of both languages without labels, as `{"id", "lang", "text"}`.

    A document is left out if its id is in a test or validation set of its benchmark in any language, or if
    one of its sentences is, letter for letter but for case, a test or validation sentence.
    """
    for benchmark in _FILES:
        own = [split for split in splits if split.benchmark == benchmark]
        kept_back = [split for split in own if split.name != "train"]
        ids = set().union(*(split.documents for split in kept_back))
        sentences = {s.text.casefold() for split in kept_back for s in split.content.sentences}
        for split in own:
            if split.name != "train":
                continue
            for document, parts in _by_document(split.content.sentences).items():
                if document in ids or any(part.casefold() in sentences for part in parts):
                    continue
                text = JOINED_BY[split.language].join(parts)
                yield {"id": f"{benchmark}/{split.language}/{document}", "lang": split.language, "text": text}


def _by_document(sentences: list[Sentence]) -> dict[str, list[str]]:
    documents: dict[str, list[str]] = {}
    for sentence in sentences:
        documents.setdefault(sentence.document, []).append(sentence.text)
    return documents
