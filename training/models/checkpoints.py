"""What every loader of a checkpoint needs: is it there, is it whole, does its tokenizer belong to it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from kbioxlm.common.errors import InputError
from kbioxlm.training.finetuning.encoders import encoder_of
from kbioxlm.training.models.tokenizer import load_tokenizer


def check_checkpoint(checkpoint: str) -> None:
    """Refuse what is neither a folder nor an id on the Hub.

    Raises:
        InputError: no such folder, or a folder without config.json.
    """
    path = Path(checkpoint)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(checkpoint, "the folder has no config.json", "name the folder of a saved model")
    elif path.exists() or checkpoint.startswith((".", "/", "runs/")) or checkpoint.count("/") > 1:
        raise InputError(checkpoint, "no such checkpoint folder", "train it first, or check the path")


def weight_files(convert_pickle: bool) -> dict[str, Any]:
    """Arguments of `from_pretrained`: safetensors alone, or, where there are none, a pickle read without its code."""
    return {"use_safetensors": None, "weights_only": True} if convert_pickle else {"use_safetensors": True}


def _check_files(checkpoint: str, convert_pickle: bool) -> None:
    path = Path(checkpoint)
    pickles = sorted(file.name for file in path.glob("pytorch_model*.bin"))
    if pickles and not convert_pickle and not any(path.glob("*.safetensors")):
        raise InputError(checkpoint, f"holds its weights as a pickle alone ({pickles[0]})", _PICKLE)


_PICKLE = (
    "set convert_pickle: true to read it without its code (weights_only=True), or name a copy in safetensors, which "
    "alone are opened otherwise (use_safetensors=True)"
)


def load_whole(
    checkpoint: str, load: Callable[[], tuple[PreTrainedModel, set[str]]], remedy: str, convert_pickle: bool = False
) -> tuple[Any, PreTrainedTokenizerBase]:
    """A model and the tokenizer beside it.

    Args:
        checkpoint: a folder, or an id on the Hub.
        load: gives the model, and the names of weights that it needs and the checkpoint lacks.
        remedy: what to name instead where there are such.
        convert_pickle: whether `load` may read a pickle.

    Raises:
        InputError: nothing there, no tokenizer, weights that are missing or a pickle, or a tokenizer of
            another model.
    """
    check_checkpoint(checkpoint)
    _check_files(checkpoint, convert_pickle)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # what is missing is checked here
    try:
        model, missing = load()
        tokenizer = load_tokenizer(checkpoint, encoder_of(model).config)
    except (OSError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        if isinstance(error, InputError):
            raise
        pickled = "safetensors" in str(error) and not convert_pickle
        what_to_do = f"if its weights are a pickle, {_PICKLE}" if pickled else "name a checkpoint with its tokenizer"
        raise InputError(checkpoint, f"cannot be loaded ({error})", what_to_do) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    if missing:
        raise InputError(checkpoint, f"{len(missing)} weights are missing, such as {min(missing)}", remedy)
    rows = encoder_of(model).config.vocab_size
    if len(tokenizer) > rows:
        raise InputError(
            checkpoint, f"the tokenizer has {len(tokenizer)} pieces, the model {rows}",
            "put the model's own tokenizer beside it",
        )  # fmt: skip
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None or tokenizer.pad_token_id is None:
        raise InputError(
            checkpoint, "its tokenizer has no piece for the begin, the end, or the padding of a text", "name an encoder"
        )
    return model, tokenizer
