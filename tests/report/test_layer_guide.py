"""The guide to the layers holds all of them, for every width of a terminal."""

import re

import pytest

from denet.layer.base import declarations
from denet.layer.registry import layer_types
from denet.report.layer_guide import NARROWEST, guide_markdown, guide_text


def written(symbol: str) -> list[str]:
    """Return all that can be written of a layer, by its declarations."""
    layer_type = layer_types()[symbol]
    return [
        {
            "argument": name,
            "tag": f"{symbol}.{declaration.letter}",
            "option": "--" + name.replace("_", "-"),
        }[declaration.role]
        for name, declaration in declarations(layer_type).items()
        if declaration.role != "setting"
    ]


@pytest.mark.parametrize("symbol", layer_types())
def test_both_forms_hold_all_of_a_layer(symbol: str) -> None:
    start = rf"{symbol}(\[[^\]]*\])?"
    (section,) = re.findall(rf"^## `{start}`\n\n(?s:(.*?))(?=\n## |\Z)", guide_markdown(), re.M)
    meaning, *items = section[1].split("\n- ")
    assert meaning.strip().endswith(".")
    told = [item.split("`")[1] for item in items]
    assert set(written(symbol)) <= set(told)
    paragraphs = guide_text(100).split("\n\n")
    (paragraph,) = (each for each in paragraphs if re.match(rf"{start}\n", each))
    lines = [line.split()[0] for line in paragraph.splitlines()]
    assert [word for word in lines if word in told] == told


@pytest.mark.parametrize("width", [1, NARROWEST, 60, 100])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    text = guide_text(width)
    assert max(map(len, text.splitlines())) <= max(width, NARROWEST)
    words = re.sub(r"\s+", " ", text)
    assert words == re.sub(r"\s+", " ", guide_text(100))
    assert "RSN[filters, size, stride=1, bottleneck=0] Residual block: two convolutions" in words
