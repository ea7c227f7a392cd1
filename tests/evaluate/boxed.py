"""Known objects and detections for the tests of evaluators."""

from dataclasses import dataclass

import numpy as np

from denet.detect.detections import Detections


@dataclass
class Known:
    """What a dataset with boxes tells an evaluator."""

    boxes_px: np.ndarray
    box_class: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    start: np.ndarray
    sizes: np.ndarray
    image_ids: list


def known(image_num, rows):
    """Return rows (image, class, box[, "difficult" | "crowd"]), images ascending."""
    note = [row[3] if len(row) > 3 else "" for row in rows]
    return Known(
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.int32),
        np.array([each == "difficult" for each in note], bool),
        np.array([each == "crowd" for each in note], bool),
        np.searchsorted([row[0] for row in rows], np.arange(image_num + 1)),
        np.tile(np.array([640, 480], np.int32), (image_num, 1)),
        [f"{number:06d}" for number in range(image_num)],
    )


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
