"""Pretraining beside plain transformers and the authors' variant: a step, its memory, uneven texts, a GPU."""

from __future__ import annotations

import sys
from typing import Any

from bfloat16 import bfloat16_rows
from gpu import gpu_rows
from harness import Row, in_own_process, in_turn_apart, less_is_better, report
from steps import BASE, SMALL, TRIMMED, VOCABULARY, authors, ours, plain
from uneven import uneven_rows

PLAIN, AUTHORS = "plain transformers", "37,030-way head at all positions"
REDUCED, HEADLINE = "reduced head", "reduced head, trimmed vocabulary"


def small_rows() -> list[Row]:
    """4 layers x 256, batch 8 x 256."""
    case = (SMALL, 8, 256)
    makers: dict[str, Any] = {
        PLAIN: (plain, case),
        AUTHORS: (authors, case),
        REDUCED: (ours, (*case, VOCABULARY)),
        HEADLINE: (ours, (*case, TRIMMED)),
    }
    measured = in_turn_apart(makers, rounds=5)
    rows = []
    for name, peer, speed, memory in (
        (HEADLINE, PLAIN, 18.0, 6.0),
        (HEADLINE, AUTHORS, 3.5, None),
        (REDUCED, PLAIN, None, None),
        (REDUCED, AUTHORS, None, None),
    ):
        (seconds, peak), (peers_seconds, peers_peak) = measured[name], measured[peer]
        rows.append(less_is_better(f"4 x 256, a step, {name}", "s", seconds, peers_seconds, peer, speed))
        rows.append(less_is_better(f"4 x 256, memory, {name}", "GB", peak / 1e9, peers_peak / 1e9, peer, memory))
    return rows


def base_rows() -> list[Row]:
    """The shape of XLM-R base, batch 8 x 128."""
    case = (BASE, 8, 128)
    makers: dict[str, Any] = {PLAIN: (plain, case), HEADLINE: (ours, (*case, TRIMMED))}
    measured = in_turn_apart(makers, rounds=3)
    (seconds, peak), (peers_seconds, peers_peak) = measured[HEADLINE], measured[PLAIN]
    return [
        less_is_better(f"XLM-R base, a step, {HEADLINE}", "s", seconds, peers_seconds, PLAIN, 3.0),
        less_is_better(f"XLM-R base, memory, {HEADLINE}", "GB", peak / 1e9, peers_peak / 1e9, PLAIN),
    ]


def main() -> int:
    """Measure all."""
    rows: list[Row] = []
    for what, measure in (("4 layers x 256", small_rows), ("XLM-R base", base_rows)):
        print(f"steps of {what}", file=sys.stderr)
        rows += measure()
    print("uneven texts", file=sys.stderr)
    (uneven, said), _ = in_own_process(uneven_rows)
    in_bfloat16 = bfloat16_rows()
    on_gpu, said_of_gpu = gpu_rows()
    notes = said | said_of_gpu
    report("pretraining", [*rows, *uneven, *in_bfloat16, *on_gpu], notes)
    for note, values in notes.items():
        print(f"{note}: {values}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
