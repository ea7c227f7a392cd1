"""A page of HTML in one file: elements whose texts are escaped, pictures within it, its style."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from denet.printable import LAYOUT, printable

if TYPE_CHECKING:
    from PIL.Image import Image

VOID = ("img", "meta", "br")  # elements without an end
MOST_ROWS = 1000  # of a table
NUMBER = re.compile(r"[-+]?[\d,.]+(e[-+]?\d+)?%?")
SHARP = 96  # px: pictures up to this side are stored as they are, larger ones as JPEG
QUALITY = 82  # of JPEG
# a page may show pictures within it and use its own style; nothing else is loaded or run
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #24292f; --quiet: #59636e; --line: #d1d9e0; --pale: #f3f5f7;
  --right: 59 120 216; --wrong: 209 68 60;
  --c0: #2f6bd0; --c1: #c93a32; --c2: #238a47; --c3: #8350b5; --c4: #b26a00; --c5: #0d8590;
  --c6: #b53a82; --c7: #6b7280;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --ink: #e6e9ed; --quiet: #9aa5b1; --line: #39424d; --pale: #1f252c;
    --right: 86 144 235; --wrong: 229 92 84;
    --c0: #6aa1ff; --c1: #ff7b72; --c2: #56c878; --c3: #bd93f0; --c4: #f0a43a; --c5: #4cc3d0;
    --c6: #f078bb; --c7: #a4acb6;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 82rem; padding: 1rem clamp(0.75rem, 3vw, 2.5rem) 4rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.7rem; margin: 1rem 0 0.5rem; line-height: 1.2; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 0.75rem; padding-top: 0.75rem;
     border-top: 2px solid var(--line); }
h3 { font-size: 1.1rem; margin: 1.75rem 0 0.5rem; }
p, ul { margin: 0.4rem 0; max-width: 62rem; }
a { color: var(--c0); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; list-style: none; padding: 0; }
.quiet, figcaption, caption { color: var(--quiet); font-size: 0.875rem; }
.note { border-left: 4px solid var(--c4); background: var(--pale); padding: 0.4rem 0.75rem; }
.scroll { overflow-x: auto; max-width: 100%; margin: 0.5rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.25rem; }
th, td { padding: 0.25rem 0.75rem 0.25rem 0; text-align: left; vertical-align: top;
         border-bottom: 1px solid var(--line); overflow-wrap: normal; }
td { max-width: 42rem; }
.compare td { min-width: 9rem; max-width: 24rem; overflow-wrap: anywhere; }
thead th { color: var(--quiet); font-weight: 600; }
th[scope=row] { font-weight: 500; }
.number { text-align: right; white-space: nowrap; }
.matrix td, .matrix th { padding: 0.3rem 0.6rem; border: 1px solid var(--line); }
.matrix td { text-align: right; background: rgb(var(--tone) / var(--share)); }
.matrix .right { --tone: var(--right); }
.matrix .wrong { --tone: var(--wrong); }
code { font: 0.85em/1.4 ui-monospace, "DejaVu Sans Mono", monospace; }
.hash { white-space: nowrap; }
details { margin: 0.5rem 0; }
summary { cursor: pointer; color: var(--quiet); }
.grid { display: grid; gap: 1rem; align-items: start;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--least, 20rem)), 1fr)); }
figure { margin: 0; min-width: 0; }
figure svg, figure img { display: block; width: 100%; height: auto; }
figure img.sharp { image-rendering: pixelated; }
.pair { display: flex; flex-wrap: wrap; gap: 0.5rem; }
.pair > div { flex: 1 1 15rem; min-width: 0; }
.key { display: inline-block; width: 1.4em; margin-right: 0.35em; vertical-align: middle;
       border-top: 3px solid; }
.key.dashed { border-top-style: dashed; }
.legend { display: flex; flex-wrap: wrap; gap: 0.1rem 1rem; list-style: none; padding: 0;
          margin: 0.25rem 0; font-size: 0.875rem; }
.axis { stroke: var(--line); stroke-width: 1; }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg text { fill: var(--ink); font-size: 12px; }
.box { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; pointer-events: all; }
svg text.tag { fill: #fff; stroke: #000; stroke-width: 3px; paint-order: stroke; font-weight: 600; }
.bar-all { fill: var(--line); }
.bar-found { fill: var(--c0); }
"""


class Markup(str):
    """Text that is HTML already."""


def text(value: object) -> Markup:
    """Return what a value says as HTML: escaped, and without characters that act."""
    return value if isinstance(value, Markup) else Markup(escape(printable(str(value), LAYOUT)))


def joined(parts: Iterable[object]) -> Markup:
    """Return one part behind the other."""
    return Markup("".join(map(text, parts)))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """Return an element; an attribute that is None or False is left out.

    ``class_`` is the attribute class, other underlines are hyphens.
    """
    words = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(value)}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if tag in VOID else f"{joined(children)}</{tag}>"
    return Markup(f"<{tag}{words}>{end}")


def table(
    header: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "", **attributes: str
) -> Markup:
    """Return a table that scrolls in a box of its own; columns of numbers are set to the right.

    The first cell of a row names it. Of very many rows the first are shown.
    """
    every = list(rows)
    rows, left_out = every[:MOST_ROWS], len(every) - MOST_ROWS
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    looks = ["number" if all(map(_is_number, column)) else None for column in columns]
    head = [
        element("th", each, scope="col", class_=look)
        for each, look in zip(header, looks, strict=False)
    ]
    body = []
    for first, *cells in rows:
        beside = (
            element("td", cell, class_=look) for cell, look in zip(cells, looks[1:], strict=True)
        )
        body.append(element("tr", element("th", first, scope="row"), *beside))
    return joined(
        [
            scrolling(
                element(
                    "table",
                    element("caption", caption) if caption else "",
                    element("thead", element("tr", *head)) if head else "",
                    element("tbody", *body),
                    **attributes,
                ),
                caption or "table",
            ),
            element("p", f"... and {left_out:,} more", class_="quiet") if left_out > 0 else "",
        ]
    )


def scrolling(content: Markup, label: str) -> Markup:
    """Return a box that scrolls where its content is wider, by keys too."""
    return element("div", content, class_="scroll", tabindex="0", role="region", aria_label=label)


def picture(image: Image, words: str) -> Markup:
    """Return an image within the page; small ones are shown pixel by pixel."""
    sharp = "sharp" if is_sharp(image) else None
    width, height = image.size
    return element("img", src=data_url(image), alt=words, class_=sharp, width=width, height=height)


def data_url(image: Image) -> str:
    """Return an image as a URL that holds it."""
    form = "png" if is_sharp(image) else "jpeg"
    buffer = BytesIO()
    image.convert("RGB").save(buffer, form, quality=QUALITY, optimize=True)
    return f"data:image/{form};base64,{b64encode(buffer.getvalue()).decode()}"


def is_sharp(image: Image) -> bool:
    """Say whether every pixel of an image is to be seen."""
    return max(image.size) <= SHARP


def page(title: str, *content: object) -> str:
    """Return a whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("title", title),
        Markup(f"<style>{STYLE}</style>"),
    )
    body = element("body", element("main", *content))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _is_number(cell: object) -> bool:
    """Say whether a cell holds a number, or nothing."""
    return not str(cell).strip("-") or NUMBER.fullmatch(str(cell)) is not None
