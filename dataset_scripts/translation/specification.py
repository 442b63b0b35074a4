"""Translators as they are asked for: a YAML file that lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from kbioxlm.common.recipe import Recipe, load_recipe
from kbioxlm.dataset_scripts.translation.chat import INSTRUCTION, ChatSettings, ChatTranslator
from kbioxlm.dataset_scripts.translation.lexicon import LexiconSettings, LexiconTranslator
from kbioxlm.dataset_scripts.translation.protocol import Translator
from kbioxlm.dataset_scripts.translation.seq2seq import Seq2SeqSettings, Seq2SeqTranslator

Settings = Annotated[Seq2SeqSettings | ChatSettings | LexiconSettings, Field(discriminator="kind")]


class TranslatorsFile(Recipe):
    """The content of the file: `translators`, a list of mappings with `kind` seq2seq, chat or lexicon."""

    translators: list[Settings] = Field(min_length=1)


def read_translators(path: str | Path, instruction: str = INSTRUCTION) -> list[Translator]:
    """The translators of a YAML file, in its order. Paths in it are relative to the current folder.

    Args:
        instruction: what chat models are told that have no instruction in the file.

    Raises:
        InputError: not YAML, an unknown key, a wrong value, or a translator that cannot be had.
    """
    found = load_recipe(TranslatorsFile, path).translators
    return [translator_of(_instructed(settings, instruction)) for settings in found]


def _instructed(settings: Settings, instruction: str) -> Settings:
    if isinstance(settings, ChatSettings) and "instruction" not in settings.model_fields_set:
        return settings.model_copy(update={"instruction": instruction})
    return settings


def translator_of(settings: Seq2SeqSettings | ChatSettings | LexiconSettings) -> Translator:
    """The translator that `settings` describe.

    Raises:
        InputError: it cannot be had.
    """
    if isinstance(settings, Seq2SeqSettings):
        return Seq2SeqTranslator(settings)
    if isinstance(settings, ChatSettings):
        return ChatTranslator(settings)
    return LexiconTranslator(settings)
