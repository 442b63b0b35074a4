"""Pretraining on the four kinds of text: stage 1 on monolingual text, stage 2 with the three tasks (3.1, A.1)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase, set_seed

from kbioxlm.common.errors import InputError
from kbioxlm.common.files import write_json, written_beside
from kbioxlm.configuration_kbioxlm import KBioXLMConfig
from kbioxlm.dataset_scripts.folder import CARD
from kbioxlm.dataset_scripts.hub import push_model, require_repository
from kbioxlm.modeling_kbioxlm import KBioXLMForPreTraining
from kbioxlm.training.device import hardware, is_main_process, training_accelerator
from kbioxlm.training.models.checkpoints import check_checkpoint
from kbioxlm.training.models.starting_points import model_of_checkpoint, model_of_shape
from kbioxlm.training.models.tokenizer import load_tokenizer
from kbioxlm.training.models.vocabulary import frequent_pieces, use_vocabulary
from kbioxlm.training.models.vocabulary_report import coverage
from kbioxlm.training.plots import objective_curves
from kbioxlm.training.pretraining.corpus_checks import check_coverage, check_levels
from kbioxlm.training.pretraining.encoded import EncodedLevel, encoded_level
from kbioxlm.training.pretraining.examples import MaskedSteps, strata_of
from kbioxlm.training.pretraining.loop import Optimization, optimize
from kbioxlm.training.pretraining.masking import MaskingRule
from kbioxlm.training.pretraining.model_card import model_card
from kbioxlm.training.pretraining.recipe import PretrainRecipe
from kbioxlm.training.pretraining.saved_state import whole_weights
from kbioxlm.training.pretraining.schedule import Plan, mean_length
from kbioxlm.training.pretraining.trackers import TENSORBOARD, Trackers, require_trackers
from kbioxlm.training.runs import (
    REPORT,
    disk_errors,
    fingerprint,
    finished_report,
    refuse_to_replace,
    resume_point,
    work_folder,
)


def pretrain(recipe: PretrainRecipe) -> dict[str, Any]:
    """Pretrain as `recipe` says and write model, tokenizer, card, curves and report to its output.

    A run that was killed goes on from its last checkpoint; a finished one with the same recipe and the same
    inputs is not run again, but its card is written anew, and it is uploaded if the recipe says so.

    Returns:
        the content of `report.json`.

    Raises:
        InputError: anything wrong with the recipe or its inputs, before training starts; a loss that is not finite;
            a full disk.
    """
    started = time.perf_counter()
    identity = {
        "recipe": recipe.decisive(),
        "inputs": {
            name: fingerprint(path)
            for name, path in (
                ("corpora", recipe.corpora), ("checkpoint", recipe.checkpoint), ("tokenizer", recipe.tokenizer),
                ("mlm_vocabulary", recipe.mlm_vocabulary),
            )
            if path is not None
        },
    }  # fmt: skip
    if recipe.push_to_hub is not None:
        require_repository(recipe.push_to_hub, "recipe, push_to_hub")
    require_trackers(recipe.report_to)
    report = finished_report(recipe.output, identity)
    if report is None:
        report = _run(recipe, identity, started)
    if is_main_process():
        _publish(recipe, report)
    return report


def _run(recipe: PretrainRecipe, identity: dict[str, Any], started: float) -> dict[str, Any]:
    accelerator = training_accelerator(recipe.bf16)
    set_seed(recipe.seed)
    tokenizer = _load_tokenizer(recipe)
    levels = [
        encoded_level(recipe.corpora, level, tokenizer, recipe.max_length, recipe.cache, recipe.workers)
        for level in recipe.shares
    ]
    check_levels(recipe.corpora, levels)
    model = _load_model(recipe, tokenizer, levels)
    parameters = model.num_parameters()
    predictable = _predictable(model, tokenizer)
    check_coverage(
        recipe.corpora, levels, predictable, tokenizer.all_special_ids, tokenizer.unk_token_id, recipe.least_coverage
    )
    steps = _masked_steps(recipe, levels, predictable, tokenizer, accelerator)
    work = work_folder(recipe.output)
    with accelerator.main_process_first():
        found = resume_point(work, identity)
    resumed = None if found is None else Path(found)
    set_seed(recipe.seed + accelerator.process_index)  # each process drops out units of its own
    with Trackers(
        recipe.report_to if accelerator.is_main_process else [], work, recipe.output.name, identity["recipe"], resumed
    ) as trackers:
        trained, state = optimize(accelerator, model, steps, _optimization(recipe), work, resumed, trackers.log)
    spent_before = state.seconds - state.seconds_here
    report = {
        "task": "pretraining",
        **identity,
        "seed": recipe.seed,
        "languages": sorted({language for level in levels for language in level.rows_of}),
        "parameters": parameters,
        "coverage": coverage(levels, predictable, tokenizer),
        "hardware": hardware(accelerator),
        "batch": {"examples": steps.plan.batch_size, "pieces": round(state.pieces / recipe.steps, 1)},
        "examples": {levels[number].name: count for number, count in steps.plan.examples().items()},
        "pieces": state.pieces,
        "seconds": round(spent_before + time.perf_counter() - started, 1),
        "training_seconds": round(state.seconds, 3),
        "history": state.history,
    }
    weights = whole_weights(accelerator, trained)
    if accelerator.is_main_process:
        with disk_errors(recipe.output, "the model", f"the last checkpoint is in {work}"):
            _write(recipe, model.config, weights, tokenizer, report, work)
    accelerator.wait_for_everyone()
    return report


def _write(
    recipe: PretrainRecipe,
    config: KBioXLMConfig,
    weights: dict[str, torch.Tensor],
    tokenizer: PreTrainedTokenizerBase,
    report: dict[str, Any],
    work: Path,
) -> None:
    with written_beside(recipe.output) as draft:
        whole = KBioXLMForPreTraining(config)  # the trained one may be in parts, on several devices
        whole.load_state_dict(weights)
        whole.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        title = f"Pretraining on {', '.join(recipe.shares)}"
        objective_curves(report["history"], draft / "loss.png", title)
        if (work / TENSORBOARD).is_dir():
            shutil.copytree(work / TENSORBOARD, draft / TENSORBOARD)
        write_json(draft / REPORT, report)
    shutil.rmtree(work)


def _publish(recipe: PretrainRecipe, report: dict[str, Any]) -> None:
    """Write the card if it says anything new, and upload everything if the recipe says so."""
    path, card = recipe.output / CARD, model_card(report, recipe.card, recipe.push_to_hub)
    if not path.is_file() or path.read_text(encoding="utf-8") != card:
        with disk_errors(recipe.output, "the card", "the model is finished"), written_beside(path) as draft:
            draft.write_text(card, encoding="utf-8")
    if recipe.push_to_hub is not None:
        push_model(recipe.output, recipe.push_to_hub, recipe.hub_private, f"{recipe.steps} steps of pretraining")


def _predictable(model: KBioXLMForPreTraining, tokenizer: PreTrainedTokenizerBase) -> NDArray[np.bool_]:
    """Whether the model's head has a row for each piece, `(vocabulary,)`."""
    kept = model.lm_head.token_ids
    predictable = np.full(len(tokenizer), kept is None)
    if kept is not None:
        predictable[kept[kept < len(tokenizer)].numpy()] = True
    return predictable


