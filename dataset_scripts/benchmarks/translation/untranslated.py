"""Text of the source language that a translation still holds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kbioxlm.dataset_scripts.benchmarks.translation.sources import PLACEHOLDER
from kbioxlm.dataset_scripts.translation.language_codes import script_of
from kbioxlm.dataset_scripts.translation.scripts import is_acronym, is_letter_of, same_script

WORDS_IN_A_ROW = 4
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_BETWEEN = re.compile(r"[\s\-‐–/,.'’()]*")
_SMALL = re.compile(r"[a-z]{2}")
# Latin words that other scripts keep as they are: units, Greek letters by name, phrases, amino acids
_KEPT_WORDS = """mg kg ng pg ml dl fl nl cm mm nm km mol mmol nmol pmol fmol min sec hr hrs wk wks mo yr yrs vs et al
    bid tid qid cfu rpm ppm bpm kb bp kda mmhg iu meq mosm db hz khz mhz gy rad cgy in vitro vivo ex situ
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega
    log ln sd se ci cis trans anti http https www com org
    ala arg asn asp cys gln glu gly his ile leu lys met phe pro ser thr trp tyr val"""
_KEPT = frozenset(_KEPT_WORDS.split())


def untranslated_runs(
    source_text: str, target_text: str, source: str, target: str, known: Sequence[tuple[int, int]] = ()
) -> list[str]:
    """Stretches of `target_text` that are still in the source language, each once, in their order.

    Between languages of different scripts these are runs of words in the source's script. In Latin letters, some
    words are at home in any script: codes and acronyms (mRNA, ApoE), units, names of Greek letters and amino acids,
    species behind an initial.
    Between languages of one script these are `WORDS_IN_A_ROW` words or more that follow each other in both texts.

    Args:
        known: places in `target_text` of names in the target language, which may hold foreign letters.
    """
    if same_script(source, target):
        return _repeated(source_text, target_text)
    kept = [*known, *(match.span() for match in PLACEHOLDER.finditer(target_text))]
    runs: list[tuple[int, int]] = []
    for match in _WORD.finditer(target_text):
        for start, end in _parts_in(match[0], match.start(), source):
            if any(first <= start and end <= last for first, last in kept) or _is_at_home(
                target_text, start, end, source
            ):
                continue
            if runs and _BETWEEN.fullmatch(target_text, runs[-1][1], start):
                runs[-1] = (runs[-1][0], end)
            else:
                runs.append((start, end))
    return list(dict.fromkeys(target_text[start:end] for start, end in runs))


def _parts_in(word: str, offset: int, language: str) -> list[tuple[int, int]]:
    """Runs of letters of a language's script in a word, which may go over into another script without a space."""
    parts: list[tuple[int, int]] = []
    for place, character in enumerate(word, offset):
        if not is_letter_of(character, language):
            continue
        if parts and parts[-1][1] == place:
            parts[-1] = (parts[-1][0], place + 1)
        else:
            parts.append((place, place + 1))
    return parts


def _is_at_home(text: str, start: int, end: int, source: str) -> bool:
    if script_of(source) != "Latn":
        return False
    word = text[start:end]
    is_code = is_acronym(word) or sum(map(str.isupper, word)) > 1
    return is_code or word.lower() in _KEPT or re.search(r"(?<![A-Za-z])[A-Z]\. ?$", text[:start]) is not None


def _repeated(source_text: str, target_text: str) -> list[str]:
    words = [match.group() for match in _WORD.finditer(source_text)]
    chains = {tuple(words[place : place + WORDS_IN_A_ROW]) for place in range(len(words))}
    matches = list(_WORD.finditer(target_text))
    runs: list[tuple[int, int]] = []
    for place in range(len(matches) - WORDS_IN_A_ROW + 1):
        chain = matches[place : place + WORDS_IN_A_ROW]
        small = sum(_SMALL.search(match.group()) is not None for match in chain)
        if tuple(match.group() for match in chain) not in chains or small < WORDS_IN_A_ROW - 1:
            continue
        start, end = chain[0].start(), chain[-1].end()
        if runs and start <= runs[-1][1]:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return list(dict.fromkeys(target_text[start:end] for start, end in runs))


def is_name(run: str) -> bool:
    """Whether a stretch may be somebody's or something's name, which some translators rightly keep: capitals alone."""
    return all(match.group()[0].isupper() for match in _WORD.finditer(run))
