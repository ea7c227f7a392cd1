"""What --val-split holds out of a training set, in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated_files import object_xml, save_image, voc_xml, write_coco, write_voc

from denet.dataset import Dataset, open_dataset
from denet.dataset.boxes.image_loader import DetectionDataset
from denet.errors import UsageError

COUNT = 10  # images, each of a colour of its own


def colour(number: int) -> tuple[int, int, int]:
    return (25 * number, 0, 0)


def write_directory(root: Path) -> str:
    for number in range(COUNT):
        save_image(root / f"{'ab'[number % 2]}/{number}.png", (8, 8), colour(number))
    return str(root)


def write_npy(root: Path) -> str:
    data = np.zeros((COUNT, 3, 8, 8), np.uint8)
    data[:, 0] = 25 * np.arange(COUNT)[:, None, None]
    np.save(f"{root}_data.npy", data)
    np.save(f"{root}_labels.npy", np.arange(COUNT) % 2)
    return str(root)


def write_npz(root: Path) -> str:
    write_npy(root)
    arrays = {part: np.load(f"{root}_{part}.npy") for part in ("data", "labels")}
    np.savez(f"{root}.npz", **arrays)
    return str(root)


def box_of(number: int) -> tuple[int, int, int, int]:
    return (number + 1, 2, number + 5, 6)


def write_voc_set(root: Path) -> str:
    write_voc(root, {f"{n}": voc_xml(object_xml(box=box_of(n))) for n in range(COUNT)})
    return str(root)


def write_coco_set(root: Path) -> str:
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 20, "height": 10} for n in range(COUNT)]
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [n, 1, 5, 5], "area": 25, "iscrowd": 0}
        for n in range(COUNT)
    ]
    categories = [{"id": 1, "name": "cat"}]
    write_coco(root, {"images": images, "annotations": boxes, "categories": categories})
    return str(root)


def write_imagenet(root: Path) -> str:
    for number in range(COUNT):
        folder = "ab"[number % 2]
        save_image(root / f"train/{folder}/{number}.jpg")
        file = root / f"bbox/{folder}/{number}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(voc_xml(object_xml(folder, box_of(number))))
    return str(root / "train")


FORMATS = {
    "png": write_directory,
    "npy": write_npy,
    "npz": write_npz,
    "voc,train,crop=16,crop_mode=denet,augment_photo": write_voc_set,
    "mscoco,train,crop=16,crop_mode=denet,augment_photo": write_coco_set,
    "imagenet,crop=16,crop_mode=denet,augment_photo": write_imagenet,
}


def parts(path: str, extension: str, **settings: Any) -> tuple[Dataset, Dataset]:
    """Return what is trained on and what is held out, 0.3 of the images."""
    settings = {"val_split": 0.3, "seed": 5, "training": True, "progress": False} | settings
    mirror = settings.pop("mirror", False)
    return (
        open_dataset(path, extension, mirror=mirror, **settings),
        open_dataset(path, extension, held_out=True, **settings),
    )


@pytest.mark.parametrize("extension", FORMATS)
def test_every_image_is_in_one_part(extension: str, tmp_path: Path) -> None:
    path = FORMATS[extension](tmp_path / "set")
    whole = open_dataset(path, extension, progress=False)
    trained, held_out = parts(path, extension)
    assert len(held_out) == 3 and len(trained) == 7
    assert sorted([*trained.names, *held_out.names]) == sorted(whole.names)
    assert trained.class_labels == held_out.class_labels == whole.class_labels
    place = {name: number for number, name in enumerate(whole.names)}
    for part in (trained, held_out):
        where = np.array([place[name] for name in part.names])
        rows, keys = np.arange(len(part)), np.zeros(len(part), np.uint64)
        seen, expected = (
            each.load(indices, keys, False) for each, indices in ((part, rows), (whole, where))
        )
        assert np.array_equal(seen.images, expected.images)
        for name, target in expected.targets.items():  # its boxes go with an image
            assert np.array_equal(seen.targets[name], target), name


def test_the_choice_is_the_seed_s(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "x")
    chosen = {seed: list(parts(path, "npy", seed=seed)[1].names) for seed in range(8)}
    assert list(parts(path, "npy", seed=3)[1].names) == chosen[3]
    assert len({tuple(names) for names in chosen.values()}) > 4


def test_mirrored_copies_are_of_images_that_are_trained_on(tmp_path: Path) -> None:
    trained, held_out = parts(write_directory(tmp_path / "set"), "png", mirror=True)
    assert len(trained) == 14 and len(held_out) == 3
    reds = [
        {int(image[0, 0, 0]) for image in part.images(np.arange(len(part)))}
        for part in (trained, held_out)
    ]
    assert len(reds[0]) == 7 and len(reds[1]) == 3 and not reds[0] & reds[1]


def test_a_share_of_the_samples_that_are_taken(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "x")
    trained, held_out = parts(path, "npy", max_samples=5, val_split=0.2)
    taken = open_dataset(path, "npy", max_samples=5, seed=5)
    assert len(held_out) == 1
    assert sorted([*trained.names, *held_out.names]) == sorted(taken.names)


def test_limited_epochs_hold_out_a_share_of_all(tmp_path: Path) -> None:
    path = write_voc_set(tmp_path / "set")
    trained, held_out = parts(path, "voc,train,crop=16,images_per_subset=2,subset_num=1")
    assert (len(trained), trained.epoch_samples, len(held_out)) == (7, 2, 3)


@pytest.mark.parametrize(("share", "number"), [(0.04, 0), (0.96, 10)])
@pytest.mark.parametrize("held_out", [False, True])
def test_a_part_without_images(share: float, number: int, held_out: bool, tmp_path: Path) -> None:
    path, settings = write_npy(tmp_path / "x"), {"val_split": share, "held_out": held_out}
    with pytest.raises(UsageError, match=f"val-split: {share}: it holds out {number} of 10 images"):
        open_dataset(path, "npy", **settings)


def test_part_of_images_with_boxes(tmp_path: Path) -> None:
    whole = open_dataset(write_imagenet(tmp_path / "set"), "imagenet,crop=16", progress=False)
    assert isinstance(whole, DetectionDataset)
    part = whole.part(np.array([1, 6]))
    assert list(part.names) == [whole.names[1], whole.names[6]]
    assert part.labels.tolist() == [0, 1] and part.class_labels == ["a", "b"]
    assert part.image_ids == ["2", "3"]  # sorted: a/0 a/2 a/4 a/6 a/8 b/1 b/3
    assert part.boxes_px.tolist() == [[3, 2, 7, 6], [4, 2, 8, 6]]
    assert part.start.tolist() == [0, 1, 2] and part.sizes.tolist() == [[20, 10]] * 2
