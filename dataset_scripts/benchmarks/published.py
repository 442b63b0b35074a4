"""The benchmarks as KBioXLM's authors publish them: which file is which split of which language.

The published folders are experiments (train in one language, test in the other), so a language's own splits
lie in two of them. ADE's `dev.txt` is the test set of the other direction and is no split of its own.
"""

from __future__ import annotations

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
NER_BENCHMARKS = ("ade", "bc5cdr")

_FILES = {
    "ade": {
        ("en", "train"): NER_FOLDER / "ade/eng_to_zh/train.txt",
        ("en", "test"): NER_FOLDER / "ade/zh_to_eng/test.txt",
        ("zh", "train"): NER_FOLDER / "ade/zh_to_eng/train.txt",
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


@dataclass(frozen=True)
class Split:
    """One split of a benchmark in one language: its file, below the published folder, and its rows."""

    benchmark: str
    language: str
    name: str
    file: Path
    rows: Sequence[Sentence] | Sequence[LabelledText]

    @property
    def config(self) -> str:
        """The data set configuration it belongs to, such as `ade_en`."""
        return f"{self.benchmark}_{self.language}"

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


def read_published(source: str | Path) -> list[Split]:
    """All splits of the four benchmarks under `source`, a copy of the authors' repository.

    Raises:
        InputError: `source` holds no such files, or one of them cannot be read.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(source, "no such folder", "give the folder of the authors' published files")
    wanted = [(benchmark, *key, file) for benchmark, files in _FILES.items() for key, file in files.items()]
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
            splits.append(Split(benchmark, language, name, file, rows))
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
        sentences = {s.text.casefold() for split in kept_back for s in split.sentences}
        for split in own:
            if split.name != "train":
                continue
            for document, parts in _by_document(split.sentences).items():
                if document in ids or any(part.casefold() in sentences for part in parts):
                    continue
                text = JOINED_BY[split.language].join(parts)
                yield {"id": f"{benchmark}/{split.language}/{document}", "lang": split.language, "text": text}


def _by_document(sentences: list[Sentence]) -> dict[str, list[str]]:
    documents: dict[str, list[str]] = {}
    for sentence in sentences:
        documents.setdefault(sentence.document, []).append(sentence.text)
    return documents
