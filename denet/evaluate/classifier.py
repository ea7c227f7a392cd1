"""A model made ready to classify, and its errors on a dataset."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from denet.dataset import Dataset
from denet.dataset.class_names import names_text
from denet.dataset.loader import Batch, Images
from denet.errors import DataError
from denet.evaluate.predictor import Predictor
from denet.evaluate.topk import TopErrors
from denet.model.model import Model
from denet.printable import printable


class Classifier(Predictor):
    """A model that gives class probabilities. Raises UsageError for one that does not."""

    needs = "class_probability"
    lacking = "it gives no class probabilities: end its network with R"

    def probabilities(self, data: Images) -> np.ndarray:
        """Return class probabilities (n, k) float32 of normalised images (n, h, w, c).

        The array is valid until the next call; n is at most ``batch_size``.
        """
        return self.outputs(data)["class_probability"]

    def errors(self, dataset: Dataset, batches: Iterable[Batch]) -> TopErrors:
        """Return the top-1 and top-5 errors over these batches, but for damaged images."""
        errors = TopErrors(len(self.model.class_labels))
        for batch in batches:
            good = dataset.usable(batch.indices)
            found = self.probabilities(batch.data)
            errors.add(found[good], batch.targets["class_index"][good])
        return errors


def check_fit(model: Model, dataset: Dataset) -> None:
    """Raise DataError unless the dataset has the model's classes, in order, and image shape."""
    if tuple(dataset.shape) != tuple(model.input_shape):
        found, wanted = ("x".join(map(str, s)) for s in (dataset.shape, model.input_shape))
        raise DataError(
            f"dataset: images of {found} (channels x height x width): the model takes {wanted}: "
            "resize the images or use model-modify --image-size"
        )
    if dataset.class_labels != model.class_labels:
        raise DataError(
            f"dataset: its classes are not the model's: {_difference(dataset, model)}: "
            "model-train --init-partial keeps the weights that fit, as does model-modify "
            f"--class-num {len(dataset.class_labels)} first"
        )


def _difference(dataset: Dataset, model: Model) -> str:
    """Say how the two lists of classes differ."""
    here, there = dataset.class_labels, model.class_labels
    places = {
        "only in the dataset": [name for name in here if name not in set(there)],
        "only in the model": [name for name in there if name not in set(here)],
    }
    different = [f"{place}: {names_text(names)}" for place, names in places.items() if names]
    if not different:
        number = next(each for each, name in enumerate(here) if name != there[each])
        one, other = printable(here[number]), printable(there[number])
        return (
            f"the same {len(here)} names in another order (class {number + 1} is {one} in the "
            f"dataset, {other} in the model)"
        )
    return "; ".join([f"{len(here)} where the model has {len(there)}", *different])
