"""The pages: what is on them and what happens when something is pressed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from .about import about_facts, about_text
from .api import add_api, answered
from .display import comparison, legend, message, ner_result
from .examples import EXAMPLES
from .reading import Reading
from .refusal import RefusedError
from .texts import LANGUAGES, say
from .wording import Wording

Updates = dict[Any, Any]
_SET_LANGUAGE = "language => { document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'; }"
_log = logging.getLogger(__name__)


class Page:
    """All tabs over one `Reading`. Nothing of what a visitor enters is kept on the server.

    Args:
        reading: what answers.
        folder: for files to download.

    Attributes:
        blocks: to be launched.
    """

    def __init__(self, reading: Reading, folder: Path):
        self._reading = reading
        self._folder = folder
        self._words = Wording()
        self._again: list[tuple[Callable[..., Any], list[Any], list[Any]]] = []  # done when the language has changed
        settings = reading.settings
        self._events: dict[str, Any] = {"concurrency_limit": settings.concurrency, "concurrency_id": "model"}
        self._private: dict[str, Any] = {"api_visibility": "private", **self._events}
        tabs = {
            "ner": self._ner_tab, "compare": self._compare_tab, "batch": self._batch_tab, "about": self._about_tab,
        }  # fmt: skip
        if reading.other is None:
            del tabs["compare"]
        clean = (60, settings.keep_seconds)
        with gr.Blocks(title="KBioXLM", analytics_enabled=False, delete_cache=clean) as self.blocks:
            with gr.Row(elem_id="top"):
                self._head = gr.HTML(_head("en"), elem_id="head", min_width=300)
                self._language = gr.Radio(
                    [(name, code) for code, name in LANGUAGES.items()], value="en", label=say("en", "language"),
                    elem_id="language", min_width=220, scale=0, interactive=True,
                )  # fmt: skip
                self._words.follows(self._language, "label", "language")
            with gr.Tabs():
                for name, build in tabs.items():
                    with gr.Tab(say("en", f"tab_{name}"), id=name, elem_id=f"tab-{name}") as tab:
                        self._words.follows(tab, "label", f"tab_{name}")
                        build()
            add_api(reading, self._events)
            self._language_events()

    def _box(self, key: str, id: str) -> gr.Textbox:
        return self._words.box(key, id, self._reading.settings.characters)

    def _ner_tab(self) -> None:
        with gr.Row():
            text, parallel = self._box("text", "text"), self._box("parallel", "parallel")
        with gr.Row():
            find = self._words.button("find", "find", variant="primary")
            clear = self._words.button("clear", "clear")
        self._words.markdown("examples")
        with gr.Row(elem_id="examples"):
            buttons = {
                key: self._words.button(key, key.replace("_", "-"), size="sm", min_width=140) for key in EXAMPLES
            }
        shown = gr.State(False)
        said, keys = gr.HTML(elem_id="ner-message"), gr.HTML(elem_id="legend")
        left, right = self._sides("")
        self._results = [said, keys, left, right, gr.HTML(elem_id="tables"), shown]
        boxes = [text, parallel]
        ask = [*boxes, self._language]
        gr.on([find.click, text.submit, parallel.submit], self._find, ask, self._results, **self._private)
        self._again.append((self._find_again, [*ask, shown], self._results))
        clear.click(
            lambda: ["", "", *_nothing()], None, [*boxes, *self._results], api_visibility="private", queue=False
        )
        for key, button in buttons.items():
            button.click(
                lambda language, key=key: [*EXAMPLES[key], *self._find(*EXAMPLES[key], language)],
                [self._language], [*boxes, *self._results], **self._private,
            )  # fmt: skip

    def _sides(self, prefix: str) -> list[gr.HTML]:
        sides = []
        with gr.Row():
            for side in ("left", "right"):
                with gr.Column(min_width=280):
                    sides.append(gr.HTML(elem_id=prefix + side))
        return sides

    def _find(self, text: str, parallel: str, language: str) -> list[Any]:
        result, told = _tried(lambda: self._reading.ner(text, parallel), language)
        if result is None:
            return _nothing(told)
        labels = self._reading.labels
        return ["", legend(labels, language), *ner_result(result, labels, language), True]

    def _compare_tab(self) -> None:
        text = self._box("text", "compare-text")
        compare = self._words.button("compare", "compare", variant="primary")
        shown = gr.State(False)
        self._comparison = [gr.HTML(elem_id="compare-message"), *self._sides("compare-"), shown]
        ask = [text, self._language]
        gr.on([compare.click, text.submit], self._compare, ask, self._comparison, **self._private)
        self._again.append((self._compare_again, [*ask, shown], self._comparison))

    def _compare(self, text: str, language: str) -> list[Any]:
        result, told = _tried(lambda: self._reading.compare(text), language)
        return [told, "", "", False] if result is None else [*comparison(result, self._reading.labels, language), True]

    def _batch_tab(self) -> None:
        settings = self._reading.settings
        self._words.markdown(
            "file_help", upload=settings.upload, documents=settings.documents, characters=settings.characters,
            minutes=max(settings.keep_seconds // 60, 1),
        )  # fmt: skip
        file = self._words.follows(gr.File(label=say("en", "file"), elem_id="file", height=140), "label", "file")
        run = self._words.button("run_batch", "run-batch", variant="primary")
        said = gr.HTML(elem_id="batch-message", min_height=60)
        self._words.markdown("downloads")
        with gr.Row(elem_id="downloads"):
            self._downloads = {
                name: gr.DownloadButton(name, interactive=False, elem_id=f"download-{name}", min_width=110, size="md")
                for name in self._reading.tagger.formats
            }
        run.click(
            self._batch, [file, self._language], [said, file, *self._downloads.values()], show_progress_on=[said],
            **self._private,
        )  # fmt: skip
        with gr.Column(visible=False):  # for programs only
            upload, written = gr.File(label="file"), gr.File(label="entities")
            format, language = gr.Textbox("jsonl", label="format"), gr.Textbox("en", label="language")
            gr.Button().click(self._batch_api, [upload, format, language], written, api_name="batch", **self._events)

    def _batch(self, file: str | None, language: str, progress: gr.Progress = gr.Progress()) -> list[Any]:  # noqa: B008
        def work() -> list[Any]:
            if not file:
                raise RefusedError("no_file")
            reading = say(language, "reading")
            documents, written = self._reading.batch(
                Path(file), list(self._downloads), self._folder, lambda done, all: progress((done, all), reading)
            )
            entities = sum(len(document["entities"]) for document in documents)
            told = message(say(language, "batch_done", documents=len(documents), entities=entities), "told")
            return [told, None, *(gr.update(value=str(path), interactive=True) for path in written)]

        done, told = _tried(work, language)
        return done or [told, None, *(gr.update(value=None, interactive=False) for _ in self._downloads)]

    def _batch_api(self, file: str | None, format: str = "jsonl", language: str = "en") -> str:
        """Entities of all documents of a file, in a format of text mining.

        Args:
            file: .txt (one document a line), .jsonl (id, text) or .pubtator; deleted after it was read.
            format: jsonl, pubtator, bioc, brat or conll.
            language: of error messages, en or zh.

        Returns:
            the file with the entities.
        """

        def work() -> str:
            if not file:
                raise RefusedError("no_file")
            _, [written] = self._reading.batch(Path(file), [format], self._folder, lambda done, all: None)
            return str(written)

        return answered(work, language)

    def _about_tab(self) -> None:
        self._about = gr.Markdown(about_text("en"), elem_id="about")
        self._facts = gr.HTML(about_facts(self._reading, "en"), elem_id="facts")

    def _language_events(self) -> None:
        outputs = [self._head, self._about, self._facts, *self._words.components]
        common: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
        told = {"fn": None, "inputs": [self._language], "js": _SET_LANGUAGE, "api_visibility": "private"}
        self.blocks.load(self._welcome, None, outputs, **common).then(**told)
        changed = self._language.input(self._spoken, [self._language], outputs, **common)
        changed.then(**told)
        for again, inputs, results in self._again:
            changed.then(again, inputs, results, show_progress="hidden", **self._private)

    def _find_again(self, text: str, parallel: str, language: str, shown: bool) -> list[Any]:
        return self._find(text, parallel, language) if shown else [gr.skip() for _ in self._results]

    def _compare_again(self, text: str, language: str, shown: bool) -> list[Any]:
        return self._compare(text, language) if shown else [gr.skip() for _ in self._comparison]

    def _welcome(self, request: gr.Request) -> Updates:
        """In the language that the address (`?lang=zh`) or else the browser asks for."""
        asked = request.query_params.get("lang") or request.headers.get("accept-language", "")
        return self._spoken("zh" if asked.lower().startswith("zh") else "en")

    def _spoken(self, language: str) -> Updates:
        changes = self._words.updates(language)
        changes[self._language]["value"] = language
        return {
            **{component: gr.update(**change) for component, change in changes.items()},
            self._head: _head(language), self._about: about_text(language),
            self._facts: about_facts(self._reading, language),
        }  # fmt: skip


def _nothing(told: str = "") -> list[Any]:
    """No result, but a message."""
    return [told, "", "", "", "", False]


def _tried(work: Callable[[], Any], language: str) -> tuple[Any, str]:
    """The result, or None and what to tell. Of a bug the log gets the kind and the place, never the text."""
    try:
        return work(), ""
    except RefusedError as error:
        return None, message(error.said(language))
    except Exception as error:
        trace = error.__traceback__
        while trace and trace.tb_next:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        _log.error("%s at %s", type(error).__name__, place)
        return None, message(say(language, "failed"))


def _head(language: str) -> str:
    return f"<h1>{escape(say(language, 'title'))}</h1><p>{escape(say(language, 'subtitle'))}</p>"
