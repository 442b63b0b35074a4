"""Best paths through a linear chain, in numpy alone.

Flat file: it travels beside `config.json` to model repositories and is loaded there as remote code. It needs neither
torch nor transformers.
"""

from __future__ import annotations

import numpy as np


def viterbi(
    emissions: np.ndarray, start: np.ndarray, end: np.ndarray, transitions: np.ndarray, lengths: list[int]
) -> list[list[int]]:
    """Best paths. Scores are added as (score + transition) + emission, which decides what is equal after rounding.

    Args:
        emissions: (steps, tags, batch).
        lengths: steps of each sequence.
    """
    steps, tags, batch = emissions.shape
    scores = np.empty_like(emissions)  # of the best path to each tag
    candidates = np.empty((tags, tags, batch), emissions.dtype)  # [from, to]
    kernel = np.repeat(transitions[:, :, None], batch, axis=2)
    np.add(emissions[0], start[:, None], out=scores[0])
    for before, after, emission in zip(scores[:-1, :, None], scores[1:], emissions[1:], strict=True):
        np.add(before, kernel, out=candidates)
        np.maximum.reduce(candidates, axis=0, out=after)
        np.add(after, emission, out=after)

    # The way back. A place is tag * batch + row; the tag after the last is the outside, where a sequence is until its
    # end.
    rows, last = np.arange(batch), np.array(lengths) - 1
    best = (scores[last, :, rows] + end).argmax(axis=1)
    back = np.empty((steps, tags + 1, batch), np.intp)  # from the place at the next step to that at this one
    back[:-1, :tags] = _origins(scores, emissions, transitions).swapaxes(0, 1)
    back[-1, :tags] = 0  # nothing comes from there
    back[:, tags] = np.where(np.arange(steps)[:, None] == last, best, tags)
    back *= batch
    back += rows
    path = np.empty((steps + 1, batch), np.intp)
    path[-1] = tags * batch + rows
    for places, following, found in zip(back.reshape(steps, -1)[::-1], path[:0:-1], path[-2::-1], strict=True):
        places.take(following, out=found, mode="clip")
    return [row[:length] for row, length in zip((path // batch).T.tolist(), lengths, strict=True)]


def _origins(scores: np.ndarray, emissions: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """The tag that the best path to each tag comes from: the first from which it has the score it has.

    All steps at once, tag by tag: counted are the tags up to that one. An argmax would take several times longer.

    Args:
        scores, emissions: (steps, tags, batch).
        transitions: (tags, tags), [from, to].

    Returns:
        (tags, steps - 1, batch), unsigned.
    """
    steps, tags, batch = scores.shape
    scores, emissions = (array.swapaxes(0, 1).reshape(tags, -1) for array in (scores, emissions))
    before, after, emission = scores[:, : (steps - 1) * batch], scores[:, batch:], emissions[:, batch:]
    origins = np.zeros(after.shape, np.min_scalar_type(tags))
    candidates = np.empty(after.shape, scores.dtype)
    missing, differs = np.ones(after.shape, bool), np.empty(after.shape, bool)
    for tag in range(tags - 1):  # where it is none of these, it is the last
        np.add(before[tag], transitions[tag, :, None], out=candidates)
        candidates += emission
        np.not_equal(candidates, after, out=differs)
        missing &= differs
        origins += missing
    return origins.reshape(tags, steps - 1, batch)


__all__ = ["viterbi"]
