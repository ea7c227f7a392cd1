"""What a detector of somebody's own objects is to be like, as their boxes say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from denet.dataset.survey.boxes import DetectionSurvey
from denet.detect.box import BOX_CAPACITY, area
from denet.detect.prior import prior_boxes
from denet.report.survey_text import held_out

SMALL_OBJECT = 16  # pixels of the input: a side of the median object, at least
_LARGE_OBJECT = 64  # pixels of an input of 256: a side of the median object for corners at 1/8
_LONGER = {8: 256, 4: 320}  # pixels of the longer side of the input, where images are not smaller
_LARGEST = 640  # pixels of it at most, where small objects ask for more: four times the work of 320
_MULTIPLE = {8: 32, 4: 16}  # pixels of the input for one cell of the coarsest map
_PRIOR_LEVELS = 4  # five are 573 boxes, most of them on nothing
_SAMPLES = 16  # of corners and at random, for each object of a crowded image
_CROWDED = 95  # per cent of the images have fewer objects, or as many
_SAMPLE_NUM = (12, 28)  # along each side; 28 instead of 22 take a tenth of a step more
_HEAD = 128  # channels that tell classes and boxes apart, more where there are more classes
_SEEN = 60_000  # images of all epochs together: learning rates of adamw have fallen slowly enough
_EPOCHS = (12, 500)  # at least and at most
_WARMUP, _WARMUP_STEPS = 2, 1000  # epochs, and steps of them at most: as adamw averages over
_SMALL_INPUT = 160 * 160  # pixels, up to which batches are larger, to occupy the processor


@dataclass(frozen=True)
class DetectorChoice:
    """What suits the objects of somebody's images.

    size           (width, height) of the network's input, in pixels
    sides          (T,) of all objects there: the root of their area, in pixels
    corner_stride  pixels of the input for one cell of the map that corners are looked for on
    prior_levels   sizes of prior boxes; 0 where objects are small
    sample_num     samples along each side of their square
    head           channels of the layers behind the samples
    mosaic         whether objects are still seen at half their size
    warmup         epochs in which the learn rate rises
    held_out       share of the images to test on, where none are; 0 if there are too few
    """

    size: tuple[int, int]
    sides: np.ndarray
    corner_stride: int
    prior_levels: int
    sample_num: int
    head: int
    mosaic: bool
    batch_size: int
    epochs: int
    warmup: float
    held_out: float

    @property
    def side(self) -> float:
        """Return the side of the median object."""
        return float(np.median(self.sides))


def choose_detector(survey: DetectionSurvey) -> DetectorChoice:
    """Return what suits the objects of a survey."""
    box, _, image_sizes = survey.objects()
    sides = np.sqrt(area(box))
    part = float(np.median(sides / image_sizes.max(axis=1)))  # of the longer side of its image
    stride, size = _network_size(survey, part)
    in_network = sides * (np.array(size) / image_sizes).min(axis=1)
    mosaic = bool(np.median(in_network) >= 2 * SMALL_OBJECT)
    levels = _PRIOR_LEVELS * mosaic
    count = sum(map(len, survey.named(survey.train)))
    batch_size = 16 if math.prod(size) <= _SMALL_INPUT else 8
    epochs = int(np.clip(_SEEN // count, *_EPOCHS))
    steps = math.ceil(count / batch_size)
    return DetectorChoice(
        size,
        in_network,
        stride,
        levels,
        _sample_num(survey, levels),
        max(_HEAD, 2 ** math.ceil(math.log2(len(survey.class_labels)))),
        mosaic,
        batch_size,
        epochs,
        min(_WARMUP, _WARMUP_STEPS / steps, epochs / 10),
        held_out(count),
    )


def _network_size(survey: DetectionSurvey, part: float) -> tuple[int, tuple[int, int]]:
    """Return the stride of the corners, and the input's size: the median image, made smaller.

    ``part``: side of the median object, of the longer side of its image.
    """
    image = np.median(survey.sizes(), axis=0)
    longer = float(image.max())
    given = np.array(survey.crop) if survey.crop else None
    first = max(survey.crop) if survey.crop else min(_LONGER[8], longer)
    stride = 8 if part * first >= _LARGE_OBJECT else 4
    wanted = min(max(min(_LONGER[stride], longer), SMALL_OBJECT / part), _LARGEST)
    sides = image * wanted / longer if given is None else given
    multiple = _MULTIPLE[stride]
    width, height = (max(2, round(float(side) / multiple)) * multiple for side in sides)
    return stride, (width, height)


def _sample_num(survey: DetectionSurvey, levels: int) -> int:
    counts = np.concatenate([split.objects.counts for split in survey.named(survey.train)])
    crowded = min(math.ceil(np.percentile(counts[counts > 0], _CROWDED)), BOX_CAPACITY)
    places = len(prior_boxes(levels)) + _SAMPLES * crowded
    return int(np.clip(math.ceil(math.sqrt(places)), *_SAMPLE_NUM))
