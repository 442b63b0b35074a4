"""What no single module can promise: card, pins, declared dependencies, packages, no traces of anyone's machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = {canonicalize_name(r.name): r for r in map(Requirement, PROJECT["project"]["dependencies"])}
OPTIONAL = {
    canonicalize_name(r.name): r
    for extra in PROJECT["project"]["optional-dependencies"].values()
    for r in map(Requirement, extra)
}
CODE = [
    path
    for folder in (".", "common", "training", "dataset_scripts")
    for path in sorted((ROOT / folder).glob("*.py" if folder == "." else "**/*.py"))
]


def tracked() -> list[Path]:
    """Files git knows, or would add."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def pins(path: Path) -> dict[str, str]:
    """Name and version of every pinned distribution of a requirements file."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line and not line.startswith("-r "):
            requirement = Requirement(line)
            [specifier] = requirement.specifier
            assert specifier.operator == "==", f"{line} is not pinned"
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


def imports(path: Path) -> set[str]:
    """Top-level names that a module imports absolutely."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


def test_the_readme_is_a_model_card() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert match, "README.md has no YAML front matter"
    card = yaml.safe_load(match[1])
    assert {"license", "language", "library_name", "pipeline_tag", "tags", "base_model"} <= set(card)
    assert card["license"] == "apache-2.0"
    assert {"en", "zh"} <= set(card["language"])
    assert card["library_name"] == "transformers"
    assert all(isinstance(tag, str) for tag in card["tags"])
    assert "make demo" in text


def test_the_readme_names_only_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert not [link for link in links if not (ROOT / link).exists()]


def test_pins_are_within_the_declared_ranges() -> None:
    versions = pins(ROOT / "requirements.txt")
    for name, requirement in DECLARED.items():
        assert name in versions, f"{name} is declared but not pinned"
        assert requirement.specifier.contains(versions[name]), f"{name}=={versions[name]} is outside {requirement}"
    development = pins(ROOT / "requirements-dev.txt")
    assert not set(versions) & set(development), "pinned twice"
    for name, requirement in OPTIONAL.items():
        assert requirement.specifier.contains(development[name]), (
            f"{name}=={development[name]} is outside {requirement}"
        )


def test_every_import_is_declared() -> None:
    distributions = packages_distributions()
    undeclared: dict[str, list[str]] = {}
    for path in CODE:
        for name in imports(path) - set(sys.stdlib_module_names) - {"kbioxlm"}:
            candidates = {canonicalize_name(distribution) for distribution in distributions.get(name, [name])}
            if not candidates & {*DECLARED, *OPTIONAL}:
                undeclared.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert not undeclared


def test_every_declared_dependency_is_used() -> None:
    used = {name for path in CODE for name in imports(path)}
    distributions = packages_distributions()
    used_distributions = {canonicalize_name(one) for name in used for one in distributions.get(name, [])}
    # the messages of sentencepiece need protobuf, without our naming it
    assert set(DECLARED) - used_distributions == {"protobuf"}


def test_every_package_is_listed() -> None:
    folders = {path.parent for path in CODE if path.name == "__init__.py"}
    names = {".".join(("kbioxlm", *folder.relative_to(ROOT).parts)) for folder in folders}
    assert names == set(PROJECT["tool"]["setuptools"]["packages"])
    with_code = {path.parent for path in CODE}
    assert with_code == folders


def test_data_files_of_packages_travel_with_them() -> None:
    listed = PROJECT["tool"]["setuptools"]["package-data"]
    for path in tracked():
        parts = path.relative_to(ROOT).parts
        if parts[0] in ("common", "training", "dataset_scripts") and path.suffix not in (".py", ".md"):
            assert f"*{path.suffix}" in listed.get(".".join(("kbioxlm", *parts[:-1])), []), path


def test_nothing_names_a_machine() -> None:
    pattern = re.compile(rb"(?<![\w.$}])/(?:home|Users|root|work)/\w|[A-Z]:\\Users\\")
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in tracked()
        if path != Path(__file__) and (match := pattern.search(path.read_bytes()))
    ]
    assert not found


def test_the_citation_has_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == PROJECT["project"]["version"]
