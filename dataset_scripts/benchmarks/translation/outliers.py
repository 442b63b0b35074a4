"""What can be told of a translation only beside all the others: lengths, and labels of the same name."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from kbioxlm.common.errors import shown
from kbioxlm.dataset_scripts.benchmarks.translation.defects import Defect
from kbioxlm.dataset_scripts.benchmarks.translation.readings import Reading
from kbioxlm.dataset_scripts.benchmarks.translation.sources import Row, is_placeholder
from kbioxlm.dataset_scripts.matching.folding import fold_characters

LEAST_ROWS = 20  # with fewer there is nothing to be far from
LARGEST_SCORE = 3.5  # Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993), section 3
LEAST_CHARACTERS = 10  # that a text must be too long or too short by: short texts vary
_MAD_OF_NORMAL = 0.6745  # median absolute deviation of a standard normal variable
_RARE = 0.2  # of a name's labels
_LEAST_OTHERS = 3


def length_outliers(lengths: Sequence[tuple[int, int]]) -> dict[int, Defect]:
    """Rows whose translation is much longer or shorter than those of the others, by place in `lengths`.

    The logarithm of target over source length is compared by its robust z-score, 0.6745 (x - median) / MAD.

    Args:
        lengths: characters of source and target of each row; rows with a zero are passed over.
    """
    places = [place for place, pair in enumerate(lengths) if min(pair) > 0]
    if len(places) < LEAST_ROWS:
        return {}
    ratios = np.array([math.log(lengths[place][1] / lengths[place][0]) for place in places])
    median = float(np.median(ratios))
    deviation = float(np.median(np.abs(ratios - median)))
    if deviation == 0.0:
        return {}
    scores = _MAD_OF_NORMAL * (ratios - median) / deviation
    found = {}
    for place, score in zip(places, scores.tolist(), strict=True):
        source, target = lengths[place]
        expected = source * math.exp(median)
        if abs(score) > LARGEST_SCORE and abs(target - expected) > LEAST_CHARACTERS:
            found[place] = Defect("length", f"{target} characters where about {expected:.0f} are to be expected")
    return found


def label_outliers(rows: Sequence[Row], readings: Sequence[Reading]) -> dict[int, list[Defect]]:
    """Entities whose translation bears another label nearly everywhere else, by place of their row.

    Names that the source itself gives both labels are left alone.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    of_source: dict[str, set[str]] = defaultdict(set)
    for row, reading in zip(rows, readings, strict=True):
        for one in row.enclosed:
            of_source[fold_characters(row.text[one.start : one.end])].add(one.label)
        for number, start, end in reading.projection.spans:
            labels[fold_characters(reading.projection.text[start:end])][row.labels[number - 1]] += 1
    found: dict[int, list[Defect]] = {}
    for place, (row, reading) in enumerate(zip(rows, readings, strict=True)):
        for number, start, end in reading.projection.spans:
            name, label = reading.projection.text[start:end], row.labels[number - 1]
            counts = labels[fold_characters(name)]
            usual, most = max(counts.items(), key=lambda item: (item[1], item[0]))
            one = row.enclosed[number - 1]
            ambiguous = usual in of_source[fold_characters(row.text[one.start : one.end])]
            if (
                usual == label
                or most < _LEAST_OTHERS
                or counts[label] > _RARE * counts.total()
                or ambiguous
                or is_placeholder(label)
            ):
                continue
            message = f"{shown(name, 40)} is {label} here and {usual} {most} times elsewhere"
            found.setdefault(place, []).append(Defect("other_type", message, (number,)))
    return found
