"""Draw a small picture set: 32x32 PNG files of six shapes in DIR/{train,test}/<shape>/."""

import argparse
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 32  # pixels
SUPERSAMPLING = 4  # drawn larger, then reduced, for smooth edges
COUNTS = {"train": 400, "test": 100}  # pictures per shape


def polygon(corners: int, inner: float = 1.0) -> list[tuple[float, float]]:
    """Return points on the unit circle, every second one drawn in to radius ``inner``."""
    count = corners if inner == 1.0 else 2 * corners
    return [
        (radius * math.sin(2 * math.pi * i / count), -radius * math.cos(2 * math.pi * i / count))
        for i in range(count)
        for radius in [1.0 if i % 2 == 0 else inner]
    ]


SHAPES = {
    "circle": polygon(40),
    "cross": [(-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3)]
    + [(0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3)],
    "hexagon": polygon(6),
    "square": polygon(4),
    "star": polygon(5, inner=0.45),
    "triangle": polygon(3),
}


def colour(rng: random.Random, low: int, high: int) -> tuple[int, int, int]:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def draw(points: list[tuple[float, float]], rng: random.Random) -> Image.Image:
    """Return one picture: the shape turned, scaled, moved and coloured at random, with noise."""
    large = SIZE * SUPERSAMPLING
    dark_on_light = rng.random() < 0.5
    light, dark = colour(rng, 140, 255), colour(rng, 0, 110)
    picture = Image.new("RGB", (large, large), light if dark_on_light else dark)
    angle, radius = rng.uniform(0, 2 * math.pi), rng.uniform(0.22, 0.42) * large
    x0, y0 = (rng.uniform(radius, large - radius) for _ in range(2))
    turned = [
        (
            x0 + radius * (x * math.cos(angle) - y * math.sin(angle)),
            y0 + radius * (x * math.sin(angle) + y * math.cos(angle)),
        )
        for x, y in points
    ]
    ImageDraw.Draw(picture).polygon(turned, fill=dark if dark_on_light else light)
    small = picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    noise = Image.frombytes("RGB", small.size, rng.randbytes(3 * SIZE * SIZE))
    return Image.blend(small, noise, 0.15)


def main(directory: str) -> None:
    rng = random.Random(0)
    for split, count in COUNTS.items():
        for name, points in SHAPES.items():
            folder = Path(directory, split, name)
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                draw(points, rng).save(folder / f"{index:04d}.png")
    print(
        f"drew {sum(COUNTS.values()) * len(SHAPES)} pictures of {len(SHAPES)} shapes: {directory}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", metavar="DIR", help="where to draw; it is made")
    main(parser.parse_args().directory)
