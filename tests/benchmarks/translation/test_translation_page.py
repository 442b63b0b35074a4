"""The review page in a real browser: what is shown, what is kept, two tabs, a restart, and the build behind it."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from typer.testing import CliRunner

from kbioxlm.common.errors import InputError
from kbioxlm.dataset_scripts import translated_benchmarks
from kbioxlm.dataset_scripts.benchmarks.translation.build import translate_dataset
from kbioxlm.dataset_scripts.benchmarks.translation.page import launched
from kbioxlm.dataset_scripts.benchmarks.translation.review import ReviewFolder
from kbioxlm.dataset_scripts.benchmarks.translation.settings import DatasetTranslation
from kbioxlm.dataset_scripts.folder import read_table
from kbioxlm.dataset_scripts.translation.protocol import Translator

HOST = "127.0.0.1"
ATTACK = "<img src=x onerror=window.attacked=1>"
expect.set_options(timeout=15_000)  # beside other work on the same cores


@pytest.fixture
def settings(
    tmp_path: Path, data: list[str], answers: dict[str, str], lexicon_of: Callable[[Mapping[str, str]], Translator]
) -> DatasetTranslation:
    """The data of conftest.py and a row that holds HTML, translated once."""
    with Path(data[0]).open("a", encoding="utf-8") as stream:
        stream.write("\n-DOCSTART-\t5\n\n" + "".join(f"{unit}\tO\n" for unit in ATTACK.split()) + "aspirin\tB-Drug\n")
    answers[f"{ATTACK} <1>aspirin</1>"] = f"{ATTACK}<1>阿司匹林</1>"
    made = DatasetTranslation(
        data=tuple(data), source="en", target="zh", translator=lexicon_of(answers), review=tmp_path / "review",
        output=tmp_path / "out", cache=tmp_path / "answers.sqlite", threshold=0.25, sample=0.0, seed=0, piece=600,
    )  # fmt: skip
    translate_dataset(made)
    return made


class Tab:
    """The review page in one tab of the browser, as a person sees and uses it."""

    def __init__(self, page: Page, url: str):
        self.page = page
        page.goto(url)
        self.editor = page.locator("#editor textarea")

    def at(self, key: str) -> None:
        """Wait until the row of `key` is shown."""
        expect(self.page.locator("#key")).to_have_text(key)

    def says(self, text: str) -> None:
        """Wait until the line that tells what happened holds `text`."""
        expect(self.page.locator("#message")).to_contain_text(text)

    def marks(self, side: str) -> dict[str, tuple[str, str]]:
        """Highlighted words and their colours, by number."""
        found = self.page.locator(f"#{side} mark").all()
        return {str(one.get_attribute("data-number")): (own_text(one), colour(one)) for one in found}


def own_text(mark: Locator) -> str:
    return str(mark.evaluate("node => node.firstChild.textContent"))


def colour(mark: Locator) -> str:
    return str(mark.evaluate("node => getComputedStyle(node).backgroundColor"))


def test_rows_are_reviewed_in_a_browser_and_the_build_applies_it(
    settings: DatasetTranslation, browser: Any, free_port: int
) -> None:
    port = free_port
    url = f"http://{HOST}:{port}"
    folder = ReviewFolder(settings.review)
    assert [row.key for row in folder.rows()] == [
        "ade/train/4/0", "ade/train/5/0", "ade/train/2/0", "ade/test/9/0",
    ]  # fmt: skip
    app = launched(settings.review, HOST, port)
    try:
        requested: list[str] = []
        context = browser.new_context(viewport={"width": 1200, "height": 900})
        context.on("request", lambda request: requested.append(request.url))
        tab = Tab(context.new_page(), url)

        # side by side, in the same colours by number
        tab.at("ade/train/4/0")
        source, preview = tab.marks("source"), tab.marks("preview")
        assert {number: word for number, (word, _) in source.items()} == {"1": "Nausea", "2": "lithium carbonate"}
        assert preview == {"1": ("恶心", source["1"][1])}
        assert source["1"][1] != source["2"][1]
        left, right = (tab.page.locator(f"#{side}").bounding_box() for side in ("source", "preview"))
        assert left is not None
        assert right is not None
        assert left["x"] + left["width"] <= right["x"]
        assert abs(left["y"] - right["y"]) < 2
        expect(tab.page.locator("#defects li")).to_contain_text("entity 2 has lost its markers")

        # a correction is drawn while it is typed; one that cannot be used is refused
        tab.page.keyboard.press("e")
        tab.editor.fill("碳酸锂后<1>恶心。")
        expect(tab.page.locator("#defects")).to_contain_text("entity 1 has half of its markers")
        tab.page.keyboard.press("Control+Enter")
        tab.says("This cannot be used: entity 1 has half of its markers")
        assert not folder.decisions_file.exists()
        tab.editor.fill("碳酸锂后<1>恶心</1>。")
        tab.editor.evaluate("field => field.setSelectionRange(0, 3)")
        tab.page.keyboard.press("Alt+2")
        expect(tab.editor).to_have_value("<2>碳酸锂</2>后<1>恶心</1>。")
        expect(tab.page.locator("#preview mark")).to_have_count(2)
        assert tab.marks("preview")["2"] == ("碳酸锂", source["2"][1])
        tab.page.keyboard.press("Control+Enter")
        tab.says("ade/train/4/0: corrected, saved.")
        assert folder.decisions()["ade/train/4/0"].translation == "<2>碳酸锂</2>后<1>恶心</1>。"

        # the next row holds HTML, which stays text
        tab.at("ade/train/5/0")
        expect(tab.page.locator("#source .marked-text")).to_contain_text(ATTACK)
        expect(tab.page.locator("#preview .marked-text")).to_contain_text(ATTACK)
        assert tab.page.locator("img[src=x]").count() == 0
        assert tab.page.evaluate("window.attacked") is None

        # two tabs: what one has decided, the other does not overrule unseen
        other = Tab(context.new_page(), url)
        other.at("ade/train/5/0")
        tab.page.locator("#drop").click()
        tab.says("ade/train/5/0: dropped, saved.")
        tab.at("ade/train/2/0")
        other.page.locator("#accept").click()
        other.says("Meanwhile this row is dropped, by another page")
        assert folder.decisions()["ade/train/5/0"].decision == "drop"
        other.page.locator("#next").click()
        other.at("ade/train/2/0")
        expect(other.page.locator("#progress")).to_contain_text("2 of 4 decided")
        assert not any(HOST not in one for one in requested if not one.startswith(("data:", "blob:")))
        other.page.close()
    finally:
        app.close()

    # a new process finds all decisions, and goes on with the riskiest open row
    app = launched(settings.review, HOST, port)
    try:
        tab = Tab(context.new_page(), url)
        tab.at("ade/train/2/0")
        expect(tab.page.locator("#progress")).to_contain_text("2 of 4 decided")
        tab.page.locator("body").press("a")
        tab.at("ade/test/9/0")
        tab.page.get_by_label("decided").check()
        tab.at("ade/train/2/0")  # none stands behind
        tab.page.locator("#previous").click()
        tab.at("ade/train/5/0")
        tab.page.locator("#previous").click()
        tab.at("ade/train/4/0")
        expect(tab.editor).to_have_value("<2>碳酸锂</2>后<1>恶心</1>。")
        context.close()
    finally:
        app.close()

    lines = [json.loads(line) for line in folder.decisions_file.read_text(encoding="utf-8").splitlines()]
    assert [(line["key"], line["decision"]) for line in lines] == [
        ("ade/train/4/0", "correct"), ("ade/train/5/0", "drop"), ("ade/train/2/0", "accept"),
    ]  # fmt: skip
    counts = translate_dataset(settings).splits["ade_zh"]["train"]
    assert (counts.accepted, counts.corrected, counts.dropped, counts.left_out) == (1, 1, 1, 0)
    texts = read_table(str(settings.output), "ade_zh/train", ["id", "text"]).to_pylist()
    assert {row["id"]: row["text"] for row in texts if row["id"] in ("2/0", "4/0", "5/0")} == {
        "2/0": "给予阿司匹林10毫克。", "4/0": "碳酸锂后恶心。",
    }  # fmt: skip


def test_a_page_that_cannot_be_served(settings: DatasetTranslation, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; name a folder that `translate` was given"):
        launched(tmp_path / "none", HOST, 7860)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        with pytest.raises(InputError, match=r"127\.0\.0\.1:\d+: the page cannot be served there"):
            launched(settings.review, HOST, taken.getsockname()[1])


def test_without_gradio_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, launched.__module__)
    monkeypatch.setitem(sys.modules, "gradio", None)
    result = CliRunner().invoke(translated_benchmarks.app, ["review", str(tmp_path)])
    assert isinstance(result.exception, InputError)
    assert str(result.exception) == "review: gradio is not installed; pip install 'kbioxlm[review]'"
