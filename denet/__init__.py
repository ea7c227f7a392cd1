"""DeNet trains, tests and ships convolutional networks: from the shell, and from Python.

    run = denet.train(train="photos/train", test="photos/test", model_desc="C[64,3] BN A P.A R")
    model = denet.load("run/a_best.mdl")
    answer = model.predict("photo.jpg")

do what model-train and model-predict do. Errors for people are ``denet.errors.DenetError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from denet.version import __version__ as __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from denet.interface import LoadedModel, Run, Value


def load(
    path: str | os.PathLike[str],
    *,
    top: int = 5,
    batch_size: int = 100,
    thread_num: int = 1,
    params: Sequence[str] = (),
    backend: str = "auto",
    precision: str = "auto",
) -> LoadedModel:
    """Return the model of a file, ready to predict.

    The options are those of model-predict: ``top`` classes are told for each picture, of which
    ``batch_size`` are computed together and read by ``thread_num`` threads; ``params`` are those of
    detection, such as ["nmsThreshold=0.4"]. Raises UsageError for an option that does not fit,
    DataError for a file that is no model.
    """
    from denet.interface import LoadedModel

    options: dict[str, Value] = {
        "top": top,
        "batch_size": batch_size,
        "thread_num": thread_num,
        "params": [*params] or None,
        "backend": backend,
        "precision": precision,
    }
    return LoadedModel(path, options)


def train(**options: Value) -> Run:
    """Train a network as model-train does, with its options by name; return the run.

    ``learn_rate=0.1`` is --learn-rate 0.1, a list gives several words, True and False stand for the
    option and its --no-; ``config`` names a YAML file of options. What is left out has the default
    of the command: see model-train --help. The log goes to stderr, with ``quiet=True`` only
    warnings.

        run = denet.train(train="photos/train", test="photos/test", extension="image",
                          model_desc="C[64,3] BN A P.A R", epochs=5, output_prefix="run/a")

    Raises UsageError, DataError, DivergedError or OutOfMemoryError, as the command ends with them.
    Ctrl-C saves where it stopped, and ``resume=True`` goes on.
    """
    from denet.interface import train

    return train(options)
