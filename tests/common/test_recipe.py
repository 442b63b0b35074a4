"""Recipes: what is wrong in one is said with file, key and value before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field, PositiveInt, ValidationError

from kbioxlm.common.errors import InputError
from kbioxlm.common.recipe import Recipe, describe, load_recipe, parse_recipe
from kbioxlm.training.evaluation.reproduction.recipe import ReproduceRecipe
from kbioxlm.training.evaluation.run import EvaluateRecipe
from kbioxlm.training.experiments.recipe import ExperimentRecipe, Plan
from kbioxlm.training.finetuning.recipe import FinetuneRecipe
from kbioxlm.training.models.conversion import ConvertRecipe
from kbioxlm.training.models.packaging import PackageRecipe
from kbioxlm.training.models.tokenizer import TokenizerRecipe
from kbioxlm.training.models.trimming import TrimRecipe
from kbioxlm.training.models.vocabulary import VocabularyRecipe
from kbioxlm.training.pretraining.recipe import PretrainRecipe

RECIPES = Path(__file__).parents[2] / "recipes"
PAPER = RECIPES / "paper"
TABLE_1 = {"entity": 31.3, "fact": 19.6, "passage": 14}  # million tokens
OF_ACCELERATE = RECIPES / "accelerate"  # the configuration files of `accelerate launch`
SHIPPED = sorted(path for path in RECIPES.rglob("*.yaml") if path.parent != OF_ACCELERATE)
KINDS: list[type[Recipe]] = [
    TokenizerRecipe, VocabularyRecipe, ConvertRecipe, TrimRecipe, PretrainRecipe, FinetuneRecipe, EvaluateRecipe,
    ExperimentRecipe, ReproduceRecipe, PackageRecipe,
]  # fmt: skip


class Shape(Recipe):
    """A section."""

    width: PositiveInt
    depth: PositiveInt = 2


class Toy(Recipe):
    """A recipe."""

    output: Path = Field(description="where it goes")
    rate: float = 0.5
    shape: Shape | None = None
    names: dict[str, list[str]] = Field(default={})


def write(folder: Path, text: str) -> Path:
    path = folder / "toy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, *overrides: str) -> Toy:
    return load_recipe(Toy, write(folder, text), list(overrides))


def test_values_defaults_and_sections(tmp_path: Path) -> None:
    recipe = load(tmp_path, "output: out\nrate: 1.0e-3\nshape: {width: 3}\n")
    assert recipe == Toy(output=Path("out"), rate=0.001, shape=Shape(width=3))
    assert recipe.shape == Shape(width=3, depth=2)
    with pytest.raises(ValidationError, match="frozen"):
        recipe.rate = 2.0


def test_exponents_without_a_point_are_numbers_too(tmp_path: Path) -> None:
    assert load(tmp_path, "output: o\nrate: 5e-5\n").rate == 5e-5
    assert load(tmp_path, "output: o\n", "rate=2e-3").rate == 2e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("output: o\nraet: 1\n", r"toy\.yaml: unknown key 'raet' = 1; did you mean 'rate'\?"),
        ("output: o\nshape: {width: 3, dept: 4}\n", r"unknown key 'shape\.dept' = 4; did you mean 'depth'\?"),
        ("output: o\nzzz: [1]\n", r"unknown key 'zzz' = \[1\]; remove it; the keys are output, rate, "),
        ("ouptut: o\n", r"unknown key 'ouptut' = 'o'; did you mean 'output'"),
        ("rate: 1\n", r"toy\.yaml: key 'output' is missing"),
        ("output: o\nshape: {depth: 2}\n", r"key 'shape\.width' is missing"),
        ("output: o\nrate: fast\n", r"key 'rate' has 'fast'; expected: .*number"),
        ("output: o\nshape: {width: -3}\n", r"key 'shape\.width' has -3; expected: .*greater than 0"),
        ("output: o\nshape: 7\n", r"key 'shape' has 7; expected: .*"),
        ("output: o\nnames: {a: [x, 1]}\n", r"key 'names\.a\.1' has 1; expected: .*string"),
        ("output: o\nrate: [1\n", r"toy\.yaml:\d: not YAML: .*correct the line"),
        ("output: o\nrate: 1\n  x: 2\n", r"toy\.yaml:3: not YAML"),
        ("- output\n", r"toy\.yaml: not a mapping: \['output'\]"),
        ("# nothing\n", r"toy\.yaml: not a mapping: None"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load_recipe(Toy, tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a folder"):
        load_recipe(Toy, tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"output: caf\xe9\n")
    with pytest.raises(InputError, match=r"latin\.yaml: not UTF-8 text"):
        load_recipe(Toy, tmp_path / "latin.yaml")


def test_variables_are_put_in_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_HOME", "/data")
    monkeypatch.setenv("TOY_NAME", "ade")
    recipe = load(tmp_path, "output: ${TOY_HOME}/${TOY_NAME}\nnames: {a: ['${TOY_HOME}/x', plain]}\n")
    assert recipe.output == Path("/data/ade")
    assert recipe.names == {"a": ["/data/x", "plain"]}
    assert load(tmp_path, "output: o\n", "output=${TOY_HOME}").output == Path("/data")


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("TOY_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("TOY_HOME", value)
    message = r"toy\.yaml: '\$\{TOY_HOME\}/x' needs the environment variable TOY_HOME, which is not set; set TOY_HOME"
    with pytest.raises(InputError, match=message):
        load(tmp_path, "output: ${TOY_HOME}/x\n")
    assert load(tmp_path, "output: ${TOY_HOME}/x\n", "output=elsewhere").output == Path("elsewhere")


def test_overrides_replace_add_and_open_sections(tmp_path: Path) -> None:
    recipe = load(tmp_path, "output: o\nrate: 1\n", "rate=0.25", "shape.width=4", "names.a=[b, c=d]")
    assert recipe == Toy(output=Path("o"), rate=0.25, shape=Shape(width=4), names={"a": ["b", "c=d"]})
    assert load(tmp_path, "output: o\nshape: {width: 3}\n", "shape=null").shape is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rate", r"command line: override 'rate'; write key=value or section\.key=value"),
        ("=3", "override '=3'"),
        ("rate.x=3", "override 'rate.x=3': 'rate' is not a section"),
        ("rate=[1", r"override 'rate=\[1': the value is not YAML; quote it"),
        ("rtae=1", "unknown key 'rtae' = 1; did you mean 'rate'"),
        ("shape.depht=1", r"unknown key 'shape\.depht' = 1; did you mean 'depth'"),
    ],
)
def test_bad_overrides(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, "output: o\nrate: 1\n", override)


def test_parse_recipe_names_the_place_it_is_given() -> None:
    with pytest.raises(InputError, match=r"recipe, arms\.x: unknown key 'widht' = 1; did you mean 'width'"):
        parse_recipe(Shape, {"width": 1, "widht": 1}, "recipe, arms.x")


def all_keys(kind: type[BaseModel]) -> list[str]:
    """Keys of a recipe and, after a dot, of its sections."""
    keys = []
    for name, field in kind.model_fields.items():
        keys.append(name)
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys += [f"{name}.{key}" for key in all_keys(part)]
    return keys


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_describe_lists_every_key_once_with_type_and_default(kind: type[Recipe]) -> None:
    lines = describe(kind).split("\n")
    keys = all_keys(kind)
    assert len(lines) == len(keys)
    for line, key in zip(lines, keys, strict=True):
        depth = key.count(".")
        assert line.startswith("    " * depth + key.rpartition(".")[2] + " (")
        assert "default" in line or "required" in line or "(section)" in line
        assert "<" not in line
        assert "pydantic" not in line


def test_describe_gives_the_description() -> None:
    assert describe(Toy).split("\n")[0] == "output (Path, required): where it goes"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(RECIPES).as_posix())
def test_every_recipe_of_the_repository_is_valid(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KBIOXLM_REAL_DATA", str(tmp_path))
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "arms" in content:
        plan = Plan(load_recipe(ExperimentRecipe, path))
        assert set(plan.arms) == set(content["arms"])
        return
    fitting, errors = [], []
    for kind in KINDS:
        try:
            load_recipe(kind, path)
            fitting.append(kind)
        except InputError as error:
            errors.append(str(error))
    if len(fitting) > 1:  # an evaluation that names nothing to run is told so when it starts
        fitting.remove(EvaluateRecipe)
    assert len(fitting) == 1, errors


@pytest.mark.parametrize("name", ["stage2", "three_kl", "bt", "wo_passage", "wo_passage_fact"])
def test_half_of_stage_2_of_the_paper_is_monolingual(name: str) -> None:
    recipe = load_recipe(PretrainRecipe, PAPER / f"{name}.yaml")
    aligned = {level: share for level, share in recipe.shares.items() if level != "monolingual"}
    assert recipe.shares["monolingual"] == pytest.approx(sum(aligned.values()))
    if len(aligned) > 1:
        assert aligned == {level: TABLE_1[level] for level in aligned}


def test_arms_of_the_paper_differ_in_data_and_start_alone() -> None:
    recipes = {path.stem: load_recipe(PretrainRecipe, path) for path in sorted(PAPER.glob("[!csv]*.yaml"))}
    recipes["stage2"] = load_recipe(PretrainRecipe, PAPER / "stage2.yaml")
    assert set(recipes) == {"stage2", "three_kl", "bt", "wo_passage", "wo_passage_fact", "wo_all"}
    free = {"output", "corpora", "shares", "checkpoint"}
    assert len({recipe.model_dump_json(exclude=free) for recipe in recipes.values()}) == 1
    starts = {name: recipe.checkpoint for name, recipe in recipes.items()}
    assert {name for name, start in starts.items() if start != starts["stage2"]} == {"three_kl", "bt"}
    assert starts["stage2"] == str(load_recipe(PretrainRecipe, PAPER / "stage1.yaml").output)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("stage1", {"learning_rate": 1e-4, "batch_size": 1280, "steps": 150_000, "warmup_steps": 10_000}),
        ("stage2", {"learning_rate": 5e-5, "batch_size": 128, "steps": 50_000, "warmup_steps": 5_000}),
    ],
)
def test_the_numbers_of_the_paper_are_in_its_recipes_and_its_index(name: str, numbers: dict[str, float]) -> None:
    recipe = load_recipe(PretrainRecipe, PAPER / f"{name}.yaml")
    assert {key: getattr(recipe, key) for key in numbers} == numbers
    index = (RECIPES.parent / "docs" / "paper-index.md").read_text(encoding="utf-8")
    for key, value in numbers.items():
        shown = f"{value:.0e}".replace("e-0", "e-") if value < 1 else f"{value:,}"
        assert f"| `{key}` | {shown} |" in index


def test_recipes_that_need_real_data_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KBIOXLM_REAL_DATA", raising=False)
    for path in SHIPPED:
        if "KBIOXLM_REAL_DATA" in path.read_text(encoding="utf-8"):
            with pytest.raises(InputError, match="needs the environment variable KBIOXLM_REAL_DATA"):
                load_recipe(ExperimentRecipe, path)
