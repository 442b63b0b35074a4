"""The flat files as remote code: what they may import, and that a saved folder is all a user needs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kbioxlm import configuration_kbioxlm, modeling_kbioxlm
from kbioxlm.configuration_kbioxlm import AUTO_MAP, KBioXLMConfig

ROOT = Path(configuration_kbioxlm.__file__).parent
FLAT_FILES = sorted(ROOT.glob("*_kbioxlm.py"))
ALLOWED = {"torch", "transformers", "tokenizers", "numpy"} | sys.stdlib_module_names


@pytest.mark.parametrize("path", FLAT_FILES, ids=lambda path: path.name)
def test_flat_files_import_only_what_travels_with_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    relative_lines = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= ALLOWED
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1
            assert node.module, "`from . import x` is not understood by the loader"
            assert "." not in node.module
            assert (ROOT / f"{node.module}.py") in FLAT_FILES
            relative_lines.add(node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.module
            assert node.module.split(".")[0] in ALLOWED
    # The loader looks for relative imports in the raw text: no comment or docstring may look like one.
    look_alike = re.compile(r"^\s*(from|import)\s+\.")
    assert {n for n, line in enumerate(text.splitlines(), start=1) if look_alike.match(line)} == relative_lines


def test_auto_map_names_every_class_and_each_is_registered() -> None:
    for auto_class, reference in AUTO_MAP.items():
        module, name = reference.split(".")
        source = {"configuration_kbioxlm": configuration_kbioxlm, "modeling_kbioxlm": modeling_kbioxlm}[module]
        assert getattr(source, name)._auto_class == auto_class


# Run in a fresh process: argv is the working folder, then the folder of each Auto class.
VISITOR = """
import importlib, json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].endswith("kbioxlm"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Absent())
try:
    importlib.import_module("kbioxlm")
except ImportError:
    pass
else:
    raise AssertionError("the package must be out of reach")

import torch, transformers
from safetensors.torch import save_file
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

ids = torch.tensor([[0, 5, 6, 7, 2]])
seen, logits = {}, {}
for auto_class, folder in json.loads(sys.argv[1]).items():
    auto = getattr(transformers, auto_class)
    model = auto.from_pretrained(folder, trust_remote_code=True)
    logits[auto_class] = model(ids).to_tuple()[0].detach().contiguous()
    model.save_pretrained(f"again-{auto_class}")
    again = auto.from_pretrained(f"again-{auto_class}", trust_remote_code=True)
    assert type(again).__module__ != type(model).__module__  # its own copy of the code
    assert torch.equal(again(ids).to_tuple()[0], logits[auto_class])
    seen[auto_class] = [type(model).__module__, type(model).__name__]
    if auto_class == "AutoModelForTokenClassification":
        on = torch.ones_like(ids, dtype=torch.bool)
        loss = model(ids, labels=torch.tensor([[-100, 1, 2, 0, -100]])).loss.detach()
        save_file({"loss": loss, "marginals": model.crf.marginals(logits[auto_class], on)}, "crf.safetensors")
        seen["tags"] = model.decode(logits[auto_class], on)
save_file(logits, "logits.safetensors")

folder = json.loads(sys.argv[1])["AutoModelForPreTraining"]
for auto_class in json.loads(sys.argv[1]):  # any folder opens with any Auto class
    model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True)
    assert type(model).__name__ == seen[auto_class][1]

load = transformers.AutoConfig.from_pretrained
config = load(
    folder, trust_remote_code=True, num_labels=2, id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1},
    problem_type="multi_label_classification", dtype=torch.bfloat16, output_hidden_states=True, use_crf=False,
)
assert (config.num_labels, config.id2label[1], config.dtype, config.use_crf) == (2, "yes", torch.bfloat16, False)
assert config.problem_type == "multi_label_classification" and config.output_hidden_states
config.save_pretrained("again-AutoConfig")
load("again-AutoConfig", trust_remote_code=True)
try:
    load(folder, trust_remote_code=True, mlm_vocabsize=3)
