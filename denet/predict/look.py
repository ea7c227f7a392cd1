"""How a classifier looks at images: which views of each it gets, and what slides over these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from denet.dataset import Dataset
from denet.dataset.image.options import Size
from denet.evaluate.classifier import Classifier
from denet.evaluate.window_classifier import WindowClassifier
from denet.graph.kernel import Backend
from denet.model.model import Model
from denet.model.sliding import slide
from denet.predict.views import VIEWS, Views, check_covers


class Look:
    """The views of a ``name`` in VIEWS, for a model, and the classifier of them.

    Raises DescriptionError where nothing of the network can slide over such views.
    """

    def __init__(self, model: Model, name: str):
        self.model, self.name, self.views = model, name, VIEWS[name]
        slides = self.views.slides
        self._sliding = slide(model, windows=slides == "trunk") if slides else None

    def cut(
        self, images: Dataset, size: Size, picture: Callable[[int], np.ndarray] | None = None
    ) -> Views:
        """Return these views of each image; see Views.

        Where pictures are whole images, and what slides sees all of them, they may have any size.
        """
        own, views, fit = self.model.input_shape, self.views, None
        width, height = size if picture else images.shape[:0:-1]
        check_covers((images.shape[0], height, width), own)
        if not self._sliding:
            shape = own
        elif views.crops:
            shape = own[0], min(height, size[1]), min(width, size[0])
        else:
            fit = self._sliding.trimmed if picture else None
            shape = own[0], *self._sliding.trimmed((width, height))[::-1]
        return Views(images, shape, views, size, picture, fit)

    def classifier(
        self, images: Dataset, batch_size: int, backend: Backend, precision: str = "f32"
    ) -> Classifier:
        """Return what classifies views in batches of so many at most, of one image if of any size.

        Raises UsageError for a model that is no classifier, and OutOfMemoryError.
        """
        any_size = images.any_size
        number = images.view_num if any_size else min(batch_size, len(images))
        if not self._sliding:
            return Classifier(self.model, number, backend, precision)
        _, height, width = images.shape
        if self._sliding.head:
            size = width, height
            return WindowClassifier(self._sliding, size, number, backend, precision, any_size)
        model, at = self._sliding.at(width, height), self._sliding.at if any_size else None
        return Classifier(model, number, backend, precision, at)
