"""What the objects of a training set say against a detector, before it is trained."""

from __future__ import annotations

import logging

import numpy as np

from denet.dataset.boxes.image_loader import DetectionDataset
from denet.layer.denet_sparse import DenetSparse
from denet.model.model import Model
from denet.printable import counted

log = logging.getLogger(__name__)

REACH = 0.95  # share of the objects that samples must be able to hit: less is worth a warning


def warn_of_objects(model: Model, train_set: DetectionDataset) -> None:
    """Tell that there is nothing to learn, or that samples are too few to hit all objects."""
    counts = train_set.boxes.keep(~train_set.boxes.crowd).counts
    total = int(counts.sum())
    if not total:
        log.warning("the training set has no objects: the network will learn to find nothing")
        return
    layers = [each for each in model.layers if isinstance(each, DenetSparse)]
    for sample_num in {layer.sample_num**2 for layer in layers}:
        reached = int(np.minimum(counts, sample_num).sum())
        if reached < REACH * total:
            log.warning(
                "samples can hit %d%% of the objects at most: an image has up to %d, and DNS takes "
                "%s: raise its second argument, whose square that is",
                *(100 * reached // total, counts.max(), counted(sample_num, "sample")),
            )
