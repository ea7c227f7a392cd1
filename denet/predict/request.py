"""What model-predict is asked for: which images, how the model looks at them, where answers go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from denet.evaluate.detect_params import DetectParams

DENSE, MULTICROP = "dense", "multicrop"
VIEW_NAMES = ("centre", "alex10", "caffe10", "ccv10", "ccv30", DENSE)
EVALUATIONS = ("voc", "mscoco", "imagenet")
# mode: the words that may follow it
MODES: dict[str, tuple[str, ...]] = {
    "single": (),
    MULTICROP: (),
    "segment": (),
    "detect": ("image", *EVALUATIONS),
}

LAYOUTS = ("voc", "coco", "yolo")  # of datasets that --format makes of what is found


@dataclass(frozen=True)
class Request:
    """What is asked of a model; fields are as the options of model-predict of the same names.

    mode   one of MODES
    words  that follow it: of detect how what is found is evaluated, and image to draw it
    """

    input: tuple[str, ...]
    extension: str | None
    mode: str
    words: frozenset[str]
    views: str | None
    params: DetectParams
    tiles: int | None
    overlap: float
    frame_step: int
    min_score: float | None
    truth: str | None
    batch_size: int
    thread_num: int | None
    on_bad_data: str
    max_image_pixels: int
    seed: int
    quiet: bool
    format: str | None
    top: int
    results: str | None
    report: str | None
    draw: str | None
    font: str | None

    @property
    def place(self) -> str:
        """The input in words."""
        return " ".join(self.input)

    @property
    def view_set(self) -> str | None:
        """The name of the views that are averaged, None for the image as it is."""
        return "alex10" if self.mode == MULTICROP else self.views

    @property
    def shown_score(self) -> float:
        """The least score of what people are told and shown, and of labels."""
        from denet.report.detections import LEAST_SCORE

        return LEAST_SCORE if self.min_score is None else self.min_score

    @property
    def fills_stdout(self) -> bool:
        """Whether answers that a program reads go to stdout, so that no numbers may stand there."""
        return self.mode != "detect" and bool(self.format) and not self.results
