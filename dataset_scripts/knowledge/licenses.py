"""Terms of use: the SPDX ids of the licences that open vocabularies state as addresses or in words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from kbioxlm.common.errors import InputError, one_line, shown

_LENGTH_LIMIT = 200
_CC_ADDRESS = re.compile(r"creativecommons\.org/licenses/(by(?:-nc)?(?:-nd|-sa)?)/(\d\.\d)")
_CC_WORDS = re.compile(r"(?:cc|creative commons)[ -](by(?:-nc)?(?:-nd|-sa)?)[ -]v?(\d\.\d)(?: international)?")
_CC_ZERO = re.compile(r".*creativecommons\.org/publicdomain/zero/1\.0.*|cc-?0(?:[ -]1\.0)?(?: universal)?")
_OTHERS = {
    "apache-2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "www.apache.org/licenses/license-2.0": "Apache-2.0",
    "mit": "MIT",
    "mit license": "MIT",
    "opensource.org/licenses/mit": "MIT",
}


def known_license(statement: str) -> str | None:
    """The SPDX id of a licence given as its id, its address or its usual words; None if it is not known here."""
    text = one_line(statement).lower()
    if _CC_ZERO.fullmatch(text):
        return "CC0-1.0"
    if found := _CC_ADDRESS.search(text) or _CC_WORDS.fullmatch(text):
        return f"CC-{found[1].upper()}-{found[2]}"
    bare = re.sub(r"^https?://", "", text).removesuffix("/").removesuffix(".html").removesuffix(".txt")
    return _OTHERS.get(bare)


def agreed_license(path: str | Path, stated: Iterable[str], given: str | None) -> str:
    """The licence of a file: an SPDX id where one is known, else the statement itself.

    Args:
        path: the file.
        stated: what the file says about its licence.
        given: what the user says, if anything. It counts where the file states nothing that is known.

    Raises:
        InputError: no licence at all, several, or one that contradicts the user's.
    """
    in_file = sorted({known_license(text) or one_line(text) for text in stated if text.strip()})
    by_user = (known_license(given) or one_line(given)) if given and given.strip() else None
    if by_user is not None:
        contradicted = [found for found in in_file if known_license(found) and found != by_user]
        if contradicted:
            found = f"the file states the licence {shown(contradicted[0])}, but {shown(by_user)} was given"
            raise InputError(path, found, "leave --license out, or give the one of the file")
        chosen = by_user
    elif len(in_file) > 1:
        raise InputError(path, f"the file states the licences {shown(in_file)}", "say with --license which one holds")
    elif in_file:
        chosen = in_file[0]
    else:
        raise InputError(path, "the file states no licence", "give it with --license, such as CC0-1.0 or CC-BY-4.0")
    if len(chosen) > _LENGTH_LIMIT:
        raise InputError(path, f"a licence of {len(chosen)} characters: {shown(chosen)}", "give its id with --license")
    return chosen
