"""Time saving the state and the model of a ResNet-34 in training; print one JSON object.

The share is that of one state and one model in an epoch of 50,000 images of 32x32.

    python tests/bench/saving.py --directory /tmp/saving
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from denet.backend.select import choose_backend
from denet.dataset import open_dataset
from denet.model.format import save_model
from denet.model.model import Model
from denet.training.settings import TrainSettings
from denet.training.trainer import Trainer

TEXT = (
    "C.B[64,7,2] BN A P[3,2,1] nRSN.O[3,64,3] nRSN.O[4,128,3,2] nRSN.O[6,256,3,2] "
    "nRSN.O[3,512,3,2] P.A R"
)
IMAGES, EPOCH_IMAGES, REPEATS = 1024, 50_000, 7


def median_seconds(call: Callable[[], None]) -> float:
    """Return the median time of a few calls."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def main() -> None:
    """Train one epoch of random images, then save again and again."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--directory", type=Path, required=True)
    directory = options.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    np.save(directory / "x_data.npy", rng.integers(0, 256, (IMAGES, 3, 32, 32), np.uint8))
    np.save(directory / "x_labels.npy", np.arange(IMAGES, dtype=np.int32) % 10)
    train_set = open_dataset(directory / "x", "npy")
    model = Model.create(TEXT, train_set.shape, train_set.class_labels)
    prefix = str(directory / "run" / "model")
    settings = TrainSettings(prefix, overwrite=True, epochs=1, learn_momentum=(0.9,))
    trainer = Trainer(model, train_set, None, settings, choose_backend(), "f32")
    (row,) = trainer.run()
    state = median_seconds(trainer._save_state)
    saved = median_seconds(lambda: save_model(model, trainer.files.epoch(1)))
    epoch = EPOCH_IMAGES / row["images_per_second"]
    share = (state + saved) / epoch
    result = {"state_seconds": state, "model_seconds": saved, "epoch_seconds": epoch}
    print(json.dumps(result | {"share": share, "state_bytes": trainer.files.state.stat().st_size}))


if __name__ == "__main__":
    main()
