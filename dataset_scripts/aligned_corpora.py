"""Build the aligned corpora: knowledge base + texts + article pairs → a data set folder; article pairs from dumps."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kbioxlm.common.cli import new_app, run
from kbioxlm.common.errors import InputError, shown
from kbioxlm.dataset_scripts.corpora.build import build_corpora
from kbioxlm.dataset_scripts.corpora.execution import Execution
from kbioxlm.dataset_scripts.corpora.settings import CorporaSettings
from kbioxlm.dataset_scripts.hub import push_to_hub, require_repository
from kbioxlm.dataset_scripts.knowledge.languages import parse_languages
from kbioxlm.dataset_scripts.matching.rules import SHIPPED_RULES

if TYPE_CHECKING:
    from kbioxlm.dataset_scripts.corpora.back_translation import Direction

app = new_app("Monolingual, entity, fact and passage corpora for pretraining.")


class Executor(StrEnum):
    """Where tasks run."""

    local = "local"
    ray = "ray"
    slurm = "slurm"


class FactLanguage(StrEnum):
    """In which language facts are told."""

    other = "other"
    own = "own"
    mixed = "mixed"


@app.callback()
def main() -> None:
    """Monolingual, entity, fact and passage corpora for pretraining."""


@app.command()
def build(
    knowledge_base: Annotated[Path, typer.Option(help="Folder written by knowledge_base.py build.")],
    text: Annotated[
        list[str],
        typer.Option(
            metavar="SOURCE",
            help="Texts: a file (.jsonl, .txt, PubMed .xml, each also .gz or .bz2; .parquet), a folder of such files, "
            "or hub:owner/name[:config[:split]]; may be given several times.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write; an earlier data set in its place is replaced.")],
    languages: Annotated[
        str, typer.Option(help="ISO 639-1 codes; names are replaced by names in another of these languages.")
    ] = "en,zh",
    pairs: Annotated[
        Path | None,
        typer.Option(
            help='Article pairs: JSON lines of {"id", "en": text, "zh": text} or {"sent1", "sent2"}, or a folder '
            "written by the command articles."
        ),
    ] = None,
    language: Annotated[str | None, typer.Option(help="Language of texts that do not say theirs.")] = None,
    seed: Annotated[int, typer.Option(help="Decides everything that is drawn.")] = 0,
    max_chars: Annotated[
        str | None,
        typer.Option(
            metavar="en=400,zh=150",
            help="Most characters of a segment by language, half of it in passage pairs. "
            "Default: 150 for zh, ja and ko, else 400.",
        ),
    ] = None,
    hold_out: Annotated[
        int, typer.Option(min=0, help="Concepts whose names are never paired, to measure alignment on.")
    ] = 0,
    passages: Annotated[
        int, typer.Option(min=0, help="Most passage examples, in equal thirds (30,000 in the paper).")
    ] = 30_000,
    fact_language: Annotated[
        FactLanguage,
        typer.Option(help="Tell facts in one other language (as in the paper), in the text's own, or mixed."),
    ] = FactLanguage.other,
    max_facts: Annotated[
        int | None, typer.Option(min=1, show_default="all", help="Most facts of a segment; of more, some are drawn.")
    ] = None,
    translation_facts: Annotated[
        bool, typer.Option("--translation-facts", help="Add every name beside its translation as facts.")
    ] = False,
    mixture: Annotated[
        bool,
        typer.Option("--mixture", help="Add the config mixture: as many tokens monolingual as aligned, shuffled."),
    ] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            show_default="words, and characters where words are not set apart",
            help="Count tokens of the statistics with this tokenizer: a folder, a tokenizer.json, or a Hub name.",
        ),
    ] = None,
    rules: Annotated[
        Path, typer.Option(show_default="shipped", help="What is not matched: stop names and minimal lengths (YAML).")
    ] = SHIPPED_RULES,
    executor: Annotated[
        Executor,
        typer.Option(help="Run in processes of this machine, on a Ray cluster, or as Slurm jobs (folders shared)."),
    ] = Executor.local,
    workers: Annotated[
        int | None, typer.Option(min=1, show_default="all cores; Slurm: no limit", help="Tasks at once.")
    ] = None,
    tasks: Annotated[
        int | None,
        typer.Option(min=1, show_default="16 a worker", help="Tasks a stage is cut into; never changes the result."),
    ] = None,
    task_cpus: Annotated[int, typer.Option(min=1, help="Cores reserved for a task (Ray, Slurm).")] = 1,
    task_memory: Annotated[int, typer.Option(min=1, help="GB reserved for a task (Ray cluster, Slurm).")] = 4,
    ray_address: Annotated[
        str | None, typer.Option(show_default="start one here", help="Ray cluster to use, such as auto or ray://host.")
    ] = None,
    slurm_partition: Annotated[str | None, typer.Option(help="Partition of the jobs.")] = None,
    slurm_time: Annotated[str, typer.Option(help="Time limit of a task.")] = "24:00:00",
    slurm_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Further option of sbatch, such as account=lab; several times."),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option("--push-to-hub", metavar="OWNER/NAME", help="Upload the finished folder to this data set."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make that data set private if it is new.")] = False,
) -> None:
    """Cut texts into segments, find the names of the knowledge base in them, and write all levels.

    A run that was killed is continued by the same command: finished blocks are kept in a work folder beside OUTPUT.
    """
    codes = parse_languages(languages, at_least=2)
    if language is not None and language not in codes:
        raise InputError("--language", f"{shown(language)} is not one of {languages}", "add it to --languages")
    if push is not None:
        require_repository(push)
    settings = CorporaSettings(
        languages=codes,
        seed=seed,
        max_chars=parse_max_chars(max_chars, codes),
        text_language=language,
        hold_out=hold_out,
        passages=passages,
        translation_facts=translation_facts,
        fact_language=fact_language.value,
        max_facts=max_facts,
        mixture=mixture,
        tokenizer=tokenizer,
        rules=rules,
    )
    execution = Execution(
        executor=executor.value,
        workers=workers,
        tasks=tasks,
        cpus=task_cpus,
        memory=task_memory,
        ray_address=ray_address,
        slurm_partition=slurm_partition,
        slurm_time=slurm_time,
        slurm_options=parse_slurm_options(slurm_option or []),
    )
    statistics = build_corpora(knowledge_base, text, output, settings, pairs, execution)
    sizes = ", ".join(f"{sum(counts.rows.values()):,} {level}" for level, counts in statistics.levels.items())
    print(f"{output}: {sizes} rows; {sum(statistics.held_out.values()):,} concepts held out", file=sys.stderr)
    if push is not None:
        print(f"uploaded to {push_to_hub(output, push, private, 'Aligned corpora')}", file=sys.stderr)


@app.command()
def articles(
    dump: Annotated[
        list[str],
        typer.Option(
            metavar="en=FOLDER",
            help="Folder with the dump files of one Wikipedia; the first is paired with the others; several times.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write; an earlier data set in its place is replaced.")],
    roots: Annotated[
        Path | None, typer.Option(show_default="shipped", help="Categories where the walk begins (language, category).")
    ] = None,
    excluded: Annotated[
        Path | None,
        typer.Option(show_default="shipped", help="Categories that are not entered; /…/ is a regular expression."),
    ] = None,
    depth: Annotated[int, typer.Option(help="Most steps from a root down.")] = 3,
    either: Annotated[
        bool, typer.Option("--either", help="Keep a pair if the categories gave one of its articles, not only both.")
    ] = False,
    complete: Annotated[bool, typer.Option("--complete", help="Keep only articles that all editions have.")] = False,
    minimal_characters: Annotated[int, typer.Option(help="Leave out shorter texts.")] = 100,
    keep_scripts: Annotated[
        bool, typer.Option("--keep-scripts", help="Leave Chinese in the script it is written in.")
    ] = False,
    knowledge_base: Annotated[
        Path | None, typer.Option(help="Score articles by the share of characters in its names.")
    ] = None,
    tagger: Annotated[
        str | None, typer.Option(help="Score articles by the share of characters that a fine-tuned tagger marks.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Leave out articles with a lower score.")] = 0.0,
    workers: Annotated[int, typer.Option(help="Pieces of a dump that are read and cleaned at a time.")] = 1,
    keep_steps: Annotated[
        bool, typer.Option("--keep-steps", help="Leave the intermediate results for runs with other settings.")
    ] = False,
) -> None:
    """Read Wikipedia dumps, walk their categories, and pair the articles about the same by language links.

    A run that was killed is continued by the same command.
    """
    # every worker of `build` imports this module, and needs none of these
    from kbioxlm.dataset_scripts.encyclopaedia.build import build_article_pairs
    from kbioxlm.dataset_scripts.encyclopaedia.categories import EXCLUDED, ROOTS
    from kbioxlm.dataset_scripts.encyclopaedia.settings import ArticleSettings

    statistics = build_article_pairs(
        ArticleSettings(
            editions=parse_dumps(dump),
            output=output,
            roots=roots or ROOTS,
            excluded=excluded or EXCLUDED,
            depth=depth,
            either=either,
            complete=complete,
            minimal_characters=minimal_characters,
            simplify=not keep_scripts,
            knowledge_base=knowledge_base,
            tagger=tagger,
            threshold=threshold,
            workers=workers,
            keep_steps=keep_steps,
        )
    )
    found = ", ".join(f"{counts.articles:,} {code}" for code, counts in statistics.editions.items())
    print(f"{output}: {statistics.rows:,} articles in several languages ({found})", file=sys.stderr)


@app.command()
def back_translate(
    corpora: Annotated[Path, typer.Option(help="Folder written by build.")],
    translator: Annotated[
        list[str],
        typer.Option(
            metavar="en-zh=FILE",
            help="YAML list of one translator (seq2seq model, chat server, lexicon) for texts of the first language; "
            "several times.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write; an earlier data set in its place is replaced.")],
    cache: Annotated[
        Path | None,
        typer.Option(show_default="beside OUTPUT", help="Answers got so far (SQLite); may serve several runs."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, show_default="all", help="Most segments of a language, drawn by the seed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides which segments --limit keeps.")] = 0,
) -> None:
    """Copy the corpora and add the level of the baseline XLM-R+BT: texts beside their machine translation.

    A run that was killed is continued by the same command: what a translator has answered is never asked again.
    """
    # torch and transformers take seconds to import, and no other command needs them
    from kbioxlm.dataset_scripts.corpora.back_translation import BackTranslationSettings
    from kbioxlm.dataset_scripts.corpora.back_translation import back_translate as work

    statistics = work(
        BackTranslationSettings(
            corpora=corpora,
            output=output,
            directions=parse_directions(translator),
            cache=cache if cache is not None else output.with_name(f"{output.name}.answers.sqlite"),
            limit=limit,
            seed=seed,
        )
    )
    for one in statistics:
        print(
            f"{one.source} → {one.target}: {one.translated:,} of {one.sentences:,} sentences, {one.rows:,} rows",
            file=sys.stderr,
        )


def parse_directions(values: list[str]) -> tuple[Direction, ...]:
    """`["en-zh=opus.yaml"]` as directions with their translators.

    Raises:
        InputError: a value that is not SOURCE-TARGET=FILE with known languages, or a file that does not list one
            translator.
    """
    from kbioxlm.dataset_scripts.corpora.back_translation import Direction
    from kbioxlm.dataset_scripts.translation.specification import read_translators

    directions = []
    for value in values:
        pair, equals, file = value.partition("=")
        source, dash, target = pair.partition("-")
        if not (equals and dash and file):
            raise InputError("--translator", f"cannot use {shown(value)}", "write en-zh=FILE")
        codes = parse_languages(f"{source},{target}", "--translator", at_least=2)
        found = read_translators(file)
        if len(found) != 1:
            raise InputError(
                file, f"lists {len(found)} translators", "list one; --translator may be given several times"
            )
        directions.append(Direction(codes[0], codes[1], found[0]))
    return tuple(directions)


def parse_dumps(values: list[str]) -> tuple[tuple[str, Path], ...]:
    """`["en=dumps/enwiki"]` as pairs of language and folder.

    Raises:
        InputError: a value that is not LANGUAGE=FOLDER with a known language.
    """
    editions = []
    for value in values:
        code, equals, folder = value.partition("=")
        if not equals or not folder:
            raise InputError("--dump", f"cannot use {shown(value)}", "write LANGUAGE=FOLDER, such as en=dumps/enwiki")
        editions.append((parse_languages(code, "--dump")[0], Path(folder)))
    return tuple(editions)


def parse_max_chars(value: str | None, languages: tuple[str, ...]) -> dict[str, int]:
    """`"en=400,zh=150"` as a dictionary.

    Raises:
        InputError: not of that form, a language that is not asked, or fewer than 20 characters.
    """
    budgets: dict[str, int] = {}
    for part in value.split(",") if value is not None else ():
        code, _, number = part.partition("=")
        if code not in languages or not number.isdecimal() or int(number) < 20:
            raise InputError(
                "--max-chars",
                f"cannot use {shown(part)}",
                f"write language=characters with at least 20 characters, for {','.join(languages)}",
            )
        budgets[code] = int(number)
    return budgets


def parse_slurm_options(values: list[str]) -> dict[str, str]:
    """`["account=lab"]` as a dictionary.

    Raises:
        InputError: a value that is not KEY=VALUE.
    """
    options = {}
    for value in values:
        key, equals, content = value.partition("=")
        if not key or not equals:
            raise InputError("--slurm-option", f"cannot use {shown(value)}", "write KEY=VALUE, such as account=lab")
        options[key.lstrip("-")] = content
    return options


if __name__ == "__main__":
    run(app)
