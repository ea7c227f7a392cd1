"""What an option is, and the groups of options that several commands share.

An option is one row of a table: name, help, kind of value, default. Parsing, bounds, --help,
--config and --print-config all come from that row.
"""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from denet.errors import UsageError
from denet.kind import Bytes, Choice, Flag, Integer, Kind, Real

if TYPE_CHECKING:
    from denet.dataset import Dataset
    from denet.graph.kernel import Backend
    from denet.layer.options import LayerOptions
    from denet.model.model import Model

log = logging.getLogger(__name__)


class Text(Kind):
    """Any text."""

    def read(self, word: str) -> str:
        return word


class Words(Kind):
    """Text that may be given as several words; they are joined by blanks."""

    def read(self, word: str) -> str:
        return word


@dataclass(frozen=True)
class Option:
    """One row. ``count`` is None for one value, 2 for two, "+" or "*" for a list."""

    name: str
    help: str
    kind: Kind = Text()
    default: Any = None
    count: int | str | None = None
    metavar: str | tuple[str, ...] | None = None
    recorded: bool = True  # whether --print-config and PREFIX_run.yaml tell it

    @property
    def key(self) -> str:
        """The attribute name of the parsed value."""
        return self.name.replace("-", "_")

    @property
    def full_help(self) -> str:
        """The help, and the default as it would be typed."""
        if self.default is None or isinstance(self.kind, Flag):
            return self.help
        values = self.default if isinstance(self.default, list) else [self.default]
        words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        return f"{self.help} (default: {' '.join(words) or 'none'})"


Groups = Mapping[str, tuple[Option, ...]]
# whether options can do nothing beside the others, their names, why and how to mend it
Idle = tuple[object, str, str]

COUNT = Integer(1, 1_000_000_000)
COUNT_OR_ZERO = Integer(0, 1_000_000_000)
CLASS_NUM = Integer(1, 1_000_000)  # what model files may hold
IMAGE_SIDE = Integer(1, 65536)  # likewise
POSITIVE = Real(0, 1e9, above=True)
NOT_NEGATIVE = Real(0, 1e9)
FRACTION = Real(0, 1)
BELOW_ONE = Real(0, 1, below=True)
LOG_LEVELS = {"debug": 10, "verbose": 15, "info": 20, "warning": 30, "error": 40}

DEFAULT_DESC = "C[100,7] P[2] C[150,4] P[2] C[250,4] P[2] C[300,1] R"

MODEL_DESC = Option(
    "model-desc",
    "layers of the network, in one or several words",
    Words(),
    DEFAULT_DESC,
    "+",
    "LAYER",
)
SEED = Option("seed", "source of all random numbers", COUNT_OR_ZERO, 23455, metavar="N")
THREAD_NUM = Option(
    "thread-num",
    "threads that load data, 0 for one per core; of more than 4 each decodes photos in a process",
    Integer(0, 1024),
    1,
    metavar="N",
)
EXTENSION = Option(
    "extension",
    "file ending of the images, image for any (jpg,crop=64 also resizes); npy for arrays; auto for "
    "images with boxes however they lie (auto,split=0.8,crop=512: split trains on that share and "
    "tests on the others), or their layout, as yolo, roboflow, cvat, labelme, csv, voc, mscoco or "
    "imagenet (voc,2007-trainval)",
    default="png",
)
ON_BAD_DATA = Option(
    "on-bad-data",
    "what unreadable images lead to: an error that lists them, or going on without them (skip)",
    Choice(("error", "skip")),
    "error",
)
MAX_IMAGE_PIXELS = Option(
    "max-image-pixels",
    "refuse to decode images with more pixels: they may be made to exhaust memory",
    COUNT,
    89_478_485,
    metavar="N",
)

LAYER_OPTIONS = (
    Option(
        "border-mode",
        "border of convolutions: valid, full, half, same or a number of pixels",
        default="valid",
        metavar="MODE",
    ),
    Option("activation", "function that layer A applies", default="relu", metavar="NAME"),
    Option(
        "weight-init",
        "start of the weights, one per layer (the last repeats): he-forward, he-backward, "
        "xavier-forward, xavier-backward, ccv (uniform), uniform,SCHEME or a standard deviation",
        default=["he-backward"],
        count="+",
        metavar="SCHEME",
    ),
)

NETWORK = (
    Option("model", "model file to take instead of --model-desc", metavar="FILE"),
    MODEL_DESC,
    Option(
        "image-size",
        "width and height of the images in pixels",
        IMAGE_SIDE,
        [32, 32],
        2,
        ("W", "H"),
    ),
    Option("class-num", "number of classes", CLASS_NUM, 10, metavar="K"),
    *LAYER_OPTIONS,
)

