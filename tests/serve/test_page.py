"""The page of the service in a real browser: what is visible, and that nothing else is loaded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import MISSING, PROGRAM, Browser
from serve.service import serving
from small_models import save_classifier, save_detector, save_photos

pytest.importorskip("starlette", reason="pip install starlette uvicorn")
pytest.importorskip("uvicorn", reason="pip install starlette uvicorn")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

SHOWN = "!document.getElementById('result').hidden"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("browser"))
    yield opened
    opened.close()


def text(browser: Browser) -> list[str]:
    """Return the lines that are visible."""
    return [line.strip() for line in browser.value("document.body.innerText").splitlines() if line]


def fits(browser: Browser) -> bool:
    """Say whether nothing is wider than the window."""
    return browser.value("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [1400, 400])
def test_classes(width: int, browser: Browser, tmp_path: Path) -> None:
    save_classifier(tmp_path / "pets.mdl")
    photo = save_photos(tmp_path)[0]
    with serving(tmp_path / "pets.mdl") as running:
        browser.size(width, 800)
        browser.open(running.url)
        browser.wait("document.title === 'pets.mdl'")
        assert "Drop or choose a picture" in text(browser) and fits(browser)
        assert not browser.value(SHOWN)
        browser.choose("#file", photo)
        browser.wait(SHOWN)
        wanted = running.post(photo.read_bytes()).json["classes"]
        lines = text(browser)
        rows = [(each["class"], f"{100 * each['probability']:.1f}%") for each in wanted]
        start = lines.index(rows[0][0])
        assert lines[start : start + 6] == [word for row in rows for word in row]
        assert browser.value("document.querySelectorAll('li').length") == 3
        assert not browser.value("document.querySelectorAll('li span b').length")  # a name, no HTML
        assert fits(browser)
        asked = browser.requests()
        others = [url for url in asked if not url.startswith((running.url, "blob:"))]
        assert len(asked) >= 3 and not others
        faults = [each for each in browser.events if each["method"] == "Runtime.exceptionThrown"]
        assert not faults
        browser.choose("#file", tmp_path / "pets.mdl")  # no picture
        browser.wait("!document.getElementById('error').hidden")
        assert "cannot read the image: the body: not an image" in text(browser)
        assert not browser.value(SHOWN)


@pytest.mark.parametrize("width", [1400, 400])
def test_objects_lie_where_they_are(width: int, browser: Browser, tmp_path: Path) -> None:
    save_detector(tmp_path / "pets.mdl")
    _, photo, *_ = save_photos(tmp_path)  # 60 x 40, turned to 40 x 60
    with serving(tmp_path / "pets.mdl") as running:
        browser.size(width, 800)
        browser.open(running.url)
        browser.wait("document.title === 'pets.mdl'")
        browser.choose("#file", photo)
        browser.wait(SHOWN)
        found = running.post(photo.read_bytes()).json
        shown = [each for each in found["detections"] if each["score"] >= 0.25]
        assert shown and "finds objects of 2 classes · sees 48 × 32 pixels" in text(browser)
        image, *boxes = browser.value(
            "[...document.querySelectorAll('#picture img, #picture rect')].map(each => {"
            "const {x, y, width, height} = each.getBoundingClientRect();"
            "return [x, y, x + width, y + height]})"
        )
        assert (image[2] - image[0]) / (image[3] - image[1]) == pytest.approx(40 / 60, rel=0.01)
        scale = (image[2] - image[0]) / 40
        for box, each in zip(boxes, shown, strict=True):
            wanted = [image[place % 2] + scale * side for place, side in enumerate(each["box"])]
            assert box == pytest.approx(wanted, abs=2.5)
        script = "least.value = 0.95; least.dispatchEvent(new Event('input'))"
        browser.value(script)
        assert "No objects" in text(browser)
        assert browser.value("document.querySelectorAll('#picture rect').length") == 0


def test_a_token_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    save_classifier(tmp_path / "pets.mdl")
    photo = save_photos(tmp_path)[0]
    with serving(tmp_path / "pets.mdl", DENET_TOKEN="s3cret") as running:
        browser.size(400, 800)
        browser.open(running.url)
        browser.wait("document.title === 'pets.mdl'")
        assert browser.value("at('token').hidden")
        browser.choose("#file", photo)
        browser.wait("!at('token').hidden")
        assert any("the token is missing or wrong" in line for line in text(browser))
        browser.value("at('token').firstElementChild.value = 's3cret'")
        browser.value("at('token').querySelector('button').click()")
        browser.wait(SHOWN)
        assert browser.value("at('token').hidden") and "What it shows" in text(browser)