except ValueError as error:
    seen["refused"] = str(error)
json.dump(seen, open("seen.json", "w"))
"""


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory, tiny_sizes: dict[str, Any]) -> tuple[Path, dict[str, torch.Tensor]]:
    """The folder a foreign process worked in, and the logits our own classes give for the same input."""
    base = tmp_path_factory.mktemp("remote")
    torch.manual_seed(0)
    folders, expected = {}, {}
    for auto_class, reference in AUTO_MAP.items():
        if auto_class != "AutoConfig":
            config = KBioXLMConfig(**tiny_sizes, mlm_vocab_size=11, id2label={0: "O", 1: "B-X", 2: "I-X"})
            model = getattr(modeling_kbioxlm, reference.split(".")[1])(config).eval()
            for name, parameter in model.named_parameters():
                if name.startswith("crf."):
                    torch.nn.init.normal_(parameter)
            folders[auto_class] = str(base / f"saved-{auto_class}.v1")
            model.save_pretrained(folders[auto_class])
            expected[auto_class] = model(torch.tensor([[0, 5, 6, 7, 2]])).to_tuple()[0]
    (elsewhere := base / "elsewhere").mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HF_MODULES_CACHE")}
    environment |= {"HF_HOME": str(base / "hf"), "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-c", VISITOR, json.dumps(folders)], cwd=elsewhere, env=environment, check=True, timeout=300
    )
    return elsewhere, expected


def test_every_class_loads_elsewhere_without_the_package(visit: tuple[Path, dict[str, torch.Tensor]]) -> None:
    folder, expected = visit
    found, seen = load_file(folder / "logits.safetensors"), json.loads((folder / "seen.json").read_text())
    assert set(found) == set(expected) == set(AUTO_MAP) - {"AutoConfig"}
    for auto_class, logits in expected.items():
        torch.testing.assert_close(found[auto_class], logits)
        module, name = seen[auto_class]
        assert module.startswith("transformers_modules.")
        assert name == AUTO_MAP[auto_class].split(".")[1]


def test_the_crf_works_elsewhere(visit: tuple[Path, dict[str, torch.Tensor]]) -> None:
    folder, expected = visit
    logits = expected["AutoModelForTokenClassification"]
    saved = folder.parent / "saved-AutoModelForTokenClassification.v1"
    crf = modeling_kbioxlm.KBioXLMForTokenClassification.from_pretrained(saved).crf
    assert crf.transitions.abs().sum() > 0
    on = torch.ones(logits.shape[:2], dtype=torch.bool)
    found, seen = load_file(folder / "crf.safetensors"), json.loads((folder / "seen.json").read_text())
    labelled = on & torch.tensor([[False, True, True, True, False]])
    torch.testing.assert_close(found["loss"], crf(logits, torch.tensor([[0, 1, 2, 0, 0]]), labelled)[0].detach() / 3)
    torch.testing.assert_close(found["marginals"], crf.marginals(logits, on))
    assert seen["tags"] == crf.decode(logits, on, *modeling_kbioxlm.iob2_forbidden(["O", "B-X", "I-X"]))


@pytest.mark.parametrize("auto_class", AUTO_MAP)
def test_what_was_loaded_elsewhere_is_saved_whole_again(
    auto_class: str, visit: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    again = visit[0] / f"again-{auto_class}"
    assert json.loads((again / "config.json").read_text())["auto_map"] == AUTO_MAP
    for name in (path.name for path in FLAT_FILES):
        assert (again / name).read_bytes() == (ROOT / name).read_bytes()


def test_misspelt_key_is_refused_elsewhere_too(visit: tuple[Path, dict[str, torch.Tensor]]) -> None:
    seen = json.loads((visit[0] / "seen.json").read_text())
    assert seen["refused"] == "KBioXLMConfig has no such key: 'mlm_vocabsize', did you mean 'mlm_vocab_size'?"