ENGINE = (
    Option(
        "backend",
        "what computes on the CPU: auto takes onednn where it runs; GPU=0 before the command "
        "takes a GPU instead",
        Choice(("auto", "onednn", "numpy")),
        "auto",
    ),
    Option(
        "precision",
        "format of activations and their gradients: auto takes bf16 where the processor or the "
        "GPU is faster with it",
        Choice(("auto", "f32", "bf16")),
        "auto",
    ),
    Option("log-kernels", "log which implementation each node of the network runs", Flag(), False),
)

RECOMPUTE = Option(
    "recompute",
    "what training computes twice instead of keeping it, with the same results: nothing (none), "
    "what stands between two SPLIT (segments), also all that is cheap (cheap), which takes much "
    "less memory and somewhat more time, also convolutions behind one that is kept (half)",
    Choice(("none", "segments", "cheap", "half")),
    "segments",
)

MEMORY_LIMIT = Option(
    "memory-limit",
    "memory that training may take in all, about: instead of --recompute, the least work is done "
    "twice that stays within it, in as many segments as it takes",
    Bytes(),
    metavar="SIZE",
)

GENERAL = (
    SEED,
    Option(
        "log-level",
        "least important message shown",
        Choice(tuple(LOG_LEVELS)),
        "verbose",
    ),
    Option("quiet", "show warnings and errors only, no progress", Flag(), False),
    Option("debug", "show the Python traceback of an error", Flag(), False, recorded=False),
)


def refuse(values: Namespace, options: Iterable[Option], rows: Iterable[Idle]) -> None:
    """Raise UsageError for the first of the options that was given though it can do nothing."""
    for names, why in _idle(values, options, rows):
        raise UsageError(f"{names[0]}: {why}")


def warn(values: Namespace, options: Iterable[Option], rows: Iterable[Idle]) -> None:
    """Tell likewise of those that 2017 took, or that scripts give to one command of several."""
    for names, why in _idle(values, options, rows):
        log.warning("%s: no effect: %s", ", ".join(names), why)


def _idle(
    values: Namespace, options: Iterable[Option], rows: Iterable[Idle]
) -> Iterator[tuple[list[str], str]]:
    """Yield the options of each row that were given, as they are typed, and why they are idle."""
    known = {option.name: option for option in options}
    for idle, names, why in rows:
        listed = [known[name] for name in names.split()] if idle else []
        given = [each for each in listed if getattr(values, each.key) not in (each.default, None)]
        if given:
            yield [f"--{each.name}" for each in given], why


def option_names(options: Iterable[Option]) -> str:
    """Return the names of options as ``refuse`` takes them."""
    return " ".join(option.name for option in options)


def layer_options(values: Namespace, activation: str | None = None) -> LayerOptions:
    """Return what LAYER_OPTIONS say, --activation unless it is given; raise UsageError."""
    from denet.layer.options import LayerOptions

    return LayerOptions(activation or values.activation, values.border_mode, values.weight_init)


def network(values: Namespace) -> Model:
    """Return the model that NETWORK names: read from its file, or new with nameless classes."""
    if values.model:
        from denet.model.format import load_model

        why = "together with --model, which tells its own: leave one of the two out"
        refuse(values, NETWORK, [(True, option_names(NETWORK[1:]), why)])
        return load_model(values.model)
    from denet.model.model import Model, nameless

    width, height = values.image_size
    labels, options = nameless(values.class_num), layer_options(values)
    return Model.create(values.model_desc, (3, height, width), labels, options, values.seed)


def open_images(
    values: Namespace,
    path: str,
    model: Model | None = None,
    *,
    extension: str | None = None,
    class_owner: str = "the model",
    **settings: Any,
) -> Dataset:
    """Open the dataset at ``path`` as the options say; raise UsageError or DataError.

    With a model, one of its classes and image shape; ``class_owner`` is who has these classes, for
    messages. ``extension`` stands in the place of --extension.
    """
    from denet.dataset import open_dataset

    if model:
        settings |= {"class_labels": model.class_labels, "shape": model.input_shape}
        settings |= {"class_owner": class_owner}
    return open_dataset(
        path,
        extension or values.extension,
        **{
            "thread_num": values.thread_num,
            "seed": values.seed,
            "progress": not values.quiet,
            "on_bad_data": values.on_bad_data,
            "max_image_pixels": values.max_image_pixels,
            **settings,
        },
    )


def engine(values: Namespace) -> tuple[Backend, str]:
    """Return the backend and the precision (f32 or bf16) that ENGINE asks for."""
    from denet.backend.logged import logged
    from denet.backend.select import choose_backend

    backend = choose_backend(values.backend)
    if values.log_kernels:
        backend = logged(backend)
    automatic = values.precision == "auto"
    return backend, backend.auto_precision() if automatic else values.precision
