"""ADE, BC5CDR, GAD and HoC in English and Chinese, from the files that KBioXLM's authors publish."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from kbioxlm.common.cli import new_app, run
from kbioxlm.common.errors import InputError
from kbioxlm.common.files import written_beside
from kbioxlm.dataset_scripts.benchmarks.clean import clean_splits
from kbioxlm.dataset_scripts.benchmarks.folder import write_benchmarks
from kbioxlm.dataset_scripts.benchmarks.origin import Origin, published_origin
from kbioxlm.dataset_scripts.benchmarks.published import read_published, training_texts
from kbioxlm.dataset_scripts.folder import require_replaceable
from kbioxlm.dataset_scripts.hub import push_to_hub, require_repository
from kbioxlm.dataset_scripts.knowledge.languages import parse_languages

app = new_app(
    "The translated benchmarks as a data set folder, their training texts without labels, and annotated data put into "
    "other languages."
)

Source = Annotated[
    str,
    typer.Option(
        metavar="FOLDER|URL",
        help="The authors' published files: the folder that holds NER/ and RE/, or the address of their repository.",
    ),
]


@app.command()
def build(
    source: Source,
    output: Annotated[Path, typer.Option(help="Data set folder to write.")],
    push: Annotated[
        str | None,
        typer.Option("--push-to-hub", metavar="OWNER/NAME", help="Upload the finished folder to this data set."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make that data set private if it is new.")] = False,
) -> None:
    """Write the configurations ade_en, ade_zh, bc5cdr_en, … hoc_zh; load_dataset(OUTPUT, "ade_en") opens one.

    They hold cleaned splits, ade_en_original and so on the published ones; the card says what moved. Files that are
    fetched are kept in OUTPUT.published.
    """
    if push is not None:
        require_repository(push)
    require_replaceable(output)
    origin = _origin(source, output)
    published = read_published(origin.folder)
    cleaned, changes = clean_splits(published)
    for config, splits in write_benchmarks([*cleaned, *published], output, changes, origin)["splits"].items():
        for split, row in splits.items():
            print(f"{config:18} {split:10} {row['documents']:5} documents {row['rows']:5} rows")
    print(f"wrote {output}", file=sys.stderr)
    if push is not None:
        print(f"uploaded to {push_to_hub(output, push, private, 'Translated benchmarks')}", file=sys.stderr)


@app.command()
def text(source: Source, output: Annotated[Path, typer.Option(help="JSON-lines file to write, plain or .gz")]) -> None:
    """Write the training documents of ADE and BC5CDR without labels, for pretraining.

    What the cleaned splits score on, in either language, is left out.
    """
    rows = list(training_texts(clean_splits(read_published(_origin(source, output).folder))[0]))
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    with written_beside(output) as draft:
        draft.write_bytes(gzip.compress(data, mtime=0) if output.suffix == ".gz" else data)
    for language in sorted({row["lang"] for row in rows}):
        print(f"{language} {sum(row['lang'] == language for row in rows):5} documents")
    print(f"wrote {output}", file=sys.stderr)


@app.command()
def translate(
    data: Annotated[
        list[str],
        typer.Option(help="FOLDER:CONFIG, FOLDER:CONFIG:SPLIT or an IOB file; may be given several times."),
    ],
    source: Annotated[str, typer.Option(help="Language of the data, such as en.")],
    target: Annotated[str, typer.Option(help="Language to translate into, such as zh.")],
    translator: Annotated[
        Path, typer.Option(help="YAML list of one translator: a seq2seq model, a chat server or a lexicon.")
    ],
    review: Annotated[
        Path, typer.Option(help="Folder of the rows that a person should look at; what is decided there is applied.")
    ],
    output: Annotated[Path, typer.Option(help="Folder to write; an earlier data set in its place is replaced.")],
    knowledge_base: Annotated[
        Path | None, typer.Option(help="Folder of knowledge_base.py: finds entities whose markers were lost.")
    ] = None,
    checker: Annotated[Path | None, typer.Option(help="YAML list of one chat server that compares meanings.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option(show_default="beside OUTPUT", help="Answers got so far (SQLite); may serve several runs."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Rows of a higher risk are left out until a person has decided on them.")
    ] = 0.25,
    sample: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the rows without a defect that are to be checked too.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Of that sample.")] = 0,
    piece: Annotated[
        int, typer.Option(min=1, help="Characters that are translated at once, in whole sentences.")
    ] = 600,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows of each split at most, to try it out.")] = None,
) -> None:
    """Translate annotated data into another language (paper, section 4): offsets, labels and splits are kept.

    Rows that may be wrong go to the review folder. Decide on them with `review`, and run the same command again; what
    a translator has answered is never asked again.
    """
    # torch and transformers take seconds to import, and no other command needs them
    from kbioxlm.dataset_scripts.benchmarks.translation.build import translate_dataset
    from kbioxlm.dataset_scripts.benchmarks.translation.meaning import INSTRUCTION as COMPARE
    from kbioxlm.dataset_scripts.benchmarks.translation.pieces import INSTRUCTION as TRANSLATE
    from kbioxlm.dataset_scripts.benchmarks.translation.settings import DatasetTranslation, one_translator

    codes = parse_languages(f"{source},{target}", "--source, --target", at_least=2)
    report = translate_dataset(
        DatasetTranslation(
            data=tuple(data),
            source=codes[0],
            target=codes[1],
            translator=one_translator(translator, TRANSLATE),
            review=review,
            output=output,
            cache=cache if cache is not None else output.with_name(f"{output.name}.answers.sqlite"),
            knowledge_base=knowledge_base,
            checker=one_translator(checker, COMPARE) if checker is not None else None,
            threshold=threshold,
            sample=sample,
            seed=seed,
            piece=piece,
            limit=limit,
        )
    )
    print(report.summary(), file=sys.stderr)
    if report.open:
        print(f"{report.open} rows are open: `translated_benchmarks.py review {review}`, then run this again",
              file=sys.stderr)  # fmt: skip


@app.command()
def review(
    folder: Annotated[Path, typer.Argument(help="Folder that `translate` was given as --review.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any other than this one lets others decide too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
) -> None:
    """Show the rows under review in a browser, source and translation side by side; decisions are saved at once."""
    try:
        from kbioxlm.dataset_scripts.benchmarks.translation.page import serve
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise InputError("review", "gradio is not installed", "pip install 'kbioxlm[review]'") from error
    serve(folder, host, port)


def _origin(source: str, output: Path) -> Origin:
    return published_origin(source, output.with_name(f"{output.name}.published"))


if __name__ == "__main__":
    run(app)
