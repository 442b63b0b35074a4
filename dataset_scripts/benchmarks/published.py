"""The benchmarks as KBioXLM's authors publish them: which file is which split of which language.

The published folders are experiments (train in one language, test in the other), so a language's own splits
lie in two of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.classification import LabelledText, read_gad, read_hoc
from kbioxlm.dataset_scripts.benchmarks.iob import Sentence, read_iob

NER_FOLDER = Path("NER/datasets")
TEXT_FOLDER = Path("RE/data/seqcls")
JOINED_BY = {"en": " ", "zh": ""}
LANGUAGES = tuple(JOINED_BY)
ORIGINAL = "_original"  # ends the name of a configuration as published
NER_BENCHMARKS = ("ade", "bc5cdr")

FILES = {
    "ade": {
        ("en", "train"): NER_FOLDER / "ade/eng_to_zh/train.txt",
        ("en", "validation"): NER_FOLDER / "ade/eng_to_zh/dev.txt",
        ("en", "test"): NER_FOLDER / "ade/zh_to_eng/test.txt",
        ("zh", "train"): NER_FOLDER / "ade/zh_to_eng/train.txt",
        ("zh", "validation"): NER_FOLDER / "ade/zh_to_eng/dev.txt",
        ("zh", "test"): NER_FOLDER / "ade/eng_to_zh/test.txt",
    },
    "bc5cdr": {
        ("en", "train"): NER_FOLDER / "cdr/eng_to_zh/train.txt",
        ("en", "validation"): NER_FOLDER / "cdr/eng_to_zh/dev.txt",
        ("en", "test"): NER_FOLDER / "cdr/zh_to_eng/test.txt",
        ("zh", "train"): NER_FOLDER / "cdr/zh_to_eng/train.txt",
        ("zh", "validation"): NER_FOLDER / "cdr/zh_to_eng/dev.txt",
        ("zh", "test"): NER_FOLDER / "cdr/eng_to_zh/test.txt",
    },
    "gad": {
        ("en", "train"): TEXT_FOLDER / "GAD_hf_en_zh/train.json",
        ("en", "validation"): TEXT_FOLDER / "GAD_hf_en_zh/dev.json",
        ("en", "test"): TEXT_FOLDER / "GAD_hf_en_zh/test_en.json",
        ("zh", "train"): TEXT_FOLDER / "GAD_hf_zh_en/train.json",
        ("zh", "validation"): TEXT_FOLDER / "GAD_hf_zh_en/dev.json",
        ("zh", "test"): TEXT_FOLDER / "GAD_hf_zh_en/test_zh.json",
    },
    "hoc": {
        ("en", "train"): TEXT_FOLDER / "HoC_hf_en_zh/train.json",
        ("en", "validation"): TEXT_FOLDER / "HoC_hf_en_zh/dev.json",
        ("en", "test"): TEXT_FOLDER / "HoC_hf_en_zh/test_en.json",
        ("zh", "train"): TEXT_FOLDER / "HoC_hf_zh_en/train.json",
        ("zh", "validation"): TEXT_FOLDER / "HoC_hf_zh_en/dev.json",
        ("zh", "test"): TEXT_FOLDER / "HoC_hf_zh_en/test_zh.json",
    },
}


# Their published validation set is the test set that is used in the other direction.
VALIDATION_IS_TEST = ("ade",)


@dataclass(frozen=True)
class Split:
    """One split of a benchmark in one language.

    Attributes:
        benchmark: such as `ade`.
        language: ISO 639-1.
        name: train, validation or test.
        file: where its rows come from, below the published folder.
        rows: sentences with entities, or texts with labels.
        original: whether it is as published; else it is part of the cleaned splits.
        sha256: of the published file, in hexadecimal; empty where `rows` are not all of it.
    """

    benchmark: str
    language: str
    name: str
    file: Path
    rows: Sequence[Sentence] | Sequence[LabelledText]
    original: bool = False
    sha256: str = ""

    @property
    def config(self) -> str:
        """The data set configuration it belongs to, such as `ade_en`, or `ade_en_original`."""
        return f"{self.benchmark}_{self.language}{ORIGINAL if self.original else ''}"

    @property
    def documents(self) -> set[str]:
        """The ids of its documents."""
        return {row.document for row in self.rows}

    @property
    def sentences(self) -> list[Sentence]:
        """Its rows, where they are sentences with entities; else none."""
        return [row for row in self.rows if isinstance(row, Sentence)]

    @property
    def texts(self) -> list[LabelledText]:
        """Its rows, where they are texts with labels; else none."""
        return [row for row in self.rows if isinstance(row, LabelledText)]

    @staticmethod
    def labels_of(row: Sentence | LabelledText) -> list[str]:
        """The labels of a row: of each of its entities, or of the text."""
        return [entity.label for entity in row.entities] if isinstance(row, Sentence) else list(row.labels)

    def document_texts(self) -> dict[str, str]:
        """The whole text of every document, in the order of the rows."""
        parts: dict[str, list[str]] = {}
        for row in self.rows:
            parts.setdefault(row.document, []).append(row.text)
        return {document: JOINED_BY[self.language].join(own) for document, own in parts.items()}


def read_published(source: str | Path) -> list[Split]:
    """All splits of the four benchmarks as they are published under `source`, a copy of the authors' repository.

    Raises:
        InputError: `source` holds no such files, or one of them cannot be read.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(source, "no such folder", "give the folder of the authors' published files")
    wanted = [(benchmark, *key, file) for benchmark, files in FILES.items() for key, file in files.items()]
    missing = [file for *_, file in wanted if not (source / file).is_file()]
    if missing:
        raise InputError(
            source, f"{len(missing)} of {len(wanted)} files are missing, the first is {missing[0]}",
            f"give the authors' folder, with {NER_FOLDER}, {TEXT_FOLDER} and all their files in it",
        )  # fmt: skip
    splits = []
    with tqdm(wanted, desc="reading", unit="file") as files:  # closed before an error is printed
        for benchmark, language, name, file in files:
            rows = _read(source / file, benchmark, language, name)
            digest = hashlib.sha256((source / file).read_bytes()).hexdigest()
            splits.append(Split(benchmark, language, name, file, rows, original=True, sha256=digest))
    return splits


def _read(path: Path, benchmark: str, language: str, name: str) -> Sequence[Sentence] | Sequence[LabelledText]:
    if benchmark == "gad":
        return read_gad(path, language, name)
    if benchmark == "hoc":
        return read_hoc(path, language)
    return read_iob(path, spaced=JOINED_BY[language] == " ", language=language, repair=True).sentences


def training_texts(splits: Sequence[Split]) -> Iterator[dict[str, str]]:
    """The training documents of ADE and BC5CDR in both languages without labels, as `{"id", "lang", "text"}`.

    A document is left out if its id is in a test or validation set of its benchmark in any language, or if
    one of its sentences is, letter for letter but for case, a test or validation sentence.
    """
    for benchmark in NER_BENCHMARKS:
        own = [split for split in splits if split.benchmark == benchmark]
        kept_back = [split for split in own if split.name != "train"]
        ids = set().union(*(split.documents for split in kept_back))
        sentences = {sentence.text.casefold() for split in kept_back for sentence in split.sentences}
        for split in own:
            if split.name != "train":
                continue
            ids_of_repeats = {row.document for row in split.sentences if row.text.casefold() in sentences}
            for document, text in split.document_texts().items():
                if document not in ids and document not in ids_of_repeats:
                    yield {"id": f"{benchmark}/{split.language}/{document}", "lang": split.language, "text": text}
