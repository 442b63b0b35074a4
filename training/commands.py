"""The command line of train.py: every command reads a recipe, applies overrides and calls one function."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kbioxlm.common.cli import new_app
from kbioxlm.common.recipe import Recipe, describe, load_recipe

app = new_app(
    "Train and evaluate knowledge-anchored multilingual models. Every command takes a YAML recipe and overrides "
    "written key=value or section.key=value. A job that was killed goes on when the same command is run again."
)

RecipePath = Annotated[
    Path, typer.Argument(help="YAML recipe; `train.py keys COMMAND` lists its keys.", metavar="RECIPE")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="key=value, over the recipe's own.", metavar="[KEY=VALUE]...")
]


@app.command()
def tokenizer(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Learn a Unigram tokenizer in XLM-R's layout from text."""
    from kbioxlm.training.models.tokenizer import TokenizerRecipe, train_tokenizer

    parsed = load_recipe(TokenizerRecipe, recipe, overrides)
    print(f"{parsed.output}: {len(train_tokenizer(parsed)):,} pieces")


@app.command()
def vocabulary(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Choose the pieces of a reduced masked-language-model head by how often the corpora hold them."""
    from kbioxlm.training.models.vocabulary import VocabularyRecipe, make_vocabulary

    parsed = load_recipe(VocabularyRecipe, recipe, overrides)
    pieces = make_vocabulary(parsed)["pieces"]
    print(f"{parsed.output}: {pieces['kept']:,} of {pieces['tokenizer']:,} pieces; see README.md and coverage.png")


@app.command()
def convert(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Turn a published pickle (XLM-R, InfoXLM, the authors' KBioXLM) into a KBioXLM folder with safetensors."""
    from kbioxlm.training.models.conversion import ConvertRecipe
    from kbioxlm.training.models.conversion import convert as work

    parsed = load_recipe(ConvertRecipe, recipe, overrides)
    report = work(parsed)
    print(f"{parsed.output}: {report['layout']}, {report['tensors']} tensors, head of {report['head_rows']:,} pieces")


@app.command()
def trim_vocabulary(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Drop the pieces that some languages do not use from a checkpoint and its tokenizer."""
    from kbioxlm.training.models.trimming import TrimRecipe
    from kbioxlm.training.models.trimming import trim_vocabulary as work

    parsed = load_recipe(TrimRecipe, recipe, overrides)
    report = work(parsed)
    print(
        f"{parsed.output}: {report['pieces']['after']:,} of {report['pieces']['before']:,} pieces, "
        f"{report['parameters']['after']:,} of {report['parameters']['before']:,} parameters; see README.md"
    )


@app.command()
def pretrain(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Pretrain on monolingual text (stage 1) or on the aligned corpora (stage 2)."""
    from kbioxlm.training.device import is_main_process
    from kbioxlm.training.pretraining.recipe import PretrainRecipe
    from kbioxlm.training.pretraining.run import pretrain as work

    parsed = load_recipe(PretrainRecipe, recipe, overrides)
    report = work(parsed)
    if is_main_process():
        print(f"{parsed.output}: {report['pieces']:,} pieces in {report['seconds']:,.0f} s; see README.md and loss.png")


@app.command()
def package(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Make a pretrained model ready to give away: weights in half precision, a card with its figures."""
    from kbioxlm.training.models.packaging import PackageRecipe
    from kbioxlm.training.models.packaging import package as work

    parsed = load_recipe(PackageRecipe, recipe, overrides)
    done = work(parsed)
    print(
        f"{parsed.output}: {done['megabytes']} MB of weights, rounded by at most {done['rounding']:.1e}; see README.md"
    )


@app.command()
def finetune(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Fine-tune for NER, relations or documents and score the tests; the epoch is chosen on dev data."""
    from kbioxlm.training.finetuning.recipe import FinetuneRecipe
    from kbioxlm.training.finetuning.run import finetune as work

    parsed = load_recipe(FinetuneRecipe, recipe, overrides)
    report = work(parsed)
    _print_scores(report, {"dev": report["dev"], **report["tests"]})
    print(f"{parsed.output}: best epoch {report['best_epoch']}, seed {report['seed']}; see report.json and loss.png")


@app.command()
def check_data(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Say all that is wrong with a fine-tuning recipe's data before anything is trained; exit code 2 on errors."""
    from kbioxlm.training.finetuning.data_check import check_data as work
    from kbioxlm.training.finetuning.recipe import FinetuneRecipe

    found = work(load_recipe(FinetuneRecipe, recipe, overrides))
    for finding in found:
        print(finding)
    errors = sum(finding.severity == "error" for finding in found)
    print(f"{recipe}: {errors} errors, {len(found) - errors} warnings")
    if errors:
        raise typer.Exit(2)


@app.command()
def merge_adapter(
    adapter: Annotated[str, typer.Argument(help="Folder that `finetune` wrote with lora.")],
    output: Annotated[Path, typer.Argument(help="Folder of the merged model.")],
) -> None:
    """Make one model of a LoRA adapter and its base."""
    from kbioxlm.training.finetuning.adapters import merge_adapter as work

    work(adapter, output)
    print(f"{output}: {adapter} merged into its base")


@app.command()
def evaluate(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Score a checkpoint: test sets of a task, and the probes of cross-lingual alignment."""
    from kbioxlm.training.evaluation.run import EvaluateRecipe
    from kbioxlm.training.evaluation.run import evaluate as work

    parsed = load_recipe(EvaluateRecipe, recipe, overrides)
    report = work(parsed)
    _print_scores(report, report.get("tests", {}))
    for name, probe in report["probes"].items():
        print(f"{name}: {probe['value']:.2f}% (n={probe['n']:,})")
    print(f"{parsed.output}: report.json")


@app.command()
def experiment(recipe: RecipePath, overrides: Overrides = None) -> None:
    """Data, tokenizer, pretraining of several arms, fine-tuning and scores in one; ends with a table of the arms."""
    from kbioxlm.training.experiments.recipe import ExperimentRecipe
    from kbioxlm.training.experiments.run import run_experiment
    from kbioxlm.training.tables import experiment_table

    parsed = load_recipe(ExperimentRecipe, recipe, overrides)
    command = shlex.join(["python", "train.py", *sys.argv[1:]])
    report = run_experiment(parsed, command)
    print("\n" + experiment_table(report))
    tagger = parsed.output / f"{list(parsed.arms)[-1]}-{next(iter(parsed.tasks))}"
    print(f"model    {tagger}")
    print(f"plots    {parsed.output / 'f1.png'}, {tagger / 'loss.png'}")
    print(f"report   {parsed.output / 'report.json'}")
    if next(iter(parsed.tasks.values())).get("task", "ner") == "ner":
        sentence = "The patient took losartan for hypertension."
        print(f"\nNext, tag a sentence of your own:\n\n    python train.py tag {tagger} '{sentence}'")


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(help="table4, table5, table6 or table7 of the paper.")],
    scale: Annotated[
        str, typer.Option(help="small: models of recipes/ablation.yaml; paper: those of the Hub.")
    ] = "small",
    recipe: Annotated[Path | None, typer.Option(help="Your own recipe instead of that of the scale.")] = None,
    models: Annotated[str | None, typer.Option(help="Names in the recipe, with commas; others are only shown.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is finished and what would be run.")] = False,
    overrides: Overrides = None,
) -> None:
    """Fill a table of the paper with runs of our own: what is finished is kept, what is missing is run."""
    from kbioxlm.training.evaluation.reproduction.recipe import ReproduceRecipe
    from kbioxlm.training.evaluation.reproduction.reproduce import Reproduction, recipe_of_scale

    parsed = load_recipe(ReproduceRecipe, recipe or recipe_of_scale(scale), overrides)
    command = shlex.join(["python", "train.py", *sys.argv[1:]])
    chosen = None if models is None else [name.strip() for name in models.split(",")]
    reproduction = Reproduction(table, parsed, chosen, command)
    if dry_run:
        print("\n".join(reproduction.plan()))
        return
    cells = reproduction.run()["cells"]
    print(f"{cells['run']} of {cells['all']} cells are run, {cells['partly run']} in part")
    print(f"{parsed.output / table}.md, .json and .png")


@app.command()
def export(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a fine-tuned model, or of an adapter.")],
    output: Annotated[Path, typer.Argument(help="Folder of the exported model.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX graphs, in float32 and int8.")] = False,
    test: Annotated[
        list[str] | None, typer.Option(help="Labelled source (folder:config) whose F1 is compared; several times.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads that are timed; by default all cores.", min=1)] = None,
) -> None:
    """Write a fine-tuned model for runtimes without torch, with a report of parity and speed."""
    from kbioxlm.common.errors import InputError
    from kbioxlm.training.models.export import export as work

    if not onnx:
        raise InputError("command line", "no format is named", "add --onnx")
    report = work(checkpoint, output, test or [], threads)
    for name, cell in report["tests"].items():
        f1 = cell["f1"]
        print(f"{name}: F1 {f1['pytorch']:.2f}, ONNX {f1['onnx']:.2f}, int8 {f1['int8']:.2f} (n={cell['n']:,})")
    print(f"{output}: logits apart by at most {report['parity']['onnx']['largest']:.1e}; see README.md")


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(help="Folder that `finetune`, `package` or `export` wrote.")],
    repository: Annotated[str, typer.Argument(help="owner/name on the Hub.", metavar="OWNER/NAME")],
    private: Annotated[bool, typer.Option("--private/--public", help="Of a repository that is made there.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and the card.")] = False,
    license: Annotated[str | None, typer.Option(help="Of the weights: apache-2.0, other, …")] = None,
    language: Annotated[list[str] | None, typer.Option(help="ISO 639-1; several times.")] = None,
    base_model: Annotated[str | None, typer.Option(help="owner/name of the base, if it was a folder here.")] = None,
    data: Annotated[str | None, typer.Option(help="For the card: the data and their licences.")] = None,
    limits: Annotated[str | None, typer.Option(help="For the card: what the model should not be used for.")] = None,
    citation: Annotated[str | None, typer.Option(help="For the card: how to cite this model.")] = None,
) -> None:
    """Put a finished model on the Hub, with a card written from its report."""
    from kbioxlm.training.models.push import push as work
    from kbioxlm.training.pretraining.recipe import CardSection

    section = CardSection(license=license, data=data, limits=limits, citation=citation)
    print(work(folder, repository, section, language or [], base_model, private, dry_run))


@app.command()
def tag(
    checkpoint: Annotated[str, typer.Argument(help="Folder or Hub id of a fine-tuned tagger.")],
    texts: Annotated[list[str], typer.Argument(help="Texts in any language; - reads one a line from standard input.")],
    format: Annotated[str, typer.Option(help="jsonl, pubtator, bioc, brat (a zip) or conll.")] = "jsonl",
    output: Annotated[Path | None, typer.Option(help="File to write; by default standard output.")] = None,
) -> None:
    """Find the entities of texts, with character offsets, in a format of the field."""
    from kbioxlm.common.errors import InputError
    from kbioxlm.common.files import written_beside
    from kbioxlm.formats_kbioxlm import SUFFIXES
    from kbioxlm.training.finetuning.tagging import tag_texts

    if format not in SUFFIXES:
        raise InputError("--format", f"{format!r} is no format", f"choose from {', '.join(SUFFIXES)}")
    if texts == ["-"]:
        texts = sys.stdin.read().splitlines()
    found = tag_texts(checkpoint, texts, format)
    if output is None:
        sys.stdout.buffer.write(found)
        return
    with written_beside(output) as draft:
        draft.write_bytes(found)
    print(f"{output}: {len(texts):,} texts")


@app.command()
def keys(
    command: Annotated[str, typer.Argument(help="A command that reads a recipe, such as pretrain.")],
) -> None:
    """List the keys of a command's recipe with their types, defaults and meanings."""
    print(describe(_recipe_of(command)))


def _recipe_of(command: str) -> type[Recipe]:
    from kbioxlm.common.errors import InputError
    from kbioxlm.training.evaluation.reproduction.recipe import ReproduceRecipe
    from kbioxlm.training.evaluation.run import EvaluateRecipe
    from kbioxlm.training.experiments.recipe import ExperimentRecipe
    from kbioxlm.training.finetuning.recipe import FinetuneRecipe
    from kbioxlm.training.models.conversion import ConvertRecipe
    from kbioxlm.training.models.packaging import PackageRecipe
    from kbioxlm.training.models.tokenizer import TokenizerRecipe
    from kbioxlm.training.models.trimming import TrimRecipe
    from kbioxlm.training.models.vocabulary import VocabularyRecipe
    from kbioxlm.training.pretraining.recipe import PretrainRecipe

    kinds: dict[str, type[Recipe]] = {
        "tokenizer": TokenizerRecipe, "vocabulary": VocabularyRecipe, "convert": ConvertRecipe,
        "trim-vocabulary": TrimRecipe, "pretrain": PretrainRecipe, "package": PackageRecipe,
        "finetune": FinetuneRecipe,
        "evaluate": EvaluateRecipe, "experiment": ExperimentRecipe, "check-data": FinetuneRecipe,
        "reproduce": ReproduceRecipe,
    }  # fmt: skip
    if command not in kinds:
        raise InputError("command line", f"{command!r} has no recipe", f"name one of {', '.join(kinds)}")
    return kinds[command]


def _print_scores(report: dict[str, Any], scores: dict[str, dict[str, Any]]) -> None:
    for name, cell in scores.items():
        print(f"{name}: {report['metric']} {cell['f1']:.2f} (n={cell['n']:,} {report['counted']})")
