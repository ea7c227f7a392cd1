"""Draw three detection sets that are hard for corners, in the VOC layout, below DIR.

soft    animals without outlines: large, 1 to 5 in a picture, few pictures, one class
crowd   small objects of three classes, 15 to 60 in a picture
detail  ten classes that differ in one detail only
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

Box = tuple[int, int, int, int]  # x0, y0, x1, y1: first and last pixels of an object
Object = tuple[str, Box]
Random = np.random.Generator

VISIBLE = 0.5  # of the opacity of an object, from which a pixel is inside its box
SHARED = 0.3  # of the smaller of two boxes, at most

OBJECT = """  <object>
    <name>{}</name>
    <difficult>0</difficult>
    <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
  </object>
"""
ANNOTATION = """<annotation>
  <size><width>{}</width><height>{}</height><depth>3</depth></size>
{}</annotation>
"""


def texture(rng: Random, width: int, height: int, grain: float) -> np.ndarray:
    """Return noise (height, width, 3) of three sizes around a colour, 0 to 1."""
    pixels = np.tile(rng.uniform(0.15, 0.85, 3), (height, width, 1))
    for cells, strength in ((3, 0.13), (12, 0.09), (60, grain)):
        coarse = rng.normal(0, strength, (cells, cells, 3)) * 0.6
        coarse += rng.normal(0, strength, (cells, cells, 1))
        scale = (height / cells, width / cells, 1)
        pixels += zoom(coarse, scale, order=1, grid_mode=True, mode="nearest")
    return pixels


def ellipse(
    x: np.ndarray,
    y: np.ndarray,
    centre: tuple[float, float],
    radii: tuple[float, float],
    turn: float,
) -> np.ndarray:
    """Return how far inside an ellipse points are: 1 at its centre, 0 on its line."""
    u, v = x - centre[0], y - centre[1]
    along, across = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
    return 1 - np.hypot(along / radii[0], across / radii[1])


def animal(rng: Random, side: int) -> np.ndarray:
    """Return the opacity (side, side) of a body with head, legs and tail, without an outline."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    lean = rng.uniform(-0.7, 0.7)
    inside = ellipse(x, y, (0, 0), (rng.uniform(0.45, 0.6), rng.uniform(0.22, 0.32)), lean)
    ahead = np.array([np.cos(lean), np.sin(lean)])
    parts = [(0.62 * ahead + [0, -0.18], (0.2, 0.14), rng.uniform(-1, 1))]
    parts += [(-0.6 * ahead + [0, 0.1], (0.3, 0.06), lean + rng.uniform(-0.6, 0.6))]
    for place in (-0.35, 0.3):
        leg = place * ahead + [0, 0.38]
        parts += [(leg, (0.08, rng.uniform(0.25, 0.38)), rng.uniform(-0.4, 0.4))]
    for centre, radii, turn in parts:
        inside = np.maximum(inside, ellipse(x, y, tuple(centre), radii, turn))
    if rng.random() < 0.5:
        inside = inside[:, ::-1]
    softness = rng.uniform(0.25, 0.5)
    return np.clip(0.5 + inside / softness, 0, 1)


def seed(kind: int) -> Callable[[Random, int], np.ndarray]:
    """Return what draws the opacity of a disc (0), a bar (1) or a ring (2), turned at random."""

    def draw(rng: Random, side: int) -> np.ndarray:
        y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
        turn = rng.uniform(0, np.pi)
        radii = ((0.8, 0.8), (0.95, 0.35), (0.9, 0.9))[kind]
        inside = ellipse(x, y, (0, 0), radii, turn)
        if kind == 2:
            inside = np.minimum(inside, 0.45 - inside)
        return np.clip(0.5 + inside * side / 4, 0, 1)

    return draw


def token(number: int) -> Callable[[Random, int], np.ndarray]:
    """Return what draws a rounded plate with ``number`` holes on a ring, not turned."""

    def draw(rng: Random, side: int) -> np.ndarray:
        y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
        inside = 0.95 - (x**4 + y**4) ** 0.25
        start = rng.uniform(0, 2 * np.pi)
        for hole in range(number):
            angle = start + 2 * np.pi * hole / max(number, 1)
            centre = 0.55 * np.cos(angle), 0.55 * np.sin(angle)
            inside = np.minimum(inside, np.hypot(x - centre[0], y - centre[1]) - 0.17)
        return np.clip(0.5 + inside * side / 3, 0, 1)

    return draw


