"""Known objects and detections for the tests of evaluators."""

from types import SimpleNamespace

import numpy as np

from denet.dataset.image.boxes import Boxes
from denet.detect.detections import Detections


def known(image_num, rows, areas=None):
    """Return what evaluators read of a dataset of rows (image, class, box[, note]).

    The note is "difficult" or "crowd"; ``areas`` are those of the objects, else of their boxes.
    """
    note = [row[3] if len(row) > 3 else "" for row in rows]
    boxes = Boxes.gather(
        image_num,
        [row[0] for row in rows],
        np.array([row[2] for row in rows]),
        [row[1] for row in rows],
        [each == "difficult" for each in note],
        [each == "crowd" for each in note],
        areas,
    )
    sizes = np.tile(np.array([640, 480], np.int32), (image_num, 1))
    return SimpleNamespace(truth=boxes, sizes=sizes)


def detections(rows):
    """Return rows (image, class, score, box)."""
    return Detections(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[3] for row in rows], np.float32).reshape(-1, 4),
    )


def random_case(seed, image_num=40, class_num=5, crowds=False):
    """Return (known rows, detection rows): objects, found ones with errors, and false alarms."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for image in range(image_num):
        for _ in range(rng.poisson(3)):
            place, side = rng.uniform(0, 300, 2), np.exp(rng.uniform(2, 5.5, 2))
            box = np.round(np.concatenate([place, place + side]), 2)
            note = ["", "", "", "difficult"][rng.integers(4)]
            if crowds:
                note = "crowd" if rng.random() < 0.15 else ""
            class_index = int(rng.integers(class_num))
            truth.append((image, class_index, box, note))
            for _ in range(rng.integers(4)):
                moved = box + rng.normal(0, 0.08, 4) * np.tile(side, 2)
                guess = class_index if rng.random() < 0.8 else int(rng.integers(class_num))
                found.append((image, guess, rng.random(), moved))
        for _ in range(rng.poisson(2)):
            place, side = rng.uniform(0, 300, 2), np.exp(rng.uniform(2, 5.5, 2))
            box = np.concatenate([place, place + side])
            found.append((image, int(rng.integers(class_num)), rng.random() * 0.7, box))
    rng.shuffle(found)
    return truth, found
