"""Small pictures on one sheet."""

import numpy as np
import pytest
from PIL import Image

from denet.report.contact_sheet import COLUMNS, FONT_SIZE, GAP, SIDE, contact_sheet
from denet.report.drawing import INK, RED, load_font

TITLE = [("Mistakes:  ", INK), ("answer", RED)]
FONT = load_font(FONT_SIZE, "a")


def pictures(count, size=(32, 32), mode="RGB"):
    return [(Image.new(mode, size), [(f"{n} name", RED), ("a" * 99, INK)]) for n in range(count)]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 32])
def test_tiles_stand_in_rows(count):
    sheet = contact_sheet(TITLE, pictures(count), FONT)
    assert sheet.mode == "RGB"
    black = (np.asarray(sheet) == 0).all(axis=2)
    across = min(count, COLUMNS)
    assert black.any(axis=0).sum() == across * SIDE
    assert black.any(axis=1).sum() == -(-count // COLUMNS) * SIDE
    assert black.sum() == count * SIDE * SIDE


def test_small_images_show_their_pixels_unsmoothed():
    image = Image.fromarray(np.arange(32 * 32 * 3).astype(np.uint8).reshape(32, 32, 3))
    sheet = np.asarray(contact_sheet(TITLE, [(image, [])], FONT))
    place = np.argwhere((sheet[..., 0] == 0) & (sheet[..., 1] == 1))[0]
    shown = sheet[place[0] :, place[1] :][: SIDE : SIDE // 32, : SIDE : SIDE // 32]
    np.testing.assert_array_equal(shown, np.asarray(image))


@pytest.mark.parametrize("size", [(28, 28), (100, 100), (4000, 30), (1, 500), (300, 200)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_any_size_fits_its_place(size, mode):
    sheet = contact_sheet(TITLE, pictures(2, size, mode), FONT)
    assert sheet.width == max(GAP + 2 * (SIDE + GAP), 2 * GAP + 20)
    black = (np.asarray(sheet) == 0).all(axis=2).any(axis=0)
    assert not black[:GAP].any() and not black[GAP + SIDE : GAP + SIDE + GAP].any()


def test_no_tiles_leave_the_title():
    sheet = contact_sheet([("No mistakes among 10,000 images", INK)], [], FONT)
    assert sheet.height < 100 < sheet.width
    assert (np.asarray(sheet) < 100).any()
