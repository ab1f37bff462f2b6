"""XML from files of others: no entities, no external documents, bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_XML_CHARS = 4_000_000
MAX_DEPTH = 200


def parse(xml: str | None, most_chars: int = MAX_XML_CHARS) -> Element | None:
    """The root element, None for text that is no XML, too long, too deep, or declares entities."""
    if not xml or len(xml) > most_chars or "<" not in xml:
        return None
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    text = xml.strip().strip("\x00").strip()
    if _too_deep(text):
        return None
    # The declaration names the encoding of the bytes, which are decoded already.
    if text.startswith("<?xml"):
        text = text.partition("?>")[2].strip()
    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, RecursionError):
        return None
    return root


def local_name(element: Element) -> str:
    """An element's name without its namespace."""
    return str(element.tag).rpartition("}")[2]


def find(root: Element, *path: str) -> Element | None:
    """The first element reached by child names, anywhere below `root` for the first of them."""
    first, *rest = path
    for element in root.iter():
        if local_name(element) != first:
            continue
        found: Element | None = element
        for name in rest:
            found = _child(found, name)
        if found is not None:
            return found
    return None


def _child(parent: Element | None, name: str) -> Element | None:
    children = iter(()) if parent is None else iter(parent)
    return next((child for child in children if local_name(child) == name), None)


def text_at(root: Element, *path: str) -> str | None:
    """Text of the element at `path`, None where there is none."""
    found = find(root, *path)
    return found.text.strip() if found is not None and found.text else None


def flat(root: Element, limit: int = 2000) -> dict[str, str]:
    """Leaf elements as name and text, for the raw record."""
    values: dict[str, str] = {}
    for element in root.iter():
        if len(values) >= limit:
            break
        if element.text and element.text.strip() and not len(element):
            values.setdefault(local_name(element), element.text.strip()[:500])
    return values


def _too_deep(text: str) -> bool:
    depth = deepest = 0
    at = text.find("<")
    while at != -1 and deepest <= MAX_DEPTH:
        if text.startswith("</", at):
            depth -= 1
        elif not text.startswith(("<?", "<!"), at):
            end = text.find(">", at)
            if end == -1:
                break
            depth += text[end - 1] != "/"
            deepest = max(deepest, depth)
        at = text.find("<", at + 1)
    return deepest > MAX_DEPTH
