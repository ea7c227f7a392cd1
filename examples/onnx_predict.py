"""Ask an .onnx file that model-modify wrote about images; needs onnxruntime and Pillow, no DeNet.

It prints the classes of each image, or its objects with their boxes in pixels. For a file with the
input float32,nchw, which is the default of --onnx-input.
"""

import argparse
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def eight_bits(image: Image.Image) -> Image.Image:
    """Return the image; one of 16 bits, which Pillow would cut off at 255, by its high bytes."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def contained(image: Image.Image, width: int, height: int) -> tuple[Image.Image, np.ndarray]:
    """Return the whole image in the middle of the input, and the corners of its box there."""
    if image.width * height > image.height * width:
        size = width, -(-image.height * width // image.width)  # rounded up
    else:
        size = -(-image.width * height // image.height), height
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    picture = Image.new(image.mode, (width, height))
    scaled = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
    picture.paste(scaled, (left, top))
    return picture, np.array([left, top, left + size[0], top + size[1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("images", metavar="IMAGE", nargs="+")
    parser.add_argument("--min-score", type=float, default=0.25, help="of objects (default: 0.25)")
    options = parser.parse_args()

    session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
    labels = json.loads(session.get_modelmeta().custom_metadata_map["class_labels"])
    _, channels, height, width = session.get_inputs()[0].shape
    detects = session.get_outputs()[0].name == "boxes"
    for path in options.images:
        with Image.open(path) as opened:
            if not detects:  # a JPEG is decoded as small as stays sharp
                opened.draft(None, (2 * width, 2 * height))
            image = eight_bits(ImageOps.exif_transpose(opened))
        image = image if image.mode == "L" else image.convert("RGB")
        if detects:
            picture, place = contained(image, width, height)
        else:  # as crop=N of DeNet's --extension: scaled to cover the input, the middle taken
            picture = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
        picture = picture.convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(picture, np.float32).reshape(height, width, channels) / 255
        outputs = session.run(None, {"images": pixels.transpose(2, 0, 1)[None]})
        if detects:
            boxes, scores, classes, _ = outputs
            corner, size = np.tile(place[:2], 2), np.tile(place[2:] - place[:2], 2)
            boxes = (boxes * [width, height, width, height] - corner) / size
            boxes = boxes.clip(0, 1) * [*image.size, *image.size]
            for box, score, index in zip(boxes, scores, classes, strict=True):
                shown = (box[2:] > box[:2]).all()  # some of it lies in the image
                if shown and score >= options.min_score:
                    where = " ".join(f"{side:.1f}" for side in box)
                    print(f"{path}: {labels[index]} {score:.2%} {where}")
        else:
            best = np.argsort(-outputs[0][0], kind="stable")[:5]
            told = ", ".join(f"{labels[index]} {outputs[0][0][index]:.2%}" for index in best)
            print(f"{path}: {told}")


if __name__ == "__main__":
    main()
