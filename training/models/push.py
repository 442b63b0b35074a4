"""A finished model on the Hub: its folder checked, its card written from its report, and nothing else sent along."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard
from safetensors import SafetensorError, safe_open

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import require_file, write_json
from kbioxlm.dataset_scripts.folder import CARD
from kbioxlm.dataset_scripts.hub import push_to_hub, require_repository
from kbioxlm.training.models.cards import card_data, card_of, is_on_hub
from kbioxlm.training.models.shareable import holds_folders, shareable, without_folders
from kbioxlm.training.pretraining.recipe import CardSection
from kbioxlm.training.runs import REPORT

_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_MODEL = ("config.json", "model.safetensors", *_TOKENIZER)
_NEEDED = {  # by what the report is of
    "pretraining": _MODEL, "ner": _MODEL, "relation": _MODEL, "document": _MODEL,
    "export": ("config.json", "model.onnx", "model_int8.onnx", "decoder.json", *_TOKENIZER),
}  # fmt: skip
_ADAPTER = ("config.json", "adapter_config.json", "adapter_model.safetensors", *_TOKENIZER)


def push(
    folder: Path,
    repository: str,
    section: CardSection | None = None,
    languages: Sequence[str] = (),
    base_model: str | None = None,
    private: bool = True,
    dry_run: bool = False,
) -> str:
    """Upload the folder of a finished run to `repository` on the Hub.

    Args:
        folder: that `finetune`, `package` or `export` wrote.
        section: what nobody can work out from the run; a licence must stand here, in the card or in the report.
        languages: ISO 639-1, in the place of those that the report names.
        base_model: where on the Hub the base of an adapter is, or of a model that was fine-tuned from a folder.
        private: whether a repository that is made there is private.
        dry_run: touch no network.

    Returns:
        what to print: the address; or what would be sent, with its sizes, and the card.

    Raises:
        InputError: a folder that is not complete, no licence, or a Hub that cannot be reached or refuses.
    """
    require_repository(repository, "push")
    if repository.count("/") != 1:
        raise InputError("push", f"{shown(repository)} has no owner", "write owner/name")
    report = _report_of(folder)
    _check_files(folder, report)
    if base_model is not None:
        report = _with_base(report, base_model)
    elif "adapter" in report and not is_on_hub(report["adapter"]["base"]):
        raise InputError(
            folder, f"the base of this adapter, {report['adapter']['base']}, is a folder here",
            "push it first, and name it with --base-model owner/name",
        )  # fmt: skip
    report = without_folders(report)
    card = _card(folder, report, section or CardSection(), languages, repository)
    taken, left = shareable(folder)
    with tempfile.TemporaryDirectory() as place:
        draft = Path(place) / folder.resolve().name
        draft.mkdir()
        for path in taken:
            _put(path, draft / path.name, base_model)
        write_json(draft / REPORT, report)
        (draft / CARD).write_text(card, encoding="utf-8")
        _check_names(draft)
        if dry_run:
            return _tree(draft, repository, private, left) + f"\n\n{CARD}:\n\n{card}"
        again = f"nothing is lost: run the same command again; the model is in {folder}"
        message = f"{folder.resolve().name}: {report['task']}"
        url = push_to_hub(draft, repository, private, message, "model", outdated=None, place="push", again=again)
    return f"uploaded to {url}"


def _report_of(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "name the folder of a finished run")
    path = folder / REPORT
    if not path.is_file():
        raise InputError(
            folder, f"has no {REPORT}, from which the card is written", "name the folder of a finished run"
        )
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        known = report["task"] in _NEEDED
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"is no report of a run ({error!r})", "restore it, or run the job again") from error
    if not known:
        raise InputError(path, f"is the report of {shown(report['task'])}", f"push one of {', '.join(_NEEDED)}")
    return dict(report)


def _check_files(folder: Path, report: dict[str, Any]) -> None:
    """Refuse what would arrive incomplete or damaged."""
    for name in _ADAPTER if "adapter" in report else _NEEDED[report["task"]]:
        if name == "model.safetensors" and (folder / f"{name}.index.json").is_file():
            shards = json.loads((folder / f"{name}.index.json").read_text(encoding="utf-8"))["weight_map"].values()
            for shard in sorted(set(shards)):
                require_file(folder / shard)
            continue
        if not (folder / name).is_file():
            raise InputError(folder, f"has no {name}", "name the folder of a finished run; pickles are not uploaded")
        require_file(folder / name)
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, "np"):
                pass
        except (SafetensorError, OSError) as error:
            raise InputError(path, f"is damaged ({error})", "run the job again") from error


def _with_base(report: dict[str, Any], base: str) -> dict[str, Any]:
    """`report`, as if its run had started from `base`, a model on the Hub."""
    require_repository(base, "--base-model")
    run = report["run"] if report["task"] == "export" else report
    run = {**run, "recipe": {**run.get("recipe", {}), "checkpoint": base}}
    run["inputs"] = {**run.get("inputs", {}), "checkpoint": base}
    if "adapter" in run:
        run["adapter"] = {**run["adapter"], "base": base, "base_fingerprint": base}
    return {**report, "run": run} if report["task"] == "export" else run


def _card(folder: Path, report: dict[str, Any], section: CardSection, languages: Sequence[str], place: str) -> str:
    """The card: that of the folder with what it lacks, or a new one."""
    written = folder / CARD
    existing = (
        ModelCard(written.read_text(encoding="utf-8"), ignore_metadata_errors=True) if written.is_file() else None
    )
    said = (report.get("run", report).get("recipe") or {}).get("card") or {}
    old = existing.data.to_dict() if existing else {}
    licence = section.license or old.get("license") or said.get("license")
    if not licence:
        raise InputError(
            "push", "neither the card nor the report says under which licence the weights are",
            "give --license, as the Hub writes it: apache-2.0, cc-by-nc-4.0, other, …",
        )  # fmt: skip
    section = section.model_copy(update={"license": licence})
    if languages:
        report = {**report, **({"run": {**report["run"], "languages": [*languages]}} if "run" in report else {})}
        report |= {"languages": [*languages]}
    if existing is None or report["task"] == "export":  # an export's own card has no licence yet
        return card_of(report, folder.resolve().name, section, place)
    if report["task"] == "pretraining":
        return _completed(existing, {"license": licence, **({"language": [*languages]} if languages else {})})
    return _completed(existing, card_data(report, section).to_dict())


def _completed(card: ModelCard, data: dict[str, Any]) -> str:
    """`card`, which somebody wrote, with what its front matter lacks."""
    have = card.data.to_dict()
    for key, value in data.items():
        if not have.get(key):
            have[key] = value
    body = card.text.lstrip("\n")
    return f"---\n{yaml.safe_dump(have, allow_unicode=True, sort_keys=False).rstrip()}\n---\n\n{body}"


def _put(path: Path, target: Path, base_model: str | None) -> None:
    """A file as it is sent: weights and code as they are, configurations without the folders of this machine."""
    if path.suffix != ".json" or path.name in ("tokenizer.json", "vocab.json"):
        shutil.copy(path, target) if path.stat().st_size < 1e6 else target.symlink_to(path.resolve())
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    if path.name == "adapter_config.json" and base_model is not None:
        content["base_model_name_or_path"] = base_model
    cleaned = without_folders(content)
    if cleaned == content and path.name != "adapter_config.json":
        shutil.copy(path, target)
    else:
        write_json(target, cleaned)


def _check_names(draft: Path) -> None:
    for path in [*draft.glob("*.md"), *draft.glob("*.json")]:
        found = None if path.name == "tokenizer.json" else holds_folders(path.read_text(encoding="utf-8"))
        if found is not None:
            raise InputError(path.name, f"names {found}, a folder of this machine", "take it out")


def _tree(draft: Path, repository: str, private: bool, left: list[str]) -> str:
    sizes = [(path.name, path.stat().st_size) for path in sorted(draft.iterdir())]
    width = max(len(name) for name, _ in sizes)
    lines = [f"{repository} ({'private' if private else 'public'} where it is made), nothing is sent:"]
    lines += [f"  {name:<{width}} {size:>13,} bytes" for name, size in sizes]
    lines.append(f"  {'':<{width}} {sum(size for _, size in sizes):>13,} bytes in all")
    if left:
        lines.append(f"stays here: {', '.join(left)}")
    return "\n".join(lines)
