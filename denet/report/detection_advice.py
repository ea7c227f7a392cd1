"""The command lines that a detector of somebody's own objects starts with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from denet.dataset.image.augment import scaled_size
from denet.dataset.image.decode import size_text
from denet.dataset.survey.boxes import DetectionSurvey
from denet.detect.prior import prior_boxes
from denet.printable import word
from denet.report.detector_choice import SMALL_OBJECT, DetectorChoice

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
_DETECTOR = """DNC.C[48,10] DNS.P[5,{samples},0.01,0.5,1,1,{levels}]
        C.B[{head},1] BNA C.B[{head},1] BNA DND[0.5,1,10]"""

_TEST_EPOCHS = 10  # between tests at most: enough of them where --minutes leave few epochs


def train_command(survey: DetectionSurvey, choice: DetectorChoice, bf16: bool = False) -> str:
    """Return a model-train command line that runs as it stands, in several lines."""
    path = word(survey.path)
    view = f"crop_mode=denet,area_min=0.25,augment_photo{',mosaic=0.5' * choice.mosaic}"
    detector = _DETECTOR.format(
        samples=choice.sample_num, levels=choice.prior_levels, head=choice.head
    )
    lines = [
        f"model-train --train {path} --extension {_extension(survey, choice, survey.train)},{view}",
        *_test(survey, choice),
        f"--border-mode half --model-desc '{_NETWORKS[choice.corner_stride]}\n        {detector}'",
        "--solver adamw --learn-rate 0.003 --learn-momentum 0.9 0.999 --learn-decay 0.05",
        f"--learn-warmup {choice.warmup:.2g} --learn-cosine --average ema",
        f"--epochs {choice.epochs} --batch-size {choice.batch_size} --thread-num 0{_skip(survey)}"
        + " --precision bf16" * bf16,
        f"--disable-intermediate --output-prefix {word(_prefix(survey))}",
    ]
    return " \\\n    ".join(lines)


def predict_command(survey: DetectionSurvey, choice: DetectorChoice) -> str:
    """Return the model-predict command line that draws what was found, and evaluates it.

    Without a test it only draws: on images that are trained on, precision says nothing.
    """
    prefix = _prefix(survey)
    model = f"{prefix}_epoch{choice.epochs:03d}_final.mdl"
    tested = survey.test if survey.testable else survey.train
    mode = "detect,voc,image" if survey.testable else "detect,image"
    lines = [
        f"model-predict --predict-mode {mode} --model {word(model)}",
        f"--input {word(survey.path)} --extension {_extension(survey, choice, tested)}"
        + _skip(survey),
        f"--results {word(f'{prefix}_found/{os.path.basename(prefix)}')}",
    ]
    return " \\\n    ".join(lines)


def hints(survey: DetectionSurvey, choice: DetectorChoice, bf16: bool = False) -> Iterator[str]:
    """Yield how the command lines follow from the data, and what to change."""
    size, stride, samples = size_text(choice.size), choice.corner_stride, choice.sample_num
    prior = len(prior_boxes(choice.prior_levels))
    images = sum(map(len, survey.named(survey.train)))
    few = choice.side < SMALL_OBJECT / 2
    yield (
        f"(at {size} the median object has sides of {choice.side:.0f} pixels"
        + (
            ": too few to find it; cut the images into parts)"
            if few
            else "; a larger crop shows more)"
        )
    )
    yield (
        f"(so corners are looked for on a map of 1/{stride} of the input, as objects are "
        f"{'large' if stride == max(_NETWORKS) else 'small'})"
    )
    priors = f"{prior} prior boxes of all sizes, " * (prior > 0)
    yield f"({samples}x{samples} samples: {priors}{samples**2 - prior} boxes between corners)"
    yield (
        f"({choice.epochs} epochs of {images} images: --dry-run tells how long they take, "
        "--minutes 10 instead of --epochs takes that time, and names the model by its epochs)"
    )
    if choice.mosaic:
        yield "(mosaic: half of the samples show four images, which makes much of few)"
    else:
        yield "(no mosaics of four images and no prior boxes: the objects are too small for them)"
    if bf16:
        yield "(this processor computes in bf16, in little more than half the time)"
    yield _which_model(survey, choice)
    if survey.kind == "mscoco" and survey.testable:
        install = "" if find_spec("hotcoco") else ": pip install hotcoco"
        yield f"(detect,mscoco,image gives the numbers of MSCOCO{install})"


def _which_model(survey: DetectionSurvey, choice: DetectorChoice) -> str:
    if survey.testable:
        return "(the last model is the one to use: _best.mdl is chosen by the test images)"
    if choice.held_out:
        return (
            f"(--val-split holds {choice.held_out:.0%} of the images out of training: the "
            "precision to believe is that of the log, not that of images that are trained on)"
        )
    return "(too few images to hold some out: nothing will tell how well others are understood)"


def _test(survey: DetectionSurvey, choice: DetectorChoice) -> list[str]:
    """Return the options of the test, a line or none."""
    every = f"--test-epochs {min(max(choice.epochs // 10, 1), _TEST_EPOCHS)}"
    if survey.testable:
        extension = _extension(survey, choice, survey.test)
        return [f"--test {word(survey.path)} --test-extension {extension} {every}"]
    return [f"--val-split {choice.held_out:.2g} {every}"] if choice.held_out else []


def _extension(survey: DetectionSurvey, choice: DetectorChoice, names: Sequence[str]) -> str:
    """Return the --extension under which prediction sees images whole."""
    width, height = size = choice.size
    crop = str(width) if width == height else size_text(size)
    splits = survey.words or [name for name in names if name != "all"]
    shapes = {(width, height) for width, height in survey.sizes().tolist()}
    covered = all(scaled_size(shape, size, "small") == size for shape in shapes)
    whole = [] if covered else ["scale_mode=large"]
    return word(",".join([survey.kind, *splits, f"crop={crop}", *whole]))


def _skip(survey: DetectionSurvey) -> str:
    return " --on-bad-data skip" * any(split.bad for split in survey.splits)


def _prefix(survey: DetectionSurvey) -> str:
    return f"run/{os.path.basename(os.path.abspath(survey.path)) or 'model'}"
