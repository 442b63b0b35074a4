"""PubMed citations: the baseline and update files of the National Library of Medicine.

Schema: https://dtd.nlm.nih.gov/ncbi/pubmed/doc/out/250101/index.html (PubmedArticleSet).
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from kbioxlm.common.errors import InputError, shown
from kbioxlm.common.files import read_blocks
from kbioxlm.dataset_scripts.knowledge.languages import ISO_OF_UMLS
from kbioxlm.dataset_scripts.readers.documents import Document, Withdrawal
from kbioxlm.dataset_scripts.readers.xml_records import xml_records
from kbioxlm.dataset_scripts.readers.xml_text import flat_text

_LOG = logging.getLogger(__name__)
_ROOTS = frozenset({"PubmedArticleSet", "PubmedBookArticleSet"})
_RECORDS = frozenset({"PubmedArticle", "PubmedBookArticle", "DeleteCitation"})
_NO_TEXTS = """ArticleIdList AuthorList Book ChemicalList CommentsCorrectionsList CopyrightInformation DataBankList
    DateCompleted DateRevised GeneSymbolList GrantList InvestigatorList Journal KeywordList MedlineJournalInfo
    MeshHeadingList PersonalNameSubjectList PublicationTypeList PubmedBookData PubmedData Sections SupplMeshList"""
# ISO 639-2/B, which the UMLS writes in capitals; the terminology codes and other forms that publishers send
LANGUAGES = {umls.lower(): iso for umls, iso in ISO_OF_UMLS.items()} | {
    "ces": "cs", "deu": "de", "ell": "el", "eus": "eu", "fra": "fr", "hrv": "hr", "nld": "nl", "nno": "no",
    "nob": "no", "zho": "zh",
}  # fmt: skip
_OWN_SCRIPT = {
    "ar": r"[\u0600-\u06ff]",
    "el": r"[\u0370-\u03ff\u1f00-\u1fff]",
    "he": r"[\u0590-\u05ff]",
    "ja": r"[\u3040-\u30ff\u3400-\u9fff]",
    "ko": r"[\u1100-\u11ff\uac00-\ud7ff]",
    "ru": r"[\u0400-\u04ff]",
    "uk": r"[\u0400-\u04ff]",
    "zh": r"[\u3400-\u9fff]",
}
_CITATION = re.compile(
    rb"<(?:MedlineCitation|BookDocument)(?:\s[^<>]*)?>\s*<PMID(?:\s+Version\s*=\s*[\"'](\d+)[\"'])?\s*>\s*(\d+)"
)
_TRUNCATED = re.compile(r"\s*\(ABSTRACT TRUNCATED(?: AT \d+ WORDS)?\)")
_TRANSLATED = re.compile(r"\s*\(author's transl\)")
_NO_TEXT = re.compile(  # remarks of the library in place of a text
    r"\[This (?:corrects|retracts|updates|reprints)\b[^\]]*\]\.?"
    r"|\[?(?:Not available|No abstract available|In process citation)\b\.?\]?\.?"
    r"|Abstract available from the publisher\.?",
    re.IGNORECASE,
)


def read_pubmed(
    path: Path, name: str, languages: tuple[str, ...], language: str | None = None
) -> Iterator[Document | Withdrawal]:
    """The texts of a PubMed file: title and abstract of every citation, one document for each of its languages.

    Texts in other languages than `languages` are passed over; the log tells how many. A citation without a text
    withdraws the texts of an earlier revision, as a deleted citation does. Of several versions of a citation in the
    file, the last counts. `name` and `language` are not used: citations have ids and languages of their own.

    Raises:
        InputError: as `xml_records`; a citation without a PMID.
    """
    winners = _last_versions(path)
    met: Counter[str] = Counter()
    passed_over: Counter[str] = Counter()
    for element in xml_records(path, _ROOTS, _RECORDS, frozenset(_NO_TEXTS.split())):
        if element.tag == "DeleteCitation":
            yield from (Withdrawal(f"pubmed:{_number(path, pmid)}") for pmid in element.iterfind("PMID"))
            continue
        citation = element.find("MedlineCitation" if element.tag == "PubmedArticle" else "BookDocument")
        number = _number(path, citation.find("PMID") if citation is not None else None)
        assert citation is not None
        met[number] += number in winners
        if number in winners and winners[number] != met[number]:
            continue
        texts = _texts(citation)
        asked = [code for code in texts if code in languages]
        passed_over.update(code for code in texts if code not in languages)
        for code in asked:
            text_id = number if code == "en" else f"{number}:{code}"
            yield Document(text_id, code, texts[code], f"pubmed:{number}")
        if not asked:
            yield Withdrawal(f"pubmed:{number}")
    if passed_over:
        _LOG.info("%s: texts in languages not asked for: %s", name, dict(sorted(passed_over.items())))


def _number(path: Path, pmid: Element | None) -> str:
    number = "" if pmid is None else flat_text(pmid)
    if not (number.isascii() and number.isdigit()):
        raise InputError(path, f"a citation whose PMID is {shown(number)}", "give PubMed's files as published")
    return number


def _last_versions(path: Path) -> dict[str, int]:
    """PMIDs that the file holds several times → which of their citations, counted from 1, has the last version."""
    occurrences: dict[bytes, list[int]] = {}
    rest = b""
    for block in read_blocks(path):
        rest += block
        end = 0
        for match in _CITATION.finditer(rest):
            if match.end() == len(rest):
                break  # the number may go on
            occurrences.setdefault(match[2], []).append(int(match[1] or 1))
            end = match.end()
        rest = rest[max(end, len(rest) - 500) :]
    winners = {}
    for number, versions in occurrences.items():
        if len(versions) > 1:
            last = max(range(len(versions)), key=lambda place: (versions[place], place))
            winners[number.decode()] = last + 1
    return winners


def _texts(citation: Element) -> dict[str, str]:
    """Language code → text of a MedlineCitation or BookDocument."""
    article = citation.find("Article")
    if article is None:
        article = citation
    own = [LANGUAGES.get(_plain(element).lower(), "") for element in article.iterfind("Language")]
    paragraphs: dict[str, list[str]] = {"en": [_english_title(_plain(article.find("ArticleTitle")))]}
    vernacular = _without_remarks(_plain(article.find("VernacularTitle")))
    code = next((code for code in own if code != "en"), "")
    if vernacular and code and _in_own_script(vernacular, code):
        paragraphs[code] = [vernacular]
    for abstract in (*article.iterfind("Abstract"), *citation.iterfind("OtherAbstract")):
        code = LANGUAGES.get(abstract.get("Language", "eng").lower(), "")
        if code:
            paragraphs.setdefault(code, []).extend(_sections(abstract, code))
    texts = {code: "\n".join(filter(None, lines)) for code, lines in paragraphs.items()}
    return {code: text for code, text in texts.items() if text}


def _sections(abstract: Element, code: str) -> Iterator[str]:
    """The paragraphs of an abstract, with the labels that the authors gave them."""
    colon = "：" if code in ("zh", "ja") else ": "
    for element in abstract.iterfind("AbstractText"):
        text = _without_remarks(_plain(element))
        label = " ".join(element.get("Label", "").split()).rstrip(":： ")
        if text and label and label.upper() != "UNLABELLED":
            text = f"{label}{colon}{text}"
        if text:
            yield text


def _plain(element: Element | None) -> str:
    return "" if element is None else flat_text(element)


def _without_remarks(text: str) -> str:
    if "TRUNCATED" in text:
        text = _TRUNCATED.sub("", text)
    return "" if _NO_TEXT.fullmatch(text) else text


def _english_title(title: str) -> str:
    """A title, out of the square brackets that say it was translated: `[Title].` becomes `Title.`"""
    title = _TRANSLATED.sub("", _without_remarks(title))
    match = re.fullmatch(r"\[(.*)\](\.?)", title)
    if match is None or not _balanced(match[1]):
        return title
    inside = _without_remarks(match[1])
    return inside if not inside or inside[-1] in ".?!" else inside + match[2]


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            return False
    return depth == 0


def _in_own_script(title: str, code: str) -> bool:
    """Whether a title is written as its language is: until 2009 PubMed wrote many in Latin letters only."""
    return code not in _OWN_SCRIPT or re.search(_OWN_SCRIPT[code], title) is not None
