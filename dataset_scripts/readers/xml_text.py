"""Plain text of XML elements with inline markup and formulas."""

from __future__ import annotations

from xml.etree.ElementTree import Element

_RAISED = str.maketrans("0123456789+-−–=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾ⁿⁱ")


def flat_text(element: Element) -> str:
    """The text of `element`, runs of whitespace made one space.

    Powers and charges stay what they are: `10<sup>6</sup>` is 10⁶, not 106. All other markup is left out as it
    stands, so that `CO<sub>2</sub>` is CO2. Of formulas (MathML) the symbols are kept, a fraction with a slash.
    """
    return " ".join(_joined(element).split())


def _joined(element: Element) -> str:
    if not len(element):
        return element.text or ""
    parts = [element.text or ""]
    for child in element:
        parts.append(_of_child(child, parts[-1]))
        parts.append(child.tail or "")
    return "".join(parts)


def _of_child(child: Element, before: str) -> str:
    name = child.tag.rpartition("}")[2]
    text = _joined(child)
    if name == "sup":
        return _raised(text, before)
    if child.tag == name:
        return text
    if name in ("annotation", "annotation-xml"):
        return ""
    pieces = [_of_child(part, "").strip() for part in child]
    if name == "mfrac" and len(pieces) == 2:
        return "/".join(f"({piece})" if len(piece) > 1 and not piece.isalnum() else piece for piece in pieces)
    if name == "msup" and len(pieces) == 2:
        return pieces[0] + _raised(pieces[1], pieces[0])
    return (
        f" {text} " if name == "math" and child.get("display") == "block" else text if not pieces else "".join(pieces)
    )


def _raised(text: str, before: str) -> str:
    raised = text.strip().translate(_RAISED)
    if raised and not any(character.isalnum() and character.isascii() for character in raised):
        return text.replace(text.strip(), raised)
    return f"^{text.strip()}" if before[-1:].isdigit() else text
