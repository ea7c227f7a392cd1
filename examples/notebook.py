"""A network in three calls of Python: train it, load it, ask it.

python examples/notebook.py

Draws a picture set in the directory denet-notebook, trains three classes on it, and asks the
network about a file, an image and an array. The cells can be pasted into a notebook.
"""

# %% A set of pictures: squares, discs and bars of random colours on a noisy ground
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import denet

if "--help" in sys.argv:
    sys.exit(print(__doc__))
HOME = Path("denet-notebook")
rng = np.random.default_rng(1)


def draw(kind: str) -> Image.Image:
    """Return a picture of 32x32 pixels with one shape."""
    image = Image.fromarray(rng.integers(150, 256, (32, 32, 3), np.uint8))
    x, y, half = rng.integers(10, 22, 2).tolist() + [rng.integers(5, 9).item()]
    colour = tuple(rng.integers(0, 130, 3).tolist())
    pen = ImageDraw.Draw(image)
    if kind == "disc":
        pen.ellipse((x - half, y - half, x + half, y + half), colour)
    elif kind == "square":
        pen.rectangle((x - half, y - half, x + half, y + half), colour)
    else:
        pen.rectangle((x - 2, y - half, x + 2, y + half), colour)
    return image


for part, number in (("train", 60), ("test", 20)):
    for kind in ("bar", "disc", "square"):
        directory = HOME / part / kind
        directory.mkdir(parents=True, exist_ok=True)
        for index in range(number):
            draw(kind).save(directory / f"{index}.png")

# %% Train: the options are those of model-train
run = denet.train(
    train=HOME / "train",
    test=HOME / "test",
    extension="png",
    border_mode="half",
    model_desc="C[16,3] BN A P[2] C[32,3] BN A P[2] C[32,3] BN A P.A R",
    solver="adam",
    learn_rate=0.01,
    learn_momentum=[0.9, 0.999],
    batch_size=20,
    epochs=8,
    output_prefix=HOME / "run" / "shapes",
    overwrite=True,
    quiet=True,
)
for row in run.metrics:
    print(f"epoch {row['epoch']:.0f}: cost {row['cost']:.3f}, test error {row['test_error']:.1f}%")

# %% Load the best model and ask it about a file, an image, an array, or several at once
model = denet.load(run.best, top=2)
print(model)
print(model.predict(HOME / "test" / "disc" / "0.png").classes)
image = draw("square")
print(model.predict(image).classes)
print(model.predict(np.asarray(image)).classes)
print([answer.classes[0][0] for answer in model.predict([draw(kind) for kind in ("bar", "disc")])])
