"""A table as Markdown and as a plot: the paper's cells, ours beside them, and what has not been run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kbioxlm.training.plots import save_figure
from kbioxlm.training.tables import markdown_rows

NOT_RUN = "not run"


def markdown(report: dict[str, Any]) -> str:
    """`report`, as `reproduce` returns it, as Markdown."""
    lines = [
        f"# {report['table']}: {report['title']}",
        "",
        f"Paper: {report['source']}. {report['metric']} in 0 to 100. Each cell: the paper's / ours.",
        f"Command: `{report['command']}` (commit {report['commit'] or 'unknown'}).",
        f"{report['cells']['run']} of {report['cells']['all']} cells of ours are run"
        + (f", {partly} in part" if (partly := report["cells"]["partly run"]) else "")
        + ".",
    ]
    for group in report["groups"]:
        lines += ["", f"## {_title(group)}", "", *_overview(group)]
        lines += ["", *_details(group)]
        if group["comparisons"]:
            lines += ["", *_comparisons(group)]
        if reasons := _reasons(group):
            lines += ["", *reasons]
    lines += [
        "",
        "±: sample standard deviation over runs (checkpoints times seeds). 95% CI: percentile bootstrap over the "
        "documents of the test set, of the mean over runs. N: what is scored. All commands stand in the JSON file.",
    ]
    return "\n".join(lines) + "\n"


def _title(group: dict[str, Any]) -> str:
    return group["direction"] + (f", {group['shots']}-shot" if group["shots"] else "")


def _name(row: dict[str, Any]) -> str:
    """Ours, and the paper's row beside which it stands."""
    other = row["paper_row"]
    return row["model"] if other in (None, row["model"]) else f"{row['model']} ({other})"


def _ours(cell: dict[str, Any]) -> str:
    if cell["f1"] is None:
        return NOT_RUN
    spread = "" if cell["spread"] is None else f" ± {cell['spread']:.2f}"
    return f"{cell['f1']:.2f}{spread}" + (" (in part)" if cell["status"] == "partly run" else "")


def _printed(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _overview(group: dict[str, Any]) -> list[str]:
    """One line a model, one column a data set."""
    columns = [cell["data_set"] for cell in group["rows"][0]["cells"]]
    rows = [["model", *columns, "average"]]
    for row in group["rows"]:
        average = NOT_RUN if row["average"]["f1"] is None else f"{row['average']['f1']:.2f}"
        cells = [f"{_printed(cell['paper'])} / {_ours(cell)}" for cell in row["cells"]]
        rows.append([_name(row), *cells, f"{_printed(row['average']['paper'])} / {average}"])
    return markdown_rows(rows)


def _details(group: dict[str, Any]) -> list[str]:
    """One line a cell that was run."""
    rows = [["model", "data set", "paper", "ours", "95% CI", "N", "runs", "seeds", "command of the first run"]]
    for row in group["rows"]:
        for cell in row["cells"]:
            if cell["f1"] is not None:
                done = [run for run in cell["runs"] if run["f1"] is not None]
                low, high = cell["interval"]
                seeds = ", ".join(map(str, dict.fromkeys(run["seed"] for run in done)))
                rows.append(
                    [
                        _name(row), cell["data_set"], _printed(cell["paper"]), _ours(cell), f"{low:.2f} to {high:.2f}",
                        f"{cell['n']:,} {cell['counted']}", f"{len(done)} of {len(cell['runs'])}", seeds,
                        f"`{done[0]['command']}`",
                    ]
                )  # fmt: skip
    return markdown_rows(rows) if len(rows) > 1 else ["No cell of ours is run."]


def _comparisons(group: dict[str, Any]) -> list[str]:
    """The reference against the others."""
    reference = group["comparisons"][0]["reference"]
    rows = [[f"{reference} minus", "data set", "difference", "95% CI", "p, bootstrap", "p, randomisation"]]
    for one in group["comparisons"]:
        interval = one["interval"]
        rows.append(
            [
                one["model"], one["data_set"], f"{one['difference']:+.2f}",
                f"{interval['low']:+.2f} to {interval['high']:+.2f}", f"{one['bootstrap_p']:.4f}",
                f"{one['randomisation_p']:.4f}",
            ]
        )  # fmt: skip
    return markdown_rows(rows)


def _reasons(group: dict[str, Any]) -> list[str]:
    """Why cells are not run, or in part, those of one model and reason in one line."""
    missing: dict[tuple[str, str, str], list[str]] = {}
    for row in group["rows"]:
        for cell in row["cells"]:
            if cell["status"] != "run":
                missing.setdefault((cell["status"], _name(row), cell["reason"]), []).append(cell["data_set"])
    return [f"- {status}: {name}, {', '.join(sets)}: {reason}" for (status, name, reason), sets in missing.items()]


def plot(report: dict[str, Any], path: Path) -> None:
    """A panel for each group and data set, in it a line for each model: the paper's F1 as a ring, ours as a dot, with
    its confidence interval.
    """
    groups = report["groups"]
    columns = [cell["data_set"] for cell in groups[0]["rows"][0]["cells"]]
    lines = max(len(group["rows"]) for group in groups)
    figure = Figure(figsize=(2.6 + 2.4 * len(columns), 1.2 + len(groups) * (0.8 + 0.24 * lines)), layout="constrained")
    panels = figure.subplots(len(groups), len(columns), squeeze=False, sharex=True)
    for group, line in zip(groups, panels, strict=True):
        names = [_name(row) for row in group["rows"]]
        for place, axes in enumerate(line):
            cells = [row["cells"][place] for row in group["rows"]]
            printed = [(cell["paper"], y) for y, cell in enumerate(cells) if cell["paper"] is not None]
            ours = [(cell["f1"], y, *cell["interval"]) for y, cell in enumerate(cells) if cell["f1"] is not None]
            if printed:
                x, y = zip(*printed, strict=True)
                axes.plot(x, y, "o", mfc="none", mec="tab:gray", label="paper")
            if ours:
                x, y, low, high = zip(*ours, strict=True)
                axes.hlines(y, low, high, color="tab:blue", alpha=0.5)
                axes.plot(x, y, "o", color="tab:blue", label="ours, 95% CI")
            axes.set_yticks(range(len(names)), names if place == 0 else [""] * len(names))
            axes.set(title=f"{columns[place]}, {_title(group)}", xlim=(0, 100), ylim=(len(names) - 0.5, -0.5))
            axes.title.set_fontsize(9)
            axes.grid(alpha=0.3)
    for axes in panels[-1]:
        axes.set_xlabel("F1")
    handles = {
        str(artist.get_label()): artist
        for line in panels
        for axes in line
        for artist in axes.get_lines()
        if not str(artist.get_label()).startswith("_")
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)
    save_figure(figure, path)