class Set(NamedTuple):
    """Sizes are in pixels; an object has a side between the two, of equal logarithms."""

    size: tuple[int, int]  # width, height
    counts: dict[str, int]
    objects: tuple[int, int]
    sides: tuple[int, int]
    contrast: float
    kinds: dict[str, Callable[[Random, int], np.ndarray]]


SETS = {
    "soft": Set(
        (480, 360), {"train": 120, "test": 60}, (1, 5), (110, 330), 0.22, {"animal": animal}
    ),
    "crowd": Set(
        (480, 360),
        {"train": 150, "test": 50},
        (15, 60),
        (14, 36),
        0.3,
        {"disc": seed(0), "bar": seed(1), "ring": seed(2)},
    ),
    "detail": Set(
        (480, 360),
        {"train": 400, "test": 100},
        (1, 6),
        (48, 120),
        0.4,
        {f"holes{number}": token(number) for number in range(10)},
    ),
}


def area(box: Box) -> int:
    return max(0, box[2] - box[0] + 1) * max(0, box[3] - box[1] + 1)


def meet(a: Box, b: Box) -> bool:
    both = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return area(both) > SHARED * min(area(a), area(b))


def objects(rng: Random, wanted: Set, pixels: np.ndarray) -> Iterator[Object]:
    """Draw objects into pixels; yield each."""
    width, height = wanted.size
    boxes: list[Box] = []
    for _ in range(int(rng.integers(wanted.objects[0], wanted.objects[1] + 1))):
        for _ in range(20):
            side = round(float(np.exp(rng.uniform(*np.log(wanted.sides)))))
            kind = str(rng.choice(list(wanted.kinds)))
            opacity = wanted.kinds[kind](rng, side)
            x, y = (
                int(rng.integers(-side // 8, length - 7 * side // 8)) for length in (width, height)
            )
            left, top = max(x, 0), max(y, 0)
            opacity = opacity[top - y : height - y, left - x : width - x]
            rows, columns = (np.flatnonzero((opacity > VISIBLE).any(axis=axis)) for axis in (1, 0))
            if not len(rows):
                continue
            box = (left + columns[0], top + rows[0], left + columns[-1], top + rows[-1])
            if not any(meet(box, other) for other in boxes):
                break
        else:
            continue
        boxes.append(box)
        place = slice(top, top + opacity.shape[0]), slice(left, left + opacity.shape[1])
        behind = pixels[place].mean(axis=(0, 1))
        fur = texture(rng, opacity.shape[1], opacity.shape[0], 0.06)
        colour = behind + wanted.contrast * rng.choice([-1, 1]) * rng.uniform(0.5, 1.2, 3)
        fur += np.clip(colour, 0.05, 0.95) - fur.mean(axis=(0, 1))
        pixels[place] += opacity[..., None] * (fur - pixels[place])
        yield kind, box


def picture(rng: Random, wanted: Set) -> tuple[Image.Image, list[Object]]:
    """Return one picture with noise, and what is in it."""
    pixels = texture(rng, *wanted.size, 0.1)
    found = list(objects(rng, wanted, pixels))
    pixels = gaussian_filter(pixels, (0.6, 0.6, 0)) + rng.normal(0, 0.03, pixels.shape)
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8)), found


def draw(directory: Path, name: str) -> None:
    """Draw a set below a directory."""
    wanted = SETS[name]
    folders = [directory / each for each in ("JPEGImages", "Annotations", "ImageSets/Main")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    pictures, annotations, sets = folders
    for number, (split, count) in enumerate(wanted.counts.items()):
        rng = np.random.default_rng([list(SETS).index(name), number])
        names = [f"{split}_{index:04d}" for index in range(count)]
        for each in names:
            image, found = picture(rng, wanted)
            image.save(pictures / f"{each}.jpg", quality=90)
            lines = [OBJECT.format(kind, *(side + 1 for side in box)) for kind, box in found]
            (annotations / f"{each}.xml").write_text(
                ANNOTATION.format(*wanted.size, "".join(lines))
            )
        (sets / f"{split}.txt").write_text("\n".join(names) + "\n")
    print(f"drew {sum(wanted.counts.values())} pictures: {directory}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", metavar="DIR", help="where to draw; it is made")
    directory = Path(parser.parse_args().directory)
    for name in SETS:
        draw(directory / name, name)
