"""Wikitext in all its ugliness, and the process that cleans it."""

from __future__ import annotations

import time

import pytest

from kbioxlm.dataset_scripts.encyclopaedia.cleaner import Cleaned, Cleaner
from kbioxlm.dataset_scripts.encyclopaedia.variants import resolve_variants
from kbioxlm.dataset_scripts.encyclopaedia.wikitext import Markup, clean

ENGLISH = Markup(chinese=False)
CHINESE = Markup(chinese=True)

ARTICLE = """{{short description|Drug}}
{{Infobox drug
| name = Aspirin
| image = [[File:Aspirin.svg|thumb|A {{nowrap|caption}} [[b|c]]]]
}}
'''Aspirin''' ({{IPAc-en|a}}, {{lang-de|Aspirin}}; also ''ASA''{{cn|date=May 2020}}) is a \
[[nonsteroidal anti-inflammatory drug|NSAID]]s<ref name="a">{{cite web|title=x|url=http://x.org}}</ref>
used at {{convert|325|mg|gr}}&nbsp;or {{convert|5|to|10|mL}} a day.<ref name="b" /><!-- a comment -->
See [https://x.org the label]. {{As of|2020}}

== History ==
[[File:x.jpg|thumb|A [[b|c]] d]][[Image:y.png]]
* item one: [[Mercury (element)|]]
* item ''two''<br />next line
{| class="wikitable"
|-
! head
|-
| a || {| class="inner"
| b
|}
|}
H<sub>2</sub>O has <math>x^2</math> {{frac|1|2}}.__NOTOC__
<gallery>
a.jpg|b
</gallery>
=== See also ===
* [[gone]]
==== Below ====
gone too
=== Uses ===
Kept {{unknown template|a=b|{{nested|{{deep}}}}}} here, <span style="x">span</span> and [[:Category:Foo]].
== ''References'' ==
{{reflist}}
gone
== External links ==
gone
== Discussion ==
[[:fr:Bar|bar]], [[wikt:word]], [[Mercury#Uses]] and '''''all''''' <nowiki>''kept''</nowiki>&nbsp;&amp; done.
[[Category:X]] [[fr:Aspirine]] [[Kategorie:Y]] [[zh-min-nan:Z]]
{{DEFAULTSORT:Aspirin}}
"""


def test_an_article() -> None:
    assert clean(ARTICLE, ENGLISH).split("\n") == [
        "Aspirin (Aspirin; also ASA) is a NSAIDs",
        "used at 325 mg or 5 to 10 mL a day.",
        "See the label.",
        "item one: Mercury",
        "item two",
        "next line",
        "H2O has 1/2.",
        "Kept here, span and Category:Foo.",
        "bar, word, Mercury#Uses and all kept & done.",
    ]


