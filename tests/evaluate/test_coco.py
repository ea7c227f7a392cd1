"""The numbers of MSCOCO against its own evaluator."""

import contextlib
import io
import sys

import numpy as np
import pytest
from evaluate.boxed import detections, known, random_case

from denet.errors import UsageError
from denet.evaluate.coco import NUMBERS, evaluate_coco

CLASS_NUM = 6  # the last never occurs
IDS = [1, 3, 4, 17, 60, 90]  # category numbers with gaps, as those of MSCOCO


def official(objects, found, areas, image_num):
    """Return the twelve numbers and the AP per class of pycocotools."""
    pycocotools = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    def corners(box):
        x0, y0, x1, y1 = (float(np.float32(side)) for side in box)
        return [x0, y0, x1 - x0, y1 - y0]

    with contextlib.redirect_stdout(io.StringIO()):
        truth = pycocotools.COCO()
        truth.dataset = {
            "images": [{"id": 7 * k} for k in range(image_num)],
            "categories": [{"id": number, "name": str(number)} for number in IDS],
            "annotations": [
                {
                    "id": number,
                    "image_id": 7 * image,
                    "category_id": IDS[class_index],
                    "bbox": corners(box),
                    "area": area,
                    "iscrowd": int(note == "crowd"),
                }
                for number, ((image, class_index, box, note), area) in enumerate(
                    zip(objects, areas, strict=True), 100
                )
            ],
        }
        truth.createIndex()
        results = truth.loadRes(
            [
                {
                    "image_id": 7 * image,
                    "category_id": IDS[class_index],
                    "bbox": corners(box),
                    "score": float(np.float32(score)),
                }
                for image, class_index, score, box in found
            ]
        )
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    per_class = [precision[:, :, k][precision[:, :, k] > -1] for k in range(CLASS_NUM)]
    return evaluation.stats, [each.mean() if each.size else np.nan for each in per_class]


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_pycocotools(seed):
    objects, found = random_case(seed, crowds=True)
    assert sum(row[3] == "crowd" for row in objects) > 5
    areas = np.random.default_rng(seed).uniform(100, 20000, len(objects))
    stats, per_class = official(objects, found, areas, 40)
    result = evaluate_coco(detections(found), known(40, objects, areas), CLASS_NUM)
    assert list(result.numbers) == list(NUMBERS)
    np.testing.assert_allclose(list(result.numbers.values()), stats, atol=1e-9, rtol=0)
    np.testing.assert_allclose(result.class_ap, per_class, atol=1e-9, rtol=0)


def test_nothing_found(capfd):
    small, large = (0, 0, 10, 10), (0, 0, 200, 200)
    truth = known(2, [(0, 1, small), (1, 1, large)])
    result = evaluate_coco(detections([]), truth, 3)
    assert result.numbers == {
        name: pytest.approx(np.nan, nan_ok=True) if name in ("APm", "ARm") else 0
        for name in NUMBERS
    }
    np.testing.assert_array_equal(result.class_ap, [np.nan, 0, np.nan])
    lines = result.report(["cat", "dog", "owl"]).splitlines()
    assert lines[:5] == ["cat -", "dog 0.00%", "owl -", "AP 0.00%", "AP50 0.00%"]
    assert len(lines) == 15 and "APm -" in lines
    assert capfd.readouterr() == ("", "")  # stdout is for results


def test_nothing_known():
    found = detections([(0, 0, 0.9, (0, 0, 10, 10))])
    result = evaluate_coco(found, known(1, []), 2)
    assert np.isnan(list(result.numbers.values())).all() and np.isnan(result.class_ap).all()


def test_the_first_class_and_the_first_image_count():
    # ids that start at 0 are lost by evaluators that take 0 for nothing
    objects = [(0, 0, (0, 0, 10, 10)), (1, 1, (0, 0, 10, 10))]
    found = [(image, k, 0.9, box) for image, k, box in objects]
    result = evaluate_coco(detections(found), known(2, objects), 2)
    assert result.numbers["AP"] == pytest.approx(1) and result.class_ap == pytest.approx([1, 1])


def test_a_missing_evaluator_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "hotcoco", None)  # as if it were not installed
    with pytest.raises(UsageError, match="pip install hotcoco"):
        evaluate_coco(detections([]), known(1, []), 1)
