"""How much text there is: in the pieces of a tokenizer, or in words where none is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from kbioxlm.common.errors import InputError

FILE = "tokenizer.json"
_AT_ONCE = 1000
# Thai to Tibetan, Myanmar, Khmer, Han and kana. Korean sets its words apart.
_UNSPACED = (
    r"\u0e01-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u312f\u3400-\u9fff"
    r"\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_APART = r"\s\u3000-\u3004\u3008-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_WORD = re.compile(rf"[{_UNSPACED}]|[^{_UNSPACED}{_APART}]*[^\W_{_UNSPACED}][^{_UNSPACED}{_APART}]*")


class TokenCounter:
    """Counts tokens.

    Args:
        tokenizer: folder or Hub id of a tokenizer, whose pieces are counted without special ones. None counts words:
            what spaces or full-width punctuation set apart, if there is a letter or digit in it, and single
            characters of scripts without spaces.

    Attributes:
        unit: what is counted, in words.

    Raises:
        InputError: the tokenizer cannot be loaded.
    """

    def __init__(self, tokenizer: str | None = None):
        self.unit = "words" if tokenizer is None else f"tokens of {tokenizer}"
        self._tokenizer = None if tokenizer is None else _load(tokenizer)

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each of `texts`."""
        if self._tokenizer is None:
            return [len(_WORD.findall(text)) for text in texts]
        counts: list[int] = []
        for start in range(0, len(texts), _AT_ONCE):
            batch = list(texts[start : start + _AT_ONCE])
            counts += [
                len(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            ]
        return counts


def _load(name: str) -> Tokenizer:
    path = Path(name)
    try:
        if path.is_dir():
            path = path / FILE
        tokenizer = (
            Tokenizer.from_file(str(path)) if path.exists() or path.name == FILE else Tokenizer.from_pretrained(name)
        )
    except Exception as error:  # the library raises Exception itself
        raise InputError(
            "--tokenizer",
            f"cannot load {name} ({error})",
            f"give a folder with a {FILE} or its id on the Hub; without the option words are counted",
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
