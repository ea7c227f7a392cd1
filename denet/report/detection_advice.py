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
from denet.detect.prior import prior_boxes
from denet.report.survey_text import word

# A trunk down to 1/32 of the input and up again to 1/8, where the corners of large objects are
# looked for; or down to 1/16 and up to 1/4, for small ones. Channels are multiples of 16, which the
# processor's bf16 instructions like.
_NETWORKS = {
    8: """C.B[32,3,2] BN A RSN.O[32,3,2] RSN.O[64,3,2] SKIPSRC[0] nRSN.O[2,128,3,2]
        SKIPSRC[1] nRSN.O[2,256,3,2] DC.B[128,3,2] BNA SKIP[1] C.B[128,3] BNA
        DC.B[64,3,2] BNA SKIP[0] C.B[64,3] BNA""",
    4: """C.B[32,3,2] BN A RSN.O[32,3,2] SKIPSRC[0] RSN.O[64,3,2] SKIPSRC[1]
        nRSN.O[3,128,3,2] DC.B[64,3,2] BNA SKIP[1] C.B[64,3] BNA
        DC.B[32,3,2] BNA SKIP[0] C.B[64,3] BNA""",
}
_DETECTOR = """DNC.C[48,10] DNS[5,{},0.01,0.5,0,1,{}] C.B[128,1] BNA C.B[128,1] BNA
        DND[0.5,1,10]"""
_STRIDE = {8: 32, 4: 16}  # pixels of the input for one of the coarsest map: sides are multiples
_LARGE_OBJECT = 64  # pixels of the input: a side of the median object that suits corners at 1/8
_LONGER = {8: 256, 4: 320}  # pixels of the longer side of the input, where images are not smaller
_LARGEST = 640  # pixels of it at most, where small objects ask for more
SMALL_OBJECT = 16  # pixels of the input: a side of the median object, at least
_PRIOR_LEVELS = 4  # where objects are not small
_SAMPLES = 16  # by corners and at random, for each object of the most crowded image
_SAMPLE_NUM = (12, 28)  # along each side of the samples, at least and at most
_SEEN = 60_000  # images of all epochs together that are wanted
_EPOCHS = (12, 500)  # at least and at most
_HELD_OUT = 0.1  # of the images, where there are none to test on
_SMALL_INPUT = 160 * 160  # pixels, up to which batches are larger


def train_command(survey: DetectionSurvey, bf16: bool = False) -> str:
    """Return a model-train command line that runs as it stands, in several lines."""
    path, epochs = word(survey.path), _epochs(survey)
    batch = 16 if math.prod(network_size(survey)) <= _SMALL_INPUT else 8
    mosaic = ",mosaic=0.5" * _larger_than_small(survey)
    shown = f"{_extension(survey, survey.train)},crop_mode=denet,area_min=0.25,augment_photo"
    test = f"--test {path} --test-extension {_extension(survey, survey.test)}"
    if not testable(survey):
        test = f"--val-split {_HELD_OUT:g}"
    detector = _DETECTOR.format(_sample_num(survey), _prior_levels(survey))
    network = f"{_NETWORKS[_corner_stride(survey)]}\n        {detector}"
    lines = [
        f"model-train --train {path} --extension {shown}{mosaic}",
        f"{test} --test-epochs {max(1, epochs // 10)}",
        f"--border-mode half --model-desc '{network}'",
        "--solver adamw --learn-rate 0.001 --learn-momentum 0.9 0.999 --learn-decay 0.05",
        f"--learn-warmup {min(2, epochs / 10):g} --learn-cosine --average ema",
        f"--epochs {epochs} --batch-size {batch} --thread-num 0{_skip(survey)}"
        + " --precision bf16" * bf16,
        f"--disable-intermediate --output-prefix {word(_prefix(survey))}",
    ]
    return " \\\n    ".join(lines)


def predict_command(survey: DetectionSurvey) -> str:
    """Return the model-predict command line that evaluates what was trained, and draws."""
    prefix = _prefix(survey)
    model = f"{prefix}_epoch{_epochs(survey):03d}_final.mdl"
    tested = survey.test if testable(survey) else survey.train
    lines = [
        f"model-predict --predict-mode detect,voc,image --model {word(model)}",
        f"--input {word(survey.path)} --extension {_extension(survey, tested)}{_skip(survey)}",
        f"--results {word(f'{prefix}_found/{os.path.basename(prefix)}')}",
    ]
    return " \\\n    ".join(lines)