def _masked_steps(
    recipe: PretrainRecipe,
    levels: Sequence[EncodedLevel],
    predictable: NDArray[np.bool_],
    tokenizer: PreTrainedTokenizerBase,
    accelerator: Accelerator,
) -> MaskedSteps:
    strata = strata_of(levels, recipe.shares)
    if recipe.batch_pieces is None:
        batch_size = recipe.batch_size
    else:
        batch_size = max(1, round(recipe.batch_pieces / mean_length(strata)))
    assert batch_size is not None  # the recipe has one of both
    return MaskedSteps(
        levels, Plan(strata, recipe.steps, batch_size, recipe.seed), masking_rule(recipe, tokenizer, predictable),
        recipe.seed, tokenizer.pad_token_id, recipe.micro_batch,
        accelerator.num_processes, accelerator.process_index,
    )  # fmt: skip


def _optimization(recipe: PretrainRecipe) -> Optimization:
    return Optimization(
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_gradient_norm=recipe.max_gradient_norm,
        logging_steps=recipe.logging_steps or max(1, recipe.steps // 100),
        save_steps=recipe.save_steps,
        workers=recipe.workers,
        compiled=recipe.torch_compile,
    )


def masking_rule(
    recipe: PretrainRecipe, tokenizer: PreTrainedTokenizerBase, predictable: NDArray[np.bool_]
) -> MaskingRule:
    """The rule of `recipe`; labels and random replacements are `predictable` pieces, special ones left out."""
    predictable = predictable.copy()
    predictable[tokenizer.all_special_ids] = False  # `<unk>` too: it stands for any character
    return MaskingRule(
        mask_id=tokenizer.mask_token_id,
        random_ids=np.flatnonzero(predictable),
        predictable=predictable,
        rate=recipe.mask_rate,
        aligned_rate=recipe.aligned_mask_rate,
        max_entity_pieces=recipe.max_entity_pieces,
    )


def _load_tokenizer(recipe: PretrainRecipe) -> PreTrainedTokenizerBase:
    if (recipe.checkpoint is None) == (recipe.shape is None):
        raise InputError("recipe", "needs one of `checkpoint` and `shape`", "give what to start from, or a new shape")
    source = recipe.checkpoint or recipe.tokenizer
    if source is None:
        raise InputError(
            "recipe", "key 'tokenizer' is missing", "a model from scratch needs one; see train.py tokenizer"
        )
    if recipe.checkpoint is not None:
        refuse_to_replace(recipe.checkpoint, recipe.output)
        check_checkpoint(recipe.checkpoint)
        if recipe.tokenizer is not None:
            raise InputError("recipe", "key 'tokenizer' stands beside `checkpoint`, which has its own", "leave it out")
    return load_tokenizer(source, None if recipe.checkpoint is None else KBioXLMConfig.from_pretrained(source))


def _load_model(
    recipe: PretrainRecipe, tokenizer: PreTrainedTokenizerBase, levels: Sequence[EncodedLevel]
) -> KBioXLMForPreTraining:
    if recipe.shape is not None:
        model = model_of_shape(recipe.shape, tokenizer)
    else:
        model = model_of_checkpoint(str(recipe.checkpoint))
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            str(recipe.checkpoint), f"the tokenizer has {len(tokenizer)} pieces, the model {model.config.vocab_size}",
            "put the model's own tokenizer beside it",
        )  # fmt: skip
    positions = model.config.max_position_embeddings - model.config.pad_token_id - 1
    if recipe.max_length > positions:
        raise InputError(
            "recipe", f"max_length {recipe.max_length} exceeds the model's {positions} positions", "lower max_length"
        )
    if recipe.mlm_vocab_size is not None and model.config.mlm_vocab_size not in (None, recipe.mlm_vocab_size):
        raise InputError(
            "recipe", f"mlm_vocab_size is {recipe.mlm_vocab_size}, the checkpoint's head has "
            f"{model.config.mlm_vocab_size} rows already", "leave mlm_vocab_size out",
        )  # fmt: skip
    if recipe.mlm_vocab_size is not None and model.config.mlm_vocab_size is None:
        kept = frequent_pieces(levels, recipe.mlm_vocab_size, tokenizer)
        model.reduce_mlm_head(torch.from_numpy(kept))
    if recipe.mlm_vocabulary is not None:
        use_vocabulary(model, recipe.mlm_vocabulary, tokenizer)
    if recipe.attn_implementation is not None:
        try:
            model.set_attn_implementation(recipe.attn_implementation)
        except (ImportError, ValueError) as error:
            raise InputError(
                "recipe", f"attn_implementation {recipe.attn_implementation!r} cannot be used here ({error})",
                "leave it out",
            ) from error  # fmt: skip
    if recipe.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return model
