"""The Space in a real browser. Screenshots are kept in runs/artefacts."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from kbioxlm.tests.spaces.conftest import CHINESE, ENGLISH, ROOT, RunningSpace

ARTEFACTS = ROOT / "runs" / "artefacts"
ATTACK = (
    "<img src=x onerror=window.attacked=1><script>window.attacked=1</script> ${window.attacked=1} "
    "{{constructor.constructor('window.attacked=1')()}} \u202enirips\u202c 😀 nausea"
)
expect.set_options(timeout=20_000)


class Visitor:
    """A browser at the Space, with the requests that it made."""

    def __init__(self, browser: Any, space: RunningSpace, **options: Any):
        self.space = space
        self.requested: list[str] = []
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, "locale": "en-US", **options})
        self.context.on("request", lambda request: self.requested.append(request.url))
        self.page: Page = self.context.new_page()

    def enter(self, query: str = "") -> Page:
        self.page.goto(self.space.url + query)
        expect(self.page.locator("#find")).to_be_visible()
        return self.page

    def keep(self, name: str) -> None:
        """Keep a picture of the whole page."""
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=ARTEFACTS / f"space-{name}.png", full_page=True)

    def words(self, side: str = "left") -> list[str]:
        return [str(one.inner_text()) for one in self.page.locator(f"#{side} mark bdi").all()]

    def text(self, part: str = "#left") -> str:
        """The text that is shown, without what is said of the entities."""
        script = "node => { const c = node.cloneNode(true); c.querySelectorAll('.badge').forEach(b => b.remove()); "
        return str(self.page.locator(f"{part} .marked-text").evaluate(script + "return c.textContent; }"))

    def scrolls_sideways(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@pytest.fixture
def visitor(browser: Any, space: RunningSpace) -> Iterator[Visitor]:
    """An English reader at a desk."""
    one = Visitor(browser, space)
    one.enter()
    yield one
    one.context.close()


def test_texts_are_typed_and_their_entities_shown_side_by_side(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#text textarea").fill(ENGLISH)
    page.locator("#parallel textarea").fill(CHINESE)
    page.locator("#find").click()
    expect(page.locator("#left mark").first).to_be_visible()
    assert "nausea" in visitor.words()
    assert "恶心" in visitor.words("right")
    badge = page.locator("#left mark", has_text="nausea").locator(".badge").inner_text()
    assert re.fullmatch(r"A\d+ \S+ \d+%", badge)
    row = page.locator("#tables tr", has_text="nausea").first
    expect(row).to_contain_text("恶心")
    expect(row).to_contain_text("same concept")
    known = page.locator("#tables tr", has_text="K0000127")
    expect(known).to_contain_text("Apache-2.0")
    expect(page.locator("#tables .state")).to_contain_text("2026-11-26")
    left, right = (page.locator(f"#{side} .marked-text").bounding_box() for side in ("left", "right"))
    assert left is not None
    assert right is not None
    assert left["x"] + left["width"] <= right["x"]
    visitor.keep("light")
    page.locator("#clear").click()
    expect(page.locator("#left mark")).to_have_count(0)
    expect(page.locator("#text textarea")).to_have_value("")
    foreign = [url for url in visitor.requested if not url.startswith((visitor.space.url, "data:", "blob:"))]
    assert foreign == []


def test_examples_are_one_click(visitor: Visitor) -> None:
    page, shown = visitor.page, ""
    for button in page.locator("#examples button").all():
        button.click()
        expect(page.locator("#left mark").first).to_be_visible()
        expect(page.locator("#text textarea")).not_to_have_value(shown)
        shown = page.locator("#text textarea").input_value()
        for _ in range(40):  # the boxes may be filled a moment before the result is drawn
            if visitor.text() == shown:
                break
            page.wait_for_timeout(50)
        assert visitor.text() == shown
    visitor.keep("long")


def test_nothing_in_a_text_is_executed(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#text textarea").fill(ATTACK)
    page.locator("#parallel textarea").fill(ATTACK)
    page.locator("#find").click()
    expect(page.locator("#left .marked-text")).to_be_visible()
    assert visitor.text() == ATTACK.replace("\u202e", "U+202E").replace("\u202c", "U+202C")
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-text textarea").fill(ATTACK)
    page.locator("#compare").click()
    expect(page.locator("#compare-left .marked-text")).to_be_visible()
    assert "<script>window.attacked=1</script> ${window.attacked=1}" in visitor.text("#compare-left")
    page.wait_for_timeout(300)
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("window.attacked") is None


def test_what_is_refused_is_said_on_the_page(visitor: Visitor) -> None:
    page = visitor.page
    page.locator("#find").click()
    expect(page.locator("#ner-message [role=alert]")).to_have_text("Enter a text first.")
    page.locator("#text textarea").evaluate(
        "box => { box.value = 'a'.repeat(10_000_000); box.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    page.locator("#find").click()
    expect(page.locator("#ner-message [role=alert]")).to_contain_text("10,000,000 characters; at most 20,000")


def test_models_are_compared(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-text textarea").fill(CHINESE)
    page.locator("#compare").click()
    expect(page.locator("#compare-left mark").first).to_be_visible()
    notes = page.locator("#compare-left mark i").all_inner_texts()
    expect(page.locator("#compare-message")).to_contain_text(f"Both find {notes.count('both')};")
    assert set(notes) <= {"both", "only here"}
    visitor.keep("compare")


def test_a_file_is_uploaded_and_comes_back(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    page.get_by_role("tab", name="Batch").click()
    page.locator("#run-batch").click()
    expect(page.locator("#batch-message")).to_contain_text("Choose a file first.")
    source = tmp_path / "bad.jsonl"
    source.write_text('{"id": "1", "text": "a"}\n{"id": "2"}\n', encoding="utf-8")
    page.locator("#file input[type=file]").set_input_files(source)
    expect(page.locator("#file")).to_contain_text("bad")
    page.locator("#run-batch").click()
    expect(page.locator("#batch-message")).to_contain_text('line 2: no "text"')
    source = tmp_path / "texts.txt"
    source.write_text("\n".join([ENGLISH, "", CHINESE] * 30), encoding="utf-8")
    page.locator("#file input[type=file]").set_input_files(source)
    expect(page.locator("#file")).to_contain_text("texts")
    page.locator("#run-batch").click()
    expect(page.locator("#batch-message")).to_contain_text("60 documents, ")
    visitor.keep("batch")
    saved = {}
    for name in ("jsonl", "pubtator", "bioc", "brat", "conll"):
        with page.expect_download() as download:
            page.locator(f"#download-{name}").click()
        saved[name] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[name])
    documents = [json.loads(line) for line in saved["jsonl"].read_text(encoding="utf-8").splitlines()]
    assert [document["text"] for document in documents] == [ENGLISH, CHINESE] * 30
    assert [document["id"] for document in documents[:3]] == ["1", "3", "4"]
    for document in documents:
        for entity in document["entities"]:
            assert document["text"][entity["start"] : entity["end"]] == entity["word"]
    assert saved["pubtator"].read_text(encoding="utf-8").startswith(f"1|t|{ENGLISH}\n1|a|")
    assert len(json.loads(saved["bioc"].read_text(encoding="utf-8"))["documents"]) == 60
    with zipfile.ZipFile(saved["brat"]) as archive:
        assert len(archive.namelist()) == 120
    assert "B-" in saved["conll"].read_text(encoding="utf-8")
    assert not [path for path in visitor.space.files() if path.name in ("bad.jsonl", "texts.txt")]


def test_it_speaks_chinese(browser: Any, space: RunningSpace) -> None:
    visitor = Visitor(browser, space, locale="zh-CN")
    page = visitor.enter()
    expect(page.locator("#find")).to_have_text("识别实体")
    expect(page.get_by_role("tab").first).to_have_text("实体识别")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.locator("#example-pair").click()
    expect(page.locator("#left h3")).to_contain_text("文本中的实体")
    visitor.keep("chinese")
    page.get_by_label("English").check()
    expect(page.locator("#find")).to_have_text("Find entities")
    expect(page.locator("#left h3")).to_contain_text("In the text")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-text textarea").fill(CHINESE)
    page.locator("#compare").click()
    expect(page.locator("#compare-message")).to_contain_text("Both find")
    page.get_by_label("中文").check()
    expect(page.locator("#compare-message")).to_contain_text("两者一致")
    expect(page.locator("#left h3")).to_contain_text("文本中的实体")
    page.get_by_label("English").check()
    page.get_by_role("tab", name="About").click()
    expect(page.locator("#about")).to_contain_text("no medical device")
    page.get_by_label("中文").check()
    expect(page.locator("#about")).to_contain_text("不是医疗器械")
    expect(page.locator("#facts")).to_contain_text("Apache-2.0")
    visitor.keep("about-chinese")
    visitor.enter("?lang=en")
    expect(page.locator("#find")).to_have_text("Find entities")
    visitor.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(browser: Any, space: RunningSpace, scheme: str) -> None:
    visitor = Visitor(browser, space, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    page = visitor.enter()
    page.locator("#example-pair").tap()
    expect(page.locator("#tables .state")).to_be_visible()
    assert not visitor.scrolls_sideways()
    visitor.keep(f"phone-{scheme}")
    for tab, part in (("Compare", "#compare"), ("Batch", "#run-batch"), ("About", "#facts")):
        page.get_by_role("tab", name=tab).tap()
        expect(page.locator(part)).to_be_visible()
        assert not visitor.scrolls_sideways()
    visitor.context.close()


def contrast(page: Page, selector: str) -> float:
    """Of the words of an element with what is behind them, as WCAG computes it."""
    return float(
        page.locator(selector).first.evaluate(
            """node => {
                const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
                let ground = node;
                while (ground.parentElement && (numbers(getComputedStyle(ground).backgroundColor)[3] ?? 1) < 1)
                    ground = ground.parentElement;
                const light = colour => numbers(colour).slice(0, 3).map(value => value / 255)
                    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
                    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
                const [low, high] = [getComputedStyle(node).color, getComputedStyle(ground).backgroundColor]
                    .map(light).sort((a, b) => a - b);
                return (high + 0.05) / (low + 0.05);
            }"""
        )
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out(browser: Any, space: RunningSpace, scheme: str) -> None:
    visitor = Visitor(browser, space, color_scheme=scheme)
    page = visitor.enter()
    page.locator("#example-pair").click()
    expect(page.locator("#left mark").first).to_be_visible()
    visitor.keep(scheme)
    for selector in ("#left mark", "#left mark .badge", "#find", "#clear", "#head p", "#text textarea", "#tables td"):
        assert contrast(page, selector) >= 4.5, selector
    visitor.context.close()


def test_by_keyboard_alone(visitor: Visitor) -> None:
    page = visitor.page

    def reach(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.closest(selector) !== null", selector):
                return
        raise AssertionError(f"{selector} is not reached")

    reach("#text")
    page.keyboard.insert_text(ENGLISH)
    reach("#find")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#left mark").first).to_be_visible()
    page.locator("#text textarea").focus()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(" And fever.")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("#left .marked-text")).to_contain_text("And")
    reach("#example-pair")
    page.keyboard.press("Space")
    expect(page.locator("#right mark").first).to_be_visible()
    page.get_by_role("tab").first.focus()
    reach("#tab-batch-button")
    page.keyboard.press("Enter")
    expect(page.locator("#run-batch")).to_be_visible()