def hints(survey: DetectionSurvey, bf16: bool = False) -> Iterator[str]:
    """Yield how the command lines follow from the data, and what to change."""
    side, size = float(np.median(sides_in_network(survey))), size_text(network_size(survey))
    stride, samples = _corner_stride(survey), _sample_num(survey)
    prior = len(prior_boxes(_prior_levels(survey)))
    images = sum(map(len, survey.named(survey.train)))
    yield f"(at {size} the median object has sides of {side:.0f} pixels; a larger crop shows more)"
    yield (
        f"(so corners are looked for on a map of 1/{stride} of the input, as objects are "
        f"{'large' if stride == max(_NETWORKS) else 'small'})"
    )
    fixed = f"{prior} fixed boxes of all sizes, " * (prior > 0)
    yield f"({samples}x{samples} samples: {fixed}{samples**2 - prior} boxes between corners)"
    yield (
        f"({_epochs(survey)} epochs of {images} images: --dry-run tells how long they take, "
        "--minutes 10 instead of --epochs takes that time)"
    )
    if _larger_than_small(survey):
        yield "(mosaic: half of the samples show four images, which makes much of few)"
    else:
        yield "(no mosaics of four images and no fixed boxes: the objects are too small for them)"
    if bf16:
        yield "(this processor computes in bf16, in little more than half the time)"
    if testable(survey):
        yield "(the last model is the one to use: _best.mdl is chosen by the test images)"
    else:
        yield f"(--val-split holds {_HELD_OUT:.0%} of the images out of training, to test on)"
    if survey.kind == "mscoco":
        install = "" if find_spec("hotcoco") else ": pip install hotcoco"
        yield f"(detect,mscoco,image gives the numbers of MSCOCO{install})"


def network_size(survey: DetectionSurvey) -> tuple[int, int]:
    """Return (width, height) of the network's input: the median image, made smaller."""
    stride = _STRIDE[_corner_stride(survey)]
    if survey.crop:
        wanted = np.array(survey.crop)
    else:
        median, side = np.median(survey.sizes(), axis=0), float(np.median(_sides(survey)))
        longer = float(median.max())
        scale = max(min(1, _LONGER[_corner_stride(survey)] / longer), SMALL_OBJECT / side)
        wanted = min(scale, _LARGEST / longer) * median
    width, height = (max(2, round(float(side) / stride)) * stride for side in wanted)
    return width, height


def _corner_stride(survey: DetectionSurvey) -> int:
    """Return the pixels of the input for one of the map that corners are looked for on."""
    longer = float(np.median(survey.sizes(), axis=0).max())
    wanted = max(survey.crop) if survey.crop else min(_LONGER[8], longer)
    side = float(np.median(_sides(survey))) * wanted / longer
    return 8 if side >= _LARGE_OBJECT else 4


def _larger_than_small(survey: DetectionSurvey) -> bool:
    """Whether objects are still seen at half their size, as in mosaics, and fixed boxes hit."""
    return float(np.median(sides_in_network(survey))) >= 2 * SMALL_OBJECT


def _prior_levels(survey: DetectionSurvey) -> int:
    return _PRIOR_LEVELS if _larger_than_small(survey) else 0


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


def _sides(survey: DetectionSurvey) -> np.ndarray:
    """Return the sides of squares as large as the objects, in pixels of their images."""
    sides: np.ndarray = np.sqrt(area(survey.objects()[0]))
    return sides


def _epochs(survey: DetectionSurvey) -> int:
    count = sum(map(len, survey.named(survey.train)))
    return min(max(_SEEN // count, _EPOCHS[0]), _EPOCHS[1])


def _sample_num(survey: DetectionSurvey) -> int:
    most = max(int(split.objects.counts.max()) for split in survey.named(survey.train))
    places = len(prior_boxes(_prior_levels(survey))) + _SAMPLES * min(most, BOX_CAPACITY)
    return min(max(math.ceil(math.sqrt(places)), _SAMPLE_NUM[0]), _SAMPLE_NUM[1])


def _extension(survey: DetectionSurvey, names: Sequence[str]) -> str:
    """Return the --extension under which prediction sees images whole."""
    width, height = size = network_size(survey)
    crop = str(width) if width == height else size_text(size)
    splits = [name for name in names if name != "all"]
    shapes = {(width, height) for width, height in survey.sizes().tolist()}
    covered = all(scaled_size(shape, size, "small") == size for shape in shapes)
    whole = [] if covered else ["scale_mode=large"]
    return word(",".join([survey.kind, *splits, f"crop={crop}", *whole]))


def _skip(survey: DetectionSurvey) -> str:
    return " --on-bad-data skip" * any(split.bad for split in survey.splits)


def _prefix(survey: DetectionSurvey) -> str:
    return f"run/{os.path.basename(os.path.abspath(survey.path)) or 'model'}"
