"""Reads pages and pictures: only elements and attributes that do nothing are in them, and the text that is given is text."""

import sys
import xml.etree.ElementTree
from html.parser import HTMLParser

ELEMENTS = set(
    "html head meta title style body main div span h1 h2 p code bdi table tr th td dl dt dd ol li pre"
    " svg g text tspan line rect circle path polygon polyline desc".split()
)
ATTRIBUTES = set(
    "lang charset http-equiv content name class scope xmlns viewbox role aria-label width height x y x1 y1 x2 y2 cx cy r rx d"
    " points transform text-anchor font-size font-weight font-family preserveaspectratio".split()
)
VOID = {"meta"}


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        names = {name for name, _ in attrs}
        if tag not in ELEMENTS or not names <= ATTRIBUTES:
            raise ValueError(f"{tag} {names - ATTRIBUTES}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            raise ValueError(f"</{tag}> closes another element")

    def handle_comment(self, data):
        raise ValueError("a comment")

    def unknown_decl(self, data):
        raise ValueError("a declaration")

    def handle_data(self, data):
        self.text.append(data)


def element(tree):
    tag = tree.tag.rsplit("}", 1)[-1].lower()
    names = {name.lower() for name in tree.attrib}
    if tag not in ELEMENTS or not names <= ATTRIBUTES:
        raise ValueError(f"{tag} {names - ATTRIBUTES}")
    return (tree.text or "") + "".join(element(child) + (child.tail or "") for child in tree)


page, picture, shown = sys.argv[1:]
with open(page, encoding="utf-8") as file:
    parser = Page()
    parser.feed(file.read())
    parser.close()
if parser.open or shown not in "".join(parser.text):
    sys.exit(f"{page}: {parser.open} are open, or {shown!r} is no text of it")
element(xml.etree.ElementTree.parse(picture).getroot())
print("read 2 files")
