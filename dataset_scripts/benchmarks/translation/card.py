"""The card and the statistics of a translated data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kbioxlm.common.errors import one_line
from kbioxlm.dataset_scripts.benchmarks.translation.assembly import SplitCounts
from kbioxlm.dataset_scripts.benchmarks.translation.defects import WEIGHTS
from kbioxlm.dataset_scripts.folder import CARD, markdown_table, write_statistics
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES
from kbioxlm.dataset_scripts.translation.protocol import SettingValue

_COUNTS = tuple(field.name for field in dataclasses.fields(SplitCounts))


@dataclass(frozen=True)
class SampleCounts:
    """The rows without a defect that were drawn to be checked.

    Attributes:
        wrong: of the reviewed ones, those that were corrected or dropped.
    """

    drawn: int
    reviewed: int
    wrong: int


@dataclass(frozen=True)
class Machine:
    """A translator or checker, as it states itself."""

    identity: str
    settings: Mapping[str, SettingValue]


@dataclass(frozen=True)
class SourceSplit:
    """What a translated split was made from."""

    origin: str
    license: str
    fingerprint: str


@dataclass(frozen=True)
class TranslationReport:
    """What came of a translation.

    Attributes:
        source, target: languages.
        knowledge_base: its folder's name.
        threshold: rows above this risk are used only if a person says so.
        splits: by configuration and split, of the output.
        sources: the same of the input.
        defects: rows with each defect, by name.
        reviewed: the same of those that a person has decided on.
        under_review: rows in the review folder.
        open: of these, undecided.
        changed: of the open ones, those that were decided on when they were others.
        gone: decisions for rows that are not in the data.
    """

    source: str
    target: str
    translator: Machine
    checker: Machine | None
    knowledge_base: str | None
    threshold: float
    sample: float
    seed: int
    splits: dict[str, dict[str, SplitCounts]]
    sources: dict[str, dict[str, SourceSplit]]
    defects: dict[str, int]
    reviewed: dict[str, int]
    sampled: SampleCounts
    under_review: int
    open: int
    changed: int
    gone: int

    def total(self, name: str) -> int:
        """The sum of one of `SplitCounts` over all splits."""
        return sum(getattr(counts, name) for splits in self.splits.values() for counts in splits.values())

    def summary(self) -> str:
        """What came of it in a few lines, to be printed."""
        used = ("accepted", "corrected", "unreviewed")
        lines = [
            f"{self.total('source_rows'):,} rows: {self.total('rows'):,} used ("
            + ", ".join(f"{self.total(name):,} {name}" for name in used)
            + f"), {self.total('dropped'):,} dropped, {self.total('left_out'):,} left out as too risky",
            f"{self.under_review:,} under review, {self.open:,} open ({self.changed:,} changed since decided on)",
        ]
        return "\n".join(lines + [f"  {count:,} rows: {name}" for name, count in self.defects.items()])


def write_report(folder: Path, report: TranslationReport) -> None:
    """Write the card and `stats.json` of `folder`."""
    filled = {
        config: [split for split, counts in splits.items() if counts.rows] for config, splits in report.splits.items()
    }
    licenses = sorted({one.license for splits in report.sources.values() for one in splits.values()})
    front_matter = {
        "pretty_name": _title(report),
        "language": [report.target],
        "license": licenses[0] if len(licenses) == 1 else "other",
        "tags": ["biomedical", "machine-translated"],
        # load_dataset refuses empty splits
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{config}/{split}/*.parquet"} for split in splits],
            }
            for config, splits in filled.items()
            if splits
        ],
    }
    header = yaml.safe_dump(front_matter, allow_unicode=True, sort_keys=False)
    (folder / CARD).write_text(f"---\n{header}---\n\n{_body(report)}\n", encoding="utf-8")
    write_statistics(folder, dataclasses.asdict(report))


def _title(report: TranslationReport) -> str:
    return f"{', '.join(report.splits)}: translated from {ENGLISH_NAMES[report.source]}"


def _body(report: TranslationReport) -> str:
    sections = [
        f"# {_title(report)}",
        f"Machine translation from {ENGLISH_NAMES[report.source]} into {ENGLISH_NAMES[report.target]}. Entities were "
        "enclosed in numbered markers, translated with the text, and projected back by number (method: KBioXLM, arXiv "
        "2311.11564, section 4). `id`, `document` and all labels are those of the source, so that rows can be aligned.",
        markdown_table(
            ("config", "split", *(name.replace("_", " ") for name in _COUNTS)),
            [
                (config, split, *(getattr(counts, name) for name in _COUNTS))
                for config, splits in report.splits.items()
                for split, counts in splits.items()
            ],
        ),
        f"Rows with a risk above {report.threshold:g} are used only if a person has accepted or corrected them "
        "(`left out` counts the others). Risk is 1 - Π (1 - weight) over the defects of a row.",
        "## Defects",
        markdown_table(
            ("defect", "weight", "rows", "reviewed"),
            [(name, f"{WEIGHTS[name]:.2f}", count, report.reviewed[name]) for name, count in report.defects.items()],
        ),
        f"Of the rows without a defect {report.sampled.drawn:,} were drawn to be checked (share {report.sample:g}, "
        f"seed {report.seed}); {report.sampled.reviewed:,} have been, and {report.sampled.wrong:,} of these were "
        "corrected or dropped.",
        "## Provenance",
        markdown_table(
            ("config", "split", "source", "licence", "fingerprint"),
            [
                (config, split, _cell(one.origin), _cell(one.license), one.fingerprint)
                for config, splits in report.sources.items()
                for split, one in splits.items()
            ],
        ),
        markdown_table(("role", "name", "settings"), _machines(report)),
        *([f"Names of entities: knowledge base `{report.knowledge_base}`."] if report.knowledge_base else []),
    ]
    return "\n\n".join(sections)


def _machines(report: TranslationReport) -> list[Sequence[object]]:
    machines = [("translator", report.translator)]
    if report.checker is not None:
        machines.append(("checker of meaning", report.checker))
    return [(role, _cell(one.identity), _cell(_settings(one.settings))) for role, one in machines]


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in settings.items() if value not in (None, ""))


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|")
