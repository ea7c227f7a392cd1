"""What becomes of each object and each detection: found, taken for another class, missed, alarm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from denet.dataset.image.boxes import Boxes
from denet.detect.detections import Detections
from denet.evaluate.overlap import best_overlap
from denet.evaluate.voc import match_objects

NOTHING = -1  # the answer to an object that is missed, the object of a false alarm
SIDES = (0, 8, 16, 32, 64, 128, 256, 512)  # pixels of the image, from which a group of sizes goes


@dataclass(frozen=True)
class ObjectErrors:
    """Detections of a score or more beside the objects that count, each given one of the other.

    First each object has the detection that is right as VOC compares them. What is left over of
    both is compared whatever class it is: a detection that overlaps an object enough takes it for
    another class, or is right after all where it lies on two of its own. What then has no object
    is a false alarm, what has no detection is missed. Difficult objects and crowds do not count,
    nor do detections of them.
    """

    found: Detections  # that count, from the best down
    truth: Boxes
    of: np.ndarray  # (d,) object of each detection, NOTHING for a false alarm
    by: np.ndarray  # (t,) detection of each object, NOTHING for one that is missed
    scored: np.ndarray  # (t,) bool, the objects that count

    @property
    def answer(self) -> np.ndarray:
        """Class (t,) that each object is taken for, NOTHING where it is missed."""
        answer: np.ndarray = np.append(self.found.class_index, NOTHING)[self.by]
        return answer

    @property
    def is_found(self) -> np.ndarray:
        """Which objects (t,) are found, and as what they are."""
        return self.answer == self.truth.box_class

    def matrix(self, class_num: int) -> np.ndarray:
        """Return (k + 1, k + 1) int64: objects by their class (row) and answer (column).

        The last row counts false alarms by their class, the last column objects that are missed.
        """
        matrix = np.zeros((class_num + 1,) * 2, np.int64)
        true, answer = self.truth.box_class[self.scored], self.answer[self.scored]
        np.add.at(matrix, (true, answer), 1)  # NOTHING is the last
        alarms = self.found.class_index[self.of == NOTHING]
        matrix[-1, :-1] += np.bincount(alarms, minlength=class_num)
        return matrix

    def of_images(self, image_num: int) -> np.ndarray:
        """Return how many errors each image has (n,): objects not found, and false alarms."""
        alarms = self.found.image[self.of == NOTHING]
        wrong = self.truth.image[self.scored & ~self.is_found]
        both = (np.bincount(each, minlength=image_num) for each in (alarms, wrong))
        return np.sum([*both], axis=0)

    def sizes(self) -> list[tuple[int, int, int]]:
        """Return rows of a side from SIDES, and how many objects of this size are and are found.

        The side of an object is the root of its area. Groups before the first and behind the last
        that hold an object are left out.
        """
        sides = np.sqrt(self.truth.area)
        group = np.searchsorted(SIDES, sides, "right") - 1
        count, found = (
            np.bincount(np.maximum(group[which], 0), minlength=len(SIDES))
            for which in (self.scored, self.scored & self.is_found)
        )
        some = np.flatnonzero(count)
        held = range(some[0], some[-1] + 1) if len(some) else range(0)
        return [(SIDES[k], int(count[k]), int(found[k])) for k in held]


def object_errors(
    found: Detections, truth: Boxes, class_num: int, least_score: float, match_iou: float = 0.5
) -> ObjectErrors:
    """Compare the detections of ``least_score`` or more, in pixels of their images, with objects.

    ``match_iou`` is the least IoU of an object with what is told of it.
    """
    likely = found.take(found.score >= least_score)
    matches = match_objects(likely, truth, class_num, match_iou)
    found = matches.found.take(matches.counts)
    of = np.where(matches.right, matches.which, NOTHING)[matches.counts]
    free = np.setdiff1d(np.flatnonzero(truth.scored), of)
    left = np.flatnonzero(of == NOTHING)
    overlap, which = best_overlap(
        found.image[left], found.box[left], truth.image[free], truth.boxes_px[free]
    )
    hit = np.flatnonzero(overlap >= match_iou)
    best = hit[np.unique(which[hit], return_index=True)[1]]  # of several the likeliest
    of[left[best]] = free[which[best]]
    by = np.full(len(truth), NOTHING)
    has = np.flatnonzero(of != NOTHING)
    by[of[has]] = has
    return ObjectErrors(found, truth, of, by, truth.scored)
