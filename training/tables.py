"""Reports as Markdown tables: what a run says on the screen and in docs/results.md."""

from __future__ import annotations

import statistics
from typing import Any


def experiment_table(report: dict[str, Any]) -> str:
    """The scores and probes of an experiment: arms as columns, one figure a row, N and spread beside it.

    Args:
        report: as `experiment.run_experiment` returns it.
    """
    arms = report["arms"]
    rows = [["F1", *(f"{arm}" for arm in arms), "N"]]
    first = next(iter(arms.values()))
    for name, cell in first["scores"].items():
        counted = f"{cell['n']:,} {cell['counted']}"
        rows.append([name, *(_score(values["scores"][name]) for values in arms.values()), counted])
        if "accuracy" in cell:
            accuracies = (_score(values["scores"][name]["accuracy"]) for values in arms.values())
            rows.append([f"{name}, accuracy", *accuracies, counted])
    rows.append(
        [
            "**zero-shot, mean**",
            *(f"**{_score({'f1': v['zero_shot_f1'], **v})}**" for v in arms.values()),
            f"{first['n']:,}",
        ]
    )
    lines = markdown_rows(rows)
    if first["probes"][0]:
        probes = [["alignment (%)", *arms, "N", "chance"]]
        for name, path, title in _figures(first["probes"][0]):
            cell = first["probes"][0][name]
            figures = [_mean([_at(run[name], path) for run in values["probes"]]) for values in arms.values()]
            chance = f"{cell['chance']:.2f}" if path.endswith("value") else "–"
            probes.append([title, *figures, f"{cell['n']:,}", chance])
        lines += ["", *markdown_rows(probes)]
    stage2, finetuning = (report[key] for key in ("pretraining_seeds", "finetuning_seeds"))
    several = len(stage2) * len(finetuning) > 1
    spread = "± is the sample standard deviation over them" if several else "no spread"
    seeds = f"stage 2 seeds {', '.join(map(str, stage2))}, fine-tuning seeds {', '.join(map(str, finetuning))}"
    lines += ["", f"Seed {report['seed']}; {seeds} ({spread}); {report['seconds']:,.0f} s."]
    return "\n".join(lines) + "\n"


def _figures(probes: dict[str, Any]) -> list[tuple[str, str, str]]:
    """`(probe, path of the figure in it, title)` of the rows that `probes` can fill."""
    rows = []
    for name in probes:
        kind, _, source = name.partition("/")
        if kind in ("name_retrieval", "sentence_retrieval"):
            what = "held-out names" if kind == "name_retrieval" else f"parallel texts of {source}"
            rows += [(name, "value", f"{what} retrieved, P@1"), (name, "centred.value", f"{what}, P@1, centred")]
        else:
            what = "held-out names" if kind == "masked_names" else "paired names"
            rows += [
                (name, "value", f"{what}, masked pieces predicted"),
                (name, "shuffled", f"{what}, the same, shuffled"),
                (name, "names", f"{what}, predicted whole"),
            ]
    return rows


def _at(figures: dict[str, Any], path: str) -> float:
    value: Any = figures
    for key in path.split("."):
        value = value[key]
    return float(value)


def _score(cell: dict[str, Any]) -> str:
    return f"{cell['f1']:.2f}" + (f" ± {cell['spread']:.2f}" if cell["spread"] is not None else "")


def _mean(values: list[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else None
    return _score({"f1": statistics.fmean(values), "spread": spread})


def markdown_rows(rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table from its rows, the first of which is its head; a `|` in a cell does not end it."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = [
        "| "
        + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return [aligned[0], rule, *aligned[1:]]