def test_a_chinese_article() -> None:
    text = (
        "{{NoteTA|G1=Medicine}}'''阿司匹林'''（{{lang|en|Aspirin}}、），又稱{{le|水楊酸|Salicylic acid}}類藥物，"
        "可用於-{zh-hans:计算机;zh-hant:電腦}-。[[文件:x.jpg|缩略图|圖]][[圖像:y.jpg]]__目录__\n"
        "== 參考文獻 ==\n甲\n== 外部連結 ==\n乙\n== 用途 ==\n止痛[[頭痛|頭部疼痛]]。[[分類:藥物]]\n==參見==\n丙"
    )
    assert clean(text, CHINESE) == "阿司匹林（Aspirin），又称水杨酸类药物，可用于计算机。\n止痛头部疼痛。"
    unchanged = clean(text, CHINESE._replace(simplify=False))
    assert unchanged == "阿司匹林（Aspirin），又稱水楊酸類藥物，可用於计算机。\n止痛頭部疼痛。"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("-{zh-hans:计算机;zh-hant:電腦}-", "计算机"),
        ("-{zh-hant:電腦; zh-hans:计算机;}-", "计算机"),
        ("-{zh-tw:電腦;zh-cn:计算机;zh-hk:x}-", "计算机"),
        ("-{A|zh-cn:博客; zh-tw:部落格;}-", "博客"),
        ("-{H|zh-cn:博客; zh-tw:部落格;}-", ""),
        ("-{T|zh-cn:博客}-", ""),
        ("-{R|zh-cn:x}-", "zh-cn:x"),
        ("-{絲}-", "絲"),
        ("-{zh-hans;zh-hant|乾}-", "乾"),
        ("-{zh-tw:[[電腦|a]]; zh-cn:[[计算机|b]]}-", "[[计算机|b]]"),
        ("-{zh-hans:a-{zh-hans:b;zh-hant:c}-;zh-hant:d}-", "ab"),
        ("-{zh-hant:台}-", "台"),
        ("-{zh-cn:http://a.b; zh-tw:c}-", "http://a.b"),
        ("-{巨集=>zh-cn:宏}-", "宏"),
        ("non-{{lang|en|x}}-y", "non-{{lang|en|x}}-y"),
        ("-{ never closed", "-{ never closed"),
    ],
)
def test_variants(markup: str, text: str) -> None:
    assert resolve_variants(f"甲{markup}乙") == f"甲{text}乙"


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("{{convert|5|mg}}", "5 mg"),
        ("{{cvt|5|-|10|mg|oz|abbr=on}}", "5–10 mg"),
        ("{{convert|{{#expr:1}}|mg}} a", "a"),
        ("{{lang|fr|''mal''}}, {{Lang-de|Kopf}}, {{nowrap|a [[b]]}}, {{val|5.2|u=mg}}", "mal, Kopf, a b, 5.2 mg"),
        ("{{chem2|H2O}} {{frac|1|2}} {{frac|1|1|2}}", "H2O 1/2 1 1/2"),
        ("{{link-en|甲|A|乙}}{{tsl|en|A|丙|}}{{ill|丁|en|B}}", "乙丙丁"),
        ("a{{snd}}b{{'s}}", "a – b's"),
        ("a (''b'', {{lang-xx|}}) c (; d) e ( {{y}} ) f （{{y}}；庚）", "a (b) c (d) e f （庚）"),
        ("[http://x.org] and [http://x.org label ''here'']", "and label here"),
        ("[[File:a.jpg|thumb|[[b]]]]x [[datei:c.jpg]]y [[Плик:c]]z", "x y Плик:cz"),
        ("{{{1|default}}} a &lt;b&gt; &alpha;", "a α"),
        ("<div>a</div><p>b</p>c<br>d", "a\nb\nc\nd"),
        ("a {{unclosed|b [[c]]", "a unclosed|b c"),
        ("{| class=x\n| never closed\n| row\n\ntext", "text"),
        ("* a\n** b\n:: c\n; d", "a\nb\nc\nd"),
        ("'''''' ''''", ""),
        ("", ""),
    ],
)
def test_pieces_of_markup(wikitext: str, text: str) -> None:
    assert clean(wikitext, ENGLISH) == text


def test_an_editions_own_namespaces() -> None:
    assert clean("[[Rajah:a.jpg|b]][[Gambar:c.jpg]]d", Markup(False, frozenset({"rajah"}))) == "Gambar:c.jpgd"


def test_no_page_hangs_or_crashes_a_run() -> None:
    with Cleaner(CHINESE, seconds=2.0) as cleaner:
        assert cleaner.clean("'''甲'''乙" * 20) == Cleaned("甲乙" * 20)
        began = time.monotonic()
        # minutes in the parser's C code, which nothing inside Python can interrupt
        assert cleaner.clean("[http://x " * 20_000) == Cleaned("", "took more than 2 s")
        assert time.monotonic() - began < 30
        assert cleaner.clean("後\n線") == Cleaned("后\n线")  # another process has taken over
        deep = cleaner.clean("{{lang|en|" * 3000 + "x" + "}}" * 3000)
        assert deep.failure == ""
        assert not set("{}[]") & set(deep.text)
        assert cleaner.clean("x") == Cleaned("x")


def test_a_cleaner_that_dies_costs_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    with Cleaner(ENGLISH) as cleaner:
        assert cleaner.clean("a") == Cleaned("a")
        process = cleaner._process
        assert process is not None
        process.kill()
        process.wait()
        assert cleaner.clean("b") == Cleaned("", "ended its process (SIGKILL)")
        assert cleaner.clean("c") == Cleaned("c")
    assert cleaner._process is None
