"""What every loader of a checkpoint needs: is it there, is it whole, does its tokenizer belong to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from kbioxlm.common.errors import InputError
from kbioxlm.training.tokenizer import load_tokenizer


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


def load_whole(
    checkpoint: str, load: Callable[[], tuple[Any, set[str]]], remedy: str
) -> tuple[Any, PreTrainedTokenizerBase]:
    """A model and the tokenizer beside it.

    Args:
        checkpoint: a folder, or an id on the Hub.
        load: gives the model, and the names of weights that it needs and the checkpoint lacks.
        remedy: what to name instead where there are such.

    Raises:
        InputError: nothing there, no tokenizer, weights that are missing, or a tokenizer of another model.
    """
    check_checkpoint(checkpoint)
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # what is missing is checked here
    try:
        model, missing = load()
        tokenizer = load_tokenizer(checkpoint, model.config)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(checkpoint, f"cannot be loaded ({error})", "name a checkpoint with its tokenizer") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    if missing:
        raise InputError(checkpoint, f"{len(missing)} weights are missing, such as {min(missing)}", remedy)
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            checkpoint, f"the tokenizer has {len(tokenizer)} pieces, the model {model.config.vocab_size}",
            "put the model's own tokenizer beside it",
        )  # fmt: skip
    return model, tokenizer


def longest_input(config: PretrainedConfig) -> int:
    """Positions of the longest input; those of RoBERTa-shaped models start behind the padding id."""
    return config.max_position_embeddings - config.pad_token_id - 1


def check_length(place: str, max_length: int, config: PretrainedConfig) -> None:
    """Refuse windows that are longer than the model.

    Raises:
        InputError: `max_length` exceeds the model's positions.
    """
    longest = longest_input(config)
    if max_length > longest:
        raise InputError(
            place, f"max_length {max_length} is longer than the model, which has {longest} positions",
            f"set max_length to at most {longest}; longer text is cut into overlapping windows",
        )  # fmt: skip
