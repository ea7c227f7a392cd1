"""Elements of HTML: what stands in them is text."""

from html.parser import HTMLParser

import pytest
from PIL import Image

from denet.report.html import MOST_ROWS, Markup, data_url, element, page, picture, table, text

HOSTILE = "<script>alert(1)</script>\"'&\x1b[2J\u202e"


class Reader(HTMLParser):
    """Notes tags, attributes and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.texts = [], {}, []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data):
        self.texts.append(data)


def read(markup):
    reader = Reader()
    reader.feed(markup)
    return reader


def test_texts_and_attributes_are_escaped():
    found = read(element("p", HOSTILE, title=HOSTILE, class_="a", hidden=None))
    shown = "<script>alert(1)</script>\"'&\\x1b[2J\\u202e"
    assert found.tags == ["p"] and "".join(found.texts) == shown
    assert found.attributes == {"title": shown, "class": "a"}
    assert text(Markup("<b>")) == "<b>"
    assert element("img", alt="") == '<img alt="">'


def test_a_page_loads_and_runs_nothing():
    found = read(page(HOSTILE, element("p", "x")))
    head = ["head", "meta", "meta", "meta", "title", "style"]
    assert found.tags == ["html", *head, "body", "main", "p"]
    assert "default-src 'none'" in found.attributes["content"]


def test_columns_of_numbers_are_set_to_the_right():
    markup = table(["", "a", "b"], [["x", "1,200", "1.5%"], ["y", "-", "two"], ["z", "1e-05", "3"]])
    assert markup.count('<td class="number">') == 3 and markup.count("<td>") == 3


def test_very_long_tables_are_cut():
    markup = table(["n"], [[number] for number in range(MOST_ROWS + 5)])
    assert markup.count("<tr>") == MOST_ROWS + 1 and "... and 5 more" in markup


@pytest.mark.parametrize(("size", "form"), [((32, 32), "png"), ((97, 20), "jpeg")])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_pictures_are_within(size, form, mode):
    image = Image.new(mode, size)
    assert data_url(image).startswith(f"data:image/{form};base64,")
    assert ('class="sharp"' in picture(image, "x")) == (form == "png")
