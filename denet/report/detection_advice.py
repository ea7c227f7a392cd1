"""The command lines that a detector of somebody's own objects starts with."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import numpy as np

from denet.dataset.augment import scaled_size
from denet.dataset.decode import size_text
from denet.dataset.detection_survey import DetectionSurvey
from denet.detect.box import BOX_CAPACITY, area
from denet.report.survey_text import word

# Corners are looked for at 1/4 of the input, after going down to 1/16 and up again.
_NETWORK = """C.B[24,3,2] BN A RSN.O[32,3,2] SKIPSRC[0] RSN.O[64,3,2] nRSN.O[3,128,3,2]
        DC.B[64,3,2] BNA C.B[64,3] BNA DC.B[32,3,2] BNA SKIP[0] C.B[64,3] BNA
        DNC[48,50] DNS[5,{},0.01,0.1,1] C.B[128,1] BNA C.B[128,1] BNA DND[0.5,3,3]"""
_STRIDE = 16  # pixels of the input for one of the coarsest map: sides are multiples of it
_LONGER = 320  # pixels of the longer side of the input, where images are not smaller
_LARGEST = 640  # pixels of it at most, where small objects ask for more
SMALL_OBJECT = 16  # pixels of the input: a side of the median object, at least
_SAMPLES = 8  # for each object of the most crowded image
_SAMPLE_NUM = (12, 24)  # along each side of the samples, at least and at most
# images of all epochs together that are wanted, and the most epochs for them
_FEWEST, _MOST = (10_000, 500), (60_000, 200)
_SMALL_INPUT = 160 * 160  # pixels, up to which batches are larger


def train_command(survey: DetectionSurvey) -> str:
    """Return a model-train command line that runs as it stands, in several lines."""
    path, size = word(survey.path), network_size(survey)
    epochs = _epochs(survey)
    batch = 16 if math.prod(size) <= _SMALL_INPUT else 8
    shown = _extension(survey, survey.train) + ",crop_mode=denet,area_min=0.4,augment_photo"
    test = f"--test {path} --test-extension {_test_extension(survey)}"
    lines = [
        f"model-train --train {path} --extension {shown}",
        *[f"{test} --test-epochs {max(1, epochs // 10)}"] * testable(survey),
        f"--border-mode half --model-desc '{_NETWORK.format(_sample_num(survey))}'",
        "--solver nesterov --learn-rate 0.05 --learn-momentum 0.9 --learn-decay 1e-4",
        f"--learn-warmup {min(1, epochs / 10):g} --learn-cosine",
        f"--epochs {epochs} --batch-size {batch} --thread-num 0{_skip(survey)}",
        f"--disable-intermediate --output-prefix {word(_prefix(survey))}",
    ]
    return " \\\n    ".join(lines)


def predict_command(survey: DetectionSurvey) -> str:
    """Return the model-predict command line that evaluates what was trained, and draws."""
    prefix = _prefix(survey)
    ending = "best" if testable(survey) else f"epoch{_epochs(survey):03d}_final"
    lines = [
        f"model-predict --predict-mode detect,voc,image --model {word(f'{prefix}_{ending}.mdl')}",
        f"--input {word(survey.path)} --extension {_test_extension(survey)}{_skip(survey)}",
        f"--results {word(f'{prefix}_found/{os.path.basename(prefix)}')}",
    ]
    return " \\\n    ".join(lines)


def hints(survey: DetectionSurvey) -> Iterator[str]:
    """Yield in what the command lines follow the data, and what to change."""
    side = float(np.median(sides_in_network(survey)))
    size = size_text(network_size(survey))
    yield f"(at {size} the median object has sides of {side:.0f} pixels; a larger crop shows more)"
    if testable(survey):
        yield "(_best.mdl is chosen by these test images: expect somewhat less on others)"
    if survey.kind == "mscoco":
        install = "" if find_spec("hotcoco") else ": pip install hotcoco"
        yield f"(detect,mscoco,image gives the numbers of MSCOCO{install})"


def network_size(survey: DetectionSurvey) -> tuple[int, int]:
    """Return (width, height) of the network's input: the median image, made smaller."""
    if survey.crop:
        return _rounded(survey.crop)
    median = np.median(survey.sizes(), axis=0)
    longer = float(median.max())
    scale = max(min(1, _LONGER / longer), SMALL_OBJECT / float(np.median(_sides(survey))))
    return _rounded(min(scale, _LARGEST / longer) * median)


def sides_in_network(survey: DetectionSurvey) -> np.ndarray:
    """Return the sides of all objects, in pixels of the input that their whole images fit into."""
    _, _, sizes = survey.objects()
    scaled: np.ndarray = _sides(survey) * (network_size(survey) / sizes).min(axis=1)
    return scaled


def testable(survey: DetectionSurvey) -> bool:
    """Whether there are objects to test on, all of classes that are trained on."""
    return bool(survey.test) and not only_in(survey, survey.test, survey.train)


def only_in(survey: DetectionSurvey, here: Sequence[str], there: Sequence[str]) -> list[str]:
    """Return the classes that have objects in the splits ``here`` but not in those ``there``."""
    other = survey.class_objects(there)
    return [name for name, count in survey.class_objects(here).items() if count and not other[name]]


def _rounded(size: Sequence[float] | np.ndarray) -> tuple[int, int]:
    width, height = (max(2, round(float(side) / _STRIDE)) * _STRIDE for side in size)
    return width, height


def _sides(survey: DetectionSurvey) -> np.ndarray:
    """Return the sides of squares as large as the objects, in pixels of their images."""
    sides: np.ndarray = np.sqrt(area(survey.objects()[0]))
    return sides


def _epochs(survey: DetectionSurvey) -> int:
    count = sum(map(len, survey.named(survey.train)))
    fewest, most = (min(images // count, epochs) for images, epochs in (_FEWEST, _MOST))
    return max(1, fewest, most)


def _sample_num(survey: DetectionSurvey) -> int:
    most = max(int(split.objects.counts.max()) for split in survey.named(survey.train))
    wanted = math.ceil(math.sqrt(_SAMPLES * min(most, BOX_CAPACITY)))
    return min(max(wanted, _SAMPLE_NUM[0]), _SAMPLE_NUM[1])


def _extension(survey: DetectionSurvey, names: Sequence[str]) -> str:
    width, height = size = network_size(survey)
    crop = str(width) if width == height else size_text(size)
    splits = [name for name in names if name != "all"]
    return word(",".join([survey.kind, *splits, f"crop={crop}"]))


def _test_extension(survey: DetectionSurvey) -> str:
    """Return the --extension under which images are seen whole."""
    size = network_size(survey)
    shapes = {(width, height) for width, height in survey.sizes().tolist()}
    covered = all(scaled_size(shape, size, "small") == size for shape in shapes)
    names = survey.test if testable(survey) else survey.train
    return _extension(survey, names) + ("" if covered else ",scale_mode=large")


def _skip(survey: DetectionSurvey) -> str:
    return " --on-bad-data skip" * any(split.bad for split in survey.splits)


def _prefix(survey: DetectionSurvey) -> str:
    return f"run/{os.path.basename(os.path.abspath(survey.path)) or 'model'}"
