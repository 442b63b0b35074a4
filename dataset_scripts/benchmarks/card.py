"""The card of the benchmarks: what the splits are, what moved, where everything is from and under which terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from kbioxlm.dataset_scripts.benchmarks.clean import THRESHOLD
from kbioxlm.dataset_scripts.benchmarks.published import ORIGINAL
from kbioxlm.dataset_scripts.folder import markdown_table

VERSION = "2.0.0"  # of the splits: 1 are the published ones; a change of any cleaned split raises it
REPOSITORY = "https://github.com/ngwlh-gl/KBioXLM"
_TITLE = "ADE, BC5CDR, GAD and HoC in English and Chinese"
# benchmark: what it is made from, by whom, and the terms of the English corpus
_CORPORA = {
    "ade": (
        "ADE corpus: sentences of case reports with drugs and their adverse effects",
        "Gurulingappa et al. 2012, doi:10.1016/j.jbi.2012.04.008",
        "none known",
    ),
    "bc5cdr": (
        "BioCreative V CDR corpus: titles and abstracts with chemicals and diseases",
        "Li et al. 2016, doi:10.1093/database/baw068",
        "Public Domain Mark 1.0, as BigBIO lists it",
    ),
    "gad": (
        "sentences with a gene and a disease, annotated by means of the Genetic Association Database",
        "Bravo et al. 2015, doi:10.1186/s12859-015-0472-9; splits of BLURB",
        "CC BY 4.0, as BigBIO lists it",
    ),
    "hoc": (
        "Hallmarks of Cancer corpus: abstracts with the hallmarks that they are about",
        "Baker et al. 2016, doi:10.1093/bioinformatics/btv585; splits of BLURB",
        "GPL-3.0, as BigBIO lists it",
    ),
}
_BODY = """# {title}

Version {version}. Named entities (ADE, BC5CDR), gene-disease relations in sentences (GAD) and hallmarks of cancer in
abstracts (HoC), in English and in the Chinese translation that the authors of KBioXLM made (arXiv 2311.11564).

## Splits

Every benchmark is here twice. `ade_en`, …: cleaned splits, to train and score on. No document is on two sides in any
language, and no two texts on different sides are near-duplicates (Jaccard index of character 4-grams of {threshold} or
more). `ade_en{original}`, …: as published, row for row, for comparison with the paper. The published validation set of
ADE is its test set, which the other direction scores: a checkpoint chosen on it has seen the test documents.

{splits}

A repaired tag is an `I-` that continued nothing and now begins an entity; `repaired_units` names its units.

## What moved

{changes}

A document that goes, goes in both languages. `changes` lists every document, with the one that it had to make way for.

## Rows

- ADE and BC5CDR: English words are joined by one space, Chinese characters by nothing. `units` are the published lines,
  on which scores are computed. Offsets are code points of `text`, end exclusive.
- Label names, of texts in the order of the published numbers:
{labels}

## Parallel documents

{parallel}

Parallel documents have the same `document` in both languages, by the published ids: a PubMed id in BC5CDR and HoC, the
number of a sentence in ADE, the number of a sentence within its split in GAD. `parallel` lists them with their splits
and rows; a split is null where the cleaned splits lack the document. Sentences of BC5CDR are parallel by document only.

## Sources and terms

{sources}

The translations, and the labels projected on them, are those of [KBioXLM's repository]({repository}),
which holds no licence file. {origin}
Before you pass this data set on, see that you may.
"""


def benchmarks_card(statistics: dict[str, Any], tables: Sequence[str]) -> str:
    """The card of a folder with `statistics`, and `tables` (one split each) beside the splits of benchmarks."""
    splits: dict[str, dict[str, Any]] = statistics["splits"]
    listed = {config: list(own) for config, own in splits.items()} | {name: ["train"] for name in tables}
    front_matter = {
        "pretty_name": _TITLE,
        "language": ["en", "zh"],
        "license": "other",
        "license_name": "several",
        "version": statistics["version"],
        "task_categories": ["token-classification", "text-classification"],
        "configs": [
            {
                "config_name": config,
                "data_files": [{"split": name, "path": f"{config}/{name}/*.parquet"} for name in names],
            }
            for config, names in listed.items()
        ],
    }
    benchmarks = list(statistics["parallel"])
    body = _BODY.format(
        title=_TITLE,
        version=statistics["version"],
        threshold=THRESHOLD,
        original=ORIGINAL,
        repository=REPOSITORY,
        splits=_split_table(splits),
        changes=_change_table(statistics["changes"]),
        labels=_label_list(statistics["labels"]),
        parallel=markdown_table(
            ["benchmark", "in both languages", "in both, cleaned", "same labels", "English only", "Chinese only"],
            [[name, *statistics["parallel"][name].values()] for name in benchmarks],
        ),
        sources=markdown_table(
            ["benchmark", "made from", "by", "terms"], [[name, *_CORPORA[name]] for name in benchmarks]
        ),
        origin=_origin(statistics["source"]),
    )
    return f"---\n{yaml.safe_dump(front_matter, sort_keys=False)}---\n\n{body}"


def _label_list(labels: dict[str, list[str]]) -> str:
    """A line for each list of names, with the configurations that share it."""
    configs: dict[tuple[str, ...], list[str]] = {}
    for config, names in labels.items():
        configs.setdefault(tuple(names), []).append(f"`{config}`")
    return "\n".join(f"  - {', '.join(own)}: {', '.join(names)}" for names, own in configs.items())


def _split_table(splits: dict[str, dict[str, Any]]) -> str:
    return markdown_table(
        ["config", "split", "documents", "rows", "labels", "repaired tags", "file"],
        [
            [config, split, row["documents"], row["rows"], sum(row["labels"].values()), row["repaired_tags"],
             row["file"]]
            for config, own in splits.items()
            for split, row in own.items()
        ],
    )  # fmt: skip


def _change_table(changes: Sequence[dict[str, Any]]) -> str:
    if not changes:
        return "Nothing."
    return markdown_table(
        ["benchmark", "published in", "now in", "because", "documents", "English rows", "Chinese rows"],
        [
            [row["benchmark"], row["published"], row["place"] or "–", row["reason"], row["documents"], row["rows_en"],
             row["rows_zh"]]
            for row in changes
        ],
    )  # fmt: skip


def _origin(source: dict[str, Any]) -> str:
    if source["url"] is None:
        return "`stats.json` holds the SHA-256 of every published file."
    commit = f" (commit {source['commit']})" if source["commit"] else ""
    return f"They were fetched from {source['url']}{commit}; `stats.json` holds the SHA-256 of every file."
