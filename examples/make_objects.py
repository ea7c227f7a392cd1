"""Draw a small detection set: 128x128 JPEG files of shapes to find, in the VOC layout, in DIR."""

import argparse
import math
import random
from pathlib import Path

from make_shapes import SHAPES, SUPERSAMPLING, colour
from PIL import Image, ImageDraw

SIZE = 128  # pixels
COUNTS = {"train": 4000, "test": 300}  # pictures
KINDS = ["circle", "cross", "square", "star", "triangle"]
MOST = 6  # objects in a picture
RADII = (9, 28)  # pixels, of the circle around an object
SHARED = 0.15  # of the smaller of two boxes, at most
CONTRAST = 150  # between an object and what is behind it, summed over the channels, at least

Box = tuple[int, int, int, int]  # x0, y0, x1, y1: first and last pixels of an object

OBJECT = """  <object>
    <name>{}</name>
    <difficult>0</difficult>
    <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
  </object>
"""
ANNOTATION = f"""<annotation>
  <size><width>{SIZE}</width><height>{SIZE}</height><depth>3</depth></size>
{{}}</annotation>
"""


def place(kind: str, rng: random.Random) -> tuple[list[tuple[float, float]], Box]:
    """Return the points of a shape, turned, scaled and moved at random, and its box."""
    angle, radius = rng.uniform(0, 2 * math.pi), math.exp(rng.uniform(*map(math.log, RADII)))
    x0, y0 = (rng.uniform(radius, SIZE - radius) for _ in range(2))
    scale = radius / max(math.hypot(*point) for point in SHAPES[kind])
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    x = [x0 + u * cos - v * sin for u, v in SHAPES[kind]]
    y = [y0 + u * sin + v * cos for u, v in SHAPES[kind]]
    box = math.floor(min(x)), math.floor(min(y)), math.ceil(max(x)) - 1, math.ceil(max(y)) - 1
    return list(zip(x, y, strict=True)), box


def area(box: Box) -> int:
    return max(0, box[2] - box[0] + 1) * max(0, box[3] - box[1] + 1)


def meet(a: Box, b: Box) -> bool:
    """Tell whether two boxes overlap by more than a little."""
    both = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return area(both) > SHARED * min(area(a), area(b))


def background(rng: random.Random) -> Image.Image:
    """Return blurred patches of many colours, SUPERSAMPLING times larger than a picture."""
    cells = rng.randint(2, 6)
    patches = Image.frombytes("RGB", (cells, cells), rng.randbytes(3 * cells * cells))
    plain = Image.new("RGB", (cells, cells), colour(rng, 0, 255))
    large = (SIZE * SUPERSAMPLING, SIZE * SUPERSAMPLING)
    return Image.blend(plain, patches, 0.35).resize(large, Image.Resampling.BICUBIC)


def draw(rng: random.Random) -> tuple[Image.Image, list[tuple[str, Box]]]:
    """Return one picture with noise, and the kind and box of each object in it."""
    picture, objects = background(rng), []
    wanted = rng.randint(1, MOST)
    while len(objects) < wanted:
        kind = rng.choice(KINDS)
        points, box = place(kind, rng)
        if any(meet(box, other) for _, other in objects):
            continue
        x, y = ((low + high) * SUPERSAMPLING // 2 for low, high in (box[::2], box[1::2]))
        behind, fill = picture.getpixel((x, y)), colour(rng, 0, 255)
        while sum(abs(a - b) for a, b in zip(fill, behind, strict=True)) < CONTRAST:
            fill = colour(rng, 0, 255)
        large = [(SUPERSAMPLING * x, SUPERSAMPLING * y) for x, y in points]
        ImageDraw.Draw(picture).polygon(large, fill=fill)
        objects.append((kind, box))
    small = picture.resize((SIZE, SIZE), Image.Resampling.BOX)
    noise = Image.frombytes("RGB", small.size, rng.randbytes(3 * SIZE * SIZE))
    return Image.blend(small, noise, 0.15), objects


def main(directory: str) -> None:
    pictures, annotations, sets = folders = [
        Path(directory, name) for name in ("JPEGImages", "Annotations", "ImageSets/Main")
    ]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for split, count in COUNTS.items():
        rng = random.Random(split)  # the test set does not change with the number to train
        names = [f"{split}_{index:04d}" for index in range(count)]
        for name in names:
            picture, objects = draw(rng)
            picture.save(pictures / f"{name}.jpg", quality=90)
            lines = [OBJECT.format(kind, *(side + 1 for side in box)) for kind, box in objects]
            (annotations / f"{name}.xml").write_text(ANNOTATION.format("".join(lines)))
        (sets / f"{split}.txt").write_text("\n".join(names) + "\n")
    print(f"drew {sum(COUNTS.values())} pictures of {len(KINDS)} kinds of objects: {directory}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", metavar="DIR", help="where to draw; it is made")
    main(parser.parse_args().directory)
