"""The review page: source and translation side by side, one row at a time, every decision on the disk at once."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts.benchmarks.translation.highlights import highlighted, listed, said
from kbioxlm.dataset_scripts.benchmarks.translation.projection import projected
from kbioxlm.dataset_scripts.benchmarks.translation.review import ReviewRow
from kbioxlm.dataset_scripts.benchmarks.translation.session import ANY, Filter, RefusedError, Session
from kbioxlm.dataset_scripts.knowledge.languages import ENGLISH_NAMES

_HERE = Path(__file__).parent
_HELP = (
    "Keys: `a` accept · `e` edit, `Esc` leave the text · `c` or `Ctrl+Enter` save the corrected text · `d` drop · "
    "`r` reset · `o` open again · `j` next · `k` previous. Every entity stands between markers with its number, "
    "`<1>` … `</1>`: select it in the text and press `Alt+1`."
)
_BUTTONS: tuple[tuple[str, str, Literal["primary", "secondary", "stop"]], ...] = (
    ("accept", "Accept (a)", "primary"),
    ("correct", "Correct (c)", "primary"),
    ("drop", "Drop (d)", "stop"),
    ("reset", "Reset (r)", "secondary"),
    ("reopen", "Open again (o)", "secondary"),
    ("previous", "Previous (k)", "secondary"),
    ("next", "Next (j)", "secondary"),
)
_SAID = {"accept": "accepted", "correct": "corrected", "drop": "dropped", "open": "open again"}
Updates = dict[Any, Any]


class ReviewPage:
    """The page of one session. Which row a visitor looks at is known to their browser alone."""

    def __init__(self, session: Session):
        self._session = session
        with gr.Blocks(title="Review of translations", analytics_enabled=False, fill_width=True) as self.blocks:
            # what is on the screen when a button is pressed, not what the server showed last
            self._key = gr.Textbox(visible="hidden", elem_id="row-key")
            self._seen = gr.Textbox(visible="hidden", elem_id="row-seen")
            self._progress = gr.HTML(elem_id="progress")
            with gr.Row():
                self._show = gr.Radio(["open", "decided", "all"], value="open", label="Rows", elem_id="show")
                self._defect = gr.Dropdown(session.defect_names(), value=ANY, label="Defect", elem_id="defect")
                self._risk = gr.Slider(0, 1, value=0, step=0.05, label="Risk from", elem_id="risk")
            self._head = gr.HTML(elem_id="head")
            with gr.Row():
                with gr.Column():
                    self._source = gr.HTML(elem_id="source")
                with gr.Column():
                    self._preview = gr.HTML(elem_id="preview")
            self._defects = gr.HTML(elem_id="defects")
            self._editor = gr.Textbox(label="Translation with markers", lines=3, max_lines=20, elem_id="editor")
            self._edited = gr.Button(visible="hidden", elem_id="edited")
            with gr.Row():
                buttons = {
                    name: gr.Button(label, elem_id=name, variant=variant, size="md", min_width=110)
                    for name, label, variant in _BUTTONS
                }
            self._message = gr.HTML(elem_id="message")
            gr.Markdown(_HELP)
            self._connect(buttons)

    def _connect(self, buttons: dict[str, gr.Button]) -> None:
        where = [self._key, self._show, self._defect, self._risk]
        shown = [
            self._key, self._seen, self._progress, self._head, self._source, self._preview, self._defects,
            self._editor, self._message, self._defect,
        ]  # fmt: skip
        # one at a time: the session is shared, and an event takes milliseconds
        common: dict[str, Any] = {
            "show_progress": "hidden", "concurrency_limit": 1, "concurrency_id": "review", "api_visibility": "private",
        }  # fmt: skip
        self.blocks.load(self._enter, where, shown, **common)
        gr.on(
            [self._show.input, self._defect.input, self._risk.release], lambda *at: self._go(0, *at), where, shown,
            **common,
        )  # fmt: skip
        for name, step in (("next", 1), ("previous", -1)):
            buttons[name].click(lambda *at, step=step: self._go(step, *at), where, shown, **common)
        for name, decision in (("accept", "accept"), ("correct", "correct"), ("drop", "drop"), ("reopen", "open")):
            buttons[name].click(
                lambda *at, decision=decision: self._decide(decision, *at), [*where, self._editor, self._seen],
                shown, **common,
            )  # fmt: skip
        buttons["reset"].click(self._reset, [self._key], shown, **common)
        # pressed by page.js: gradio's own event of the text box misses deletions and what is pasted
        self._edited.click(
            self._look, [self._key, self._editor], [self._preview, self._defects], trigger_mode="always_last", **common
        )

    def _enter(self, key: str, show: str, defect: str, risk: float) -> Updates:
        try:
            names = self._session.defect_names()
        except InputError as error:
            return {self._message: said(str(error), "refused")}
        defect = defect if defect in names else ANY
        return {**self._go(0, key, show, defect, risk), self._defect: gr.update(choices=names, value=defect)}

    def _go(self, step: int, key: str, show: str, defect: str, risk: float) -> Updates:
        try:
            wanted = Filter(show, defect, risk)
            return self._drawn(self._session.neighbour(key, wanted, step), wanted, "", "")
        except InputError as error:
            return {self._message: said(str(error), "refused")}

    def _decide(self, decision: str, key: str, show: str, defect: str, risk: float, text: str, seen: str) -> Updates:
        if not key:
            return {self._message: said("There is no row to decide on.", "refused")}
        wanted = Filter(show, defect, risk)
        try:
            self._session.decide(key, decision, text, int(seen))
            message = f"{key}: {_SAID[decision]}, saved."
            return self._drawn(self._session.neighbour(key, wanted, 1), wanted, message, "saved")
        except RefusedError as error:
            return {self._message: said(str(error), "refused"), self._seen: str(self._session.line(key))}
        except InputError as error:
            return {self._message: said(str(error), "refused")}
        except OSError as error:
            return {self._message: said(f"NOT SAVED: {os.strerror(error.errno or 0)}.", "refused")}

    def _reset(self, key: str) -> Updates:
        row = self._session.row(key)
        if row is None:
            return {self._message: said("There is no row to reset.", "refused")}
        return {self._editor: row.translation, self._message: "", **self._look(key, row.translation)}

    def _look(self, key: str, text: str) -> Updates:
        """Preview and defects of an edited text."""
        row = self._session.row(key)
        if row is None:
            return {self._preview: "", self._defects: ""}
        if text.strip() == row.translation.strip():
            return {self._preview: _translation(row, text), self._defects: _offered_defects(row)}
        reading, reasons, noticed = self._session.read(key, text or "")
        heading = "As edited, it cannot be used:" if reasons else "As edited:"
        return {
            self._preview: _translation(row, reading.marked),
            self._defects: listed(noticed, heading) or said("As edited, nothing is found.", "saved"),
        }

    def _drawn(self, key: str | None, wanted: Filter, message: str, kind: str) -> Updates:
        counts = self._session.counts()
        undecided = counts["open"] + counts["changed"]
        total = counts.total()
        progress = (
            f'<b id="decided">{total - undecided}</b> of {total} decided · {counts["accepted"]} accepted · '
            f"{counts['corrected']} corrected · {counts['dropped']} dropped · {undecided} open"
            f'<div class="bar"><div style="width: {100 * (total - undecided) / max(total, 1):.1f}%"></div></div>'
        )
        updates: Updates = {self._key: key or "", self._progress: progress, self._message: said(message, kind)}
        row = self._session.row(key) if key is not None else None
        if key is None or row is None:
            updates |= dict.fromkeys((self._source, self._preview, self._defects, self._editor), "")
            return {**updates, self._head: "No row passes the filter."}
        text = self._session.chosen_text(key)
        status = self._session.status(key)
        queue = self._session.queue(wanted)
        place = f"row {queue.index(key) + 1} of {len(queue)}" if key in queue else f"{len(queue)} rows"
        head = (
            f'{place} · <code id="key">{escape(key)}</code> · risk {row.risk:.2f} · '
            f'<span class="status" id="status">{status}</span>'
        )
        if row.why == "sample":
            head += " · drawn to be checked: no defect was found"
        before = self._session.decided_text(key)
        if status == "changed" and before is not None:
            head += "<br>The row has changed since it was decided on: " + _highlighted_translation(row, before)
        return {
            **updates,
            self._seen: str(self._session.line(key)),
            self._head: head,
            self._source: _source(row),
            self._preview: _translation(row, text),
            self._defects: _offered_defects(row),
            self._editor: text,
        }


def _title(what: str, language: str) -> str:
    return f"<b>{what}, {escape(ENGLISH_NAMES.get(language, language))}</b>"


def _source(row: ReviewRow) -> str:
    projection = projected(row.source, len(row.labels))
    text = highlighted(projection.text, projection.spans, row.labels, row.source_language)
    return _title("Source", row.source_language) + text


def _translation(row: ReviewRow, text: str) -> str:
    return _title("Translation", row.target_language) + _highlighted_translation(row, text)


def _highlighted_translation(row: ReviewRow, text: str) -> str:
    projection = projected(text, len(row.labels))
    return highlighted(projection.text, projection.spans, row.labels, row.target_language)


def _offered_defects(row: ReviewRow) -> str:
    return listed(row.defects, "In the translation as it was offered:")


def launched(folder: Path, host: str, port: int) -> gr.Blocks:
    """The page of a review folder, served by threads of this process until it is closed.

    Raises:
        InputError: no rows to review, or a port that is taken.
    """
    page = ReviewPage(Session(folder)).blocks
    try:
        page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            footer_links=[],
            ssr_mode=False,
            theme=gr.themes.Default(),
            css_paths=_HERE / "page.css",
            head=f"<script>{(_HERE / 'page.js').read_text(encoding='utf-8')}</script>",
            prevent_thread_lock=True,
        )
    except OSError as error:
        found = f"the page cannot be served there ({error})"
        raise InputError(f"{host}:{port}", found, "give another --host or --port") from error
    return page


def serve(folder: Path, host: str, port: int) -> None:
    """Show the page of a review folder until the process is stopped.

    Raises:
        InputError: as `launched`.
    """
    page = launched(folder, host, port)
    print(f"review page: http://{host}:{port} (Ctrl+C ends it; decisions are saved as they are made)", flush=True)
    page.block_thread()
