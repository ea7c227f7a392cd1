"""A classifier and a detector with random weights as files, and photos to ask them about."""

from pathlib import Path

import numpy as np
from PIL import Image

from denet.layer.options import LayerOptions
from denet.model.format import save_model
from denet.model.model import Model

CLASSES = ["ant", "bee", "<b>cat</b>"]


def save_classifier(path: Path) -> None:
    """Save a classifier of 24x24 pixels."""
    save_model(Model.create("C[8,3] BN A P.A R", (3, 24, 24), CLASSES, seed=3), path)


def save_detector(path: Path, classes: tuple[str, ...] = ("cat", "dog")) -> None:
    """Save a detector whose map of 2x2 cells are all likely corners: they span the whole input."""
    network = "C[8,3,4] BN A P.XA[4,6] DNC[8,1] DNS[2,3] C[8,1] BNA DND[0.5,1,1]"
    model = Model.create(network, (3, 32, 48), list(classes), LayerOptions(), 0)
    model.parameters[4]["corner.bias"][:] = -5
    save_model(model, path)


def save_photos(directory: Path) -> list[Path]:
    """Write photos of several sizes and kinds: the second is turned by EXIF, the fourth is grey."""
    rng = np.random.default_rng(0)
    paths = []
    kinds = {"a.png": (48, 32), "b.jpg": (60, 40), "c.png": (10, 100), "d.png": (300, 200)}
    for name, (width, height) in kinds.items():
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "b.jpg" else 1
        paths.append(directory / name)
        (image.convert("L") if name == "d.png" else image).save(paths[-1], exif=exif)
    return paths
