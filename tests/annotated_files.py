"""Small sets of annotated images for the tests of their readers."""

import json
from pathlib import Path

from PIL import Image


def save_image(path: Path, size=(20, 10), colour=(0, 0, 255)) -> None:
    """Write an image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def object_xml(name="cat", box=(1, 1, 5, 5), difficult="<difficult>0</difficult>") -> str:
    """Return an object of a VOC annotation."""
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    lines = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
    return f"<object><name>{name}</name>{difficult}<bndbox>{lines}</bndbox></object>"


def voc_xml(*objects: str, size=(20, 10)) -> str:
    """Return a VOC annotation."""
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation>{sides}{''.join(objects)}</annotation>"


def write_voc(root: Path, images: dict[str, str], split="train", size=(20, 10)) -> None:
    """Write a folder in the layout of VOC: image id -> XML; an empty XML is not written."""
    for image_id, xml in images.items():
        save_image(root / f"JPEGImages/{image_id}.jpg", size)
        (root / "Annotations").mkdir(exist_ok=True)
        if xml:
            (root / f"Annotations/{image_id}.xml").write_text(xml, encoding="utf-8")
    write_split(root, split, images)


def write_split(root: Path, split: str, image_ids) -> None:
    """Write ImageSets/Main/SPLIT.txt."""
    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    (root / f"ImageSets/Main/{split}.txt").write_text("".join(f"{each}\n" for each in image_ids))


def write_coco(root: Path, content: dict, split="train", size=(20, 10), kind="instances") -> None:
    """Write annotations/KIND_SPLIT.json and the images that it lists in SPLIT/."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / f"annotations/{kind}_{split}.json").write_text(json.dumps(content))
    for image in content["images"]:
        if isinstance(image.get("file_name"), str) and ".." not in image["file_name"]:
            save_image(root / split / image["file_name"], size)
