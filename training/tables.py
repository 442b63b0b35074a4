"""Reports as Markdown tables: what a run says on the screen and in docs/results.md."""

from __future__ import annotations

from typing import Any


def experiment_table(report: dict[str, Any]) -> str:
    """The scores and probes of an experiment: arms as columns, one figure a row, N and spread beside it.

    Args:
        report: as `experiment.run_experiment` returns it.
    """
    arms = report["arms"]
    rows = [["strict F1", *(f"{arm}" for arm in arms), "N"]]
    first = next(iter(arms.values()))
    rows += [
        [name, *(_score(values["scores"][name]) for values in arms.values()), f"{cell['n']:,} sentences"]
        for name, cell in first["scores"].items()
    ]
    rows.append(
        [
            "**zero-shot, mean**",
            *(f"**{_score({'f1': v['zero_shot_f1'], **v})}**" for v in arms.values()),
            f"{first['n']:,}",
        ]
    )
    lines = _markdown(rows)
    if first.get("probes"):
        probes = [["alignment (%)", *arms, "N", "chance"]]
        for name, figure, title in _figures(first["probes"]):
            cell = first["probes"][name]
            probes.append(
                [
                    title,
                    *(f"{values['probes'][name][figure]:.2f}" for values in arms.values()),
                    f"{cell['n']:,}",
                    f"{cell['chance']:.2f}" if "chance" in cell else "–",
                ]
            )
        lines += ["", *_markdown(probes)]
    seeds = ", ".join(map(str, report["finetuning_seeds"]))
    spread = "± is the sample standard deviation over them" if len(report["finetuning_seeds"]) > 1 else "no spread"
    lines += ["", f"Seed {report['seed']}; fine-tuning seeds {seeds} ({spread}); {report['seconds']:,.0f} s."]
    return "\n".join(lines) + "\n"


def _figures(probes: dict[str, Any]) -> list[tuple[str, str, str]]:
    """`(probe, figure, title)` of the rows that `probes` can fill."""
    titles = {
        ("name_retrieval", "value"): "held-out names retrieved, P@1",
        ("masked_names", "value"): "held-out names, masked pieces predicted",
        ("masked_names", "names"): "held-out names, predicted whole",
        ("masked_names_seen", "value"): "paired names, masked pieces predicted",
        ("masked_names_seen", "names"): "paired names, predicted whole",
    }
    rows = [(name, figure, title) for (name, figure), title in titles.items() if name in probes]
    return rows + [
        (name, "value", f"parallel texts retrieved, P@1 ({name.partition('/')[2]})")
        for name in probes
        if name.startswith("sentence_retrieval/")
    ]


def _score(cell: dict[str, Any]) -> str:
    return f"{cell['f1']:.2f}" + (f" ± {cell['spread']:.2f}" if cell["spread"] is not None else "")


def _markdown(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = [
        "| "
        + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return [aligned[0], rule, *aligned[1:]]
