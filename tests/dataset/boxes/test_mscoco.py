"""MS COCO against annotations written by hand, with gaps in the ids, and damaged ones."""

import json
import logging
import os

import numpy as np
import pytest
from annotated_files import save_image, voc_xml, write_coco, write_voc

from denet.dataset import BadDataError, open_dataset
from denet.dataset.class_names import ForeignClassError
from denet.errors import DataError, UsageError

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation
CATEGORIES = [  # numbers with gaps, not in the order of the names
    {"id": 7, "name": "zebra", "supercategory": "animal"},
    {"id": 3, "name": "ant"},
    {"id": 90, "name": "kite"},
]


def image(number, name=None, size=(20, 10), **more):
    return {
        "id": number,
        "file_name": name or f"{number}.png",
        **{"width": size[0], "height": size[1], **more},
    }


def annotation(image_id, category_id, bbox, **more):
    return {"image_id": image_id, "category_id": category_id, "bbox": bbox, **more}


def content(images, annotations=(), categories=CATEGORIES):
    return {
        "info": {},
        "images": list(images),
        "annotations": [{"id": n, **each} for n, each in enumerate(annotations)],
        "categories": categories,
    }


def opened(path, extension="mscoco,train", **options):
    return open_dataset(path, extension, progress=False, **options)


def boxes(dataset, position=0):
    return dataset.boxes_px[dataset.boxes.of(position)].tolist()


def test_boxes_count_from_zero(tmp_path, caplog):
    """(x, y, width, height) -> (x, y, x + width, y + height); 2017 added one somewhere."""
    write_coco(
        tmp_path,
        content(
            [image(900), image(-4), image(17)],
            [
                annotation(17, 90, [0, 0, 20, 10], area=77.5, segmentation=[[1, 2, 3, 4]]),
                annotation(900, 7, [1.5, 2.25, 3, 4.5]),
                annotation(17, 3, [5, 5, 1, 1], iscrowd=0, area=3.0),
                annotation(
                    17, 7, [2, 2, 8, 8], iscrowd=1, segmentation={"counts": [1], "size": []}
                ),
            ],
        ),
    )
    with caplog.at_level(logging.INFO):
        dataset = opened(tmp_path)
    assert dataset.class_labels == ["zebra", "ant", "kite"]
    assert dataset.category_ids == [7, 3, 90]
    assert dataset.image_ids == [900, -4, 17]
    assert dataset.start.tolist() == [0, 1, 1, 4]
    assert boxes(dataset) == [[1.5, 2.25, 4.5, 6.75]]
    assert boxes(dataset, 2) == [[0, 0, 20, 10], [5, 5, 6, 6], [2, 2, 10, 10]]
    assert dataset.box_class.tolist() == [0, 2, 1, 0]
    assert dataset.crowd.tolist() == [False, False, False, True]
    assert not dataset.difficult.any()
    assert dataset.area.tolist() == [13.5, 77.5, 3, 64]  # of the box where none is told
    assert "1 crowd boxes, 1 images without boxes" in caplog.text


def test_annotations_of_one_id_are_told(tmp_path, caplog):
    """Each counts, as ids of annotations stand for nothing here."""
    box = [1, 1, 4, 4]
    ids = [5, 9, 5, 7, 9, 5, "x", "x"]
    found = [annotation(1, 3, box, id=each) for each in ids]
    write_coco(tmp_path, content([image(1)], found))
    assert len(opened(tmp_path).boxes) == 8
    assert "2 ids of several annotations: 3 of them have 5: each counts here" in caplog.text
    caplog.clear()
    write_coco(tmp_path, content([image(1)], found[1:4]))
    opened(tmp_path)
    assert "several annotations" not in caplog.text


def test_crowds_are_no_targets(tmp_path):
    """In 2017 they were trained on as if they were one object."""
    write_coco(
        tmp_path,
        content(
            [image(1), image(2)],
            [
                annotation(1, 7, [0, 0, 20, 10], iscrowd=1),
                annotation(1, 3, [0, 0, 10, 10]),
                annotation(2, 3, [0, 0, 10, 10], iscrowd=1),
            ],
        ),
    )
    dataset = opened(tmp_path, "mscoco,train,scale_mode=warp")
    targets = dataset.load(np.arange(2), np.arange(2, dtype=np.uint64), True).targets
    assert targets["box_class"][:, :2].tolist() == [[1, -1], [-1, -1]]
    assert len(dataset.boxes) == 3
    assert opened(tmp_path, "mscoco,train,bbox_only").image_ids == [1]


def test_published_names(tmp_path):
    for kind, split in (
        ("instances", "train2014"),
        ("instances", "val2014"),
        ("image_info", "test2015"),
        ("image_info", "test-dev2015"),
    ):
        write_coco(tmp_path, content([image(1, split + ".png")]), split, kind=kind)
    os.rename(
        tmp_path / "test-dev2015/test-dev2015.png", tmp_path / "test2015/test-dev2015.png"
    )  # a part of test2015

    def files(extension):
        return [os.path.relpath(name, tmp_path) for name in opened(tmp_path, extension).names]

    assert files("mscoco,2014-train,2014-val") == ["train2014/train2014.png", "val2014/val2014.png"]
    assert files("mscoco,2015-test") == ["test2015/test2015.png"]
    assert files("mscoco,2015-test-dev") == ["test2015/test-dev2015.png"]
    assert files("mscoco,train2014") == ["train2014/train2014.png"]
    with pytest.raises(DataError, match="no annotations for '2014-test'.*there are test-dev2015, "):
        opened(tmp_path, "mscoco,2014-test")
    with pytest.raises(UsageError, match="name the splits.*test-dev2015, test2015, train2014"):
        opened(tmp_path, "mscoco")
    assert opened(tmp_path, "mscoco,2014-val").constants == IMAGENET


def test_subtract_mean(tmp_path):
    """In 2017 this set had no mean and deviation of its own, and all pixels were divided by 0."""
    write_coco(tmp_path, content([image(1)]))
    assert opened(tmp_path, "mscoco,train,crop=8,subtract_mean").constants == IMAGENET
    dataset = opened(tmp_path, "mscoco,train,crop=8")
    assert dataset.constants is None
    mean, _ = dataset.channel_statistics()
    assert mean == pytest.approx((0, 0, 1))  # of its blue image


@pytest.mark.parametrize("folder", ["train", "images/train", "images", "."])
def test_folders_of_images(tmp_path, folder):
    write_coco(tmp_path, {**content([]), "images": []})
    text = json.dumps(content([image(1, "sub/1.png")]))
    (tmp_path / "annotations/instances_train.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    save_image(tmp_path / folder / "sub/1.png")
    assert opened(tmp_path).sizes.tolist() == [[20, 10]]


def test_two_splits_with_other_numbers(tmp_path):
    """Categories go by their names; image ids need not differ between files."""
    write_coco(tmp_path, content([image(1)], [annotation(1, 3, [0, 0, 5, 5])]), "a")
    other = [{"id": 3, "name": "kite"}, {"id": 1, "name": "owl"}]
    second = [annotation(1, 1, [0, 0, 6, 6]), annotation(1, 3, [0, 0, 7, 7])]
    write_coco(tmp_path, content([image(1)], second, other), "b")
    dataset = opened(tmp_path, "mscoco,a,b")
    assert sorted(dataset.class_labels) == ["ant", "kite", "owl", "zebra"]
    assert dataset.class_labels[:3] == ["zebra", "ant", "kite"]
    names = [dataset.class_labels[k] for k in dataset.box_class]
    assert names == ["ant", "owl", "kite"]
    assert dataset.category_ids == [7, 3, 90, 1]


def test_classes_of_a_model_and_of_a_file(tmp_path):
    write_coco(tmp_path, content([image(1)], [annotation(1, 3, [0, 0, 5, 5])]))
    dataset = opened(tmp_path, class_labels=["kite", "ant", "emu"])
    assert dataset.box_class.tolist() == [1] and dataset.category_ids == [90, 3, -1]
    with pytest.raises(ForeignClassError, match="'ant' is not one of the 1 classes of the model"):
        opened(tmp_path, class_labels=["kite"], class_owner="the model")
    (tmp_path / "labels.txt").write_text("kite\nant\nzebra\n")
    dataset = opened(tmp_path)
    assert dataset.class_labels == ["kite", "ant", "zebra"]
    assert dataset.category_ids == [90, 3, 7] and dataset.box_class.tolist() == [1]
    (tmp_path / "labels.txt").write_text("kite\nant\n")
    with pytest.raises(ForeignClassError, match="'zebra' is not.*, or add it to labels.txt$"):
        opened(tmp_path)


def test_folders_that_hold_something_else(tmp_path):
    with pytest.raises(DataError, match=f"^no such directory: {tmp_path}/nowhere$"):
        opened(tmp_path / "nowhere")
    lacking = f"^no annotations/instances_\\*.json in {tmp_path}: "
    with pytest.raises(DataError, match=lacking + "give the directory that holds it"):
        opened(tmp_path)
    write_voc(tmp_path / "VOC2007", {"a": voc_xml()})
    mend = "give --extension voc,NAME with NAME one of 2007-train; model-info --data .* prints"
    for extension in ("mscoco,train", "mscoco"):
        with pytest.raises(DataError, match=lacking + mend):
            opened(tmp_path, extension)


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"images": None}, "images is not a list"),
        ({"annotations": {}}, "annotations is not a list"),
        ({"categories": [{"name": "x"}]}, r"categories\[0\].id is missing or not a whole number"),
        ({"categories": [{"id": 3}]}, r"categories\[0\].name is missing"),
        ({"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]}, "id 3 twice"),
        ({"images": [image(1), image(1, "b.png")]}, "images holds the id 1 twice"),
        ({"images": [image("1", "a.png")]}, r"images\[0\].id is missing or not a whole number"),
        ({"images": [image(1 << 63, "a.png")]}, r"images\[0\].id is missing or not a whole number"),
        (
            {"categories": [{"id": -(1 << 63) - 1, "name": "a"}]},
            r"categories\[0\].id is missing or not a whole number of 64 bits",
        ),
        ({"images": [{"id": 1}]}, r"images\[0\].file_name is missing"),
        ({"images": [image(1, "../a.png")]}, r"images\[0\].file_name leaves the folder"),
        ({"images": [image(1, "/etc/a.png")]}, r"images\[0\].file_name leaves the folder"),
        ({"annotations": [annotation(2, 3, [0, 0, 1, 1])]}, r"annotations\[0\].image_id 2 is not"),
        (
            {"annotations": [annotation(1, 3, [0, 0, 1, 1]), annotation(1, 4, [0, 0, 1, 1])]},
            r"annotations\[1\].category_id 4 is not in categories",
        ),
        ({"annotations": [{"image_id": 1, "category_id": 3}]}, r"annotations\[0\] has no bbox"),
        ({"annotations": [annotation(1, 3, [0, 0, 1])]}, r"annotations\[0\].bbox is not \[x, y, w"),
        ({"annotations": [annotation(1, 3, [0, 0, 1, "5"])]}, r"annotations\[0\].bbox holds some"),
        ({"annotations": [annotation(1, 3, [0, 0, 1, 10**400])]}, r"annotations\[0\].bbox holds"),
        ({"annotations": [annotation(1, 3, [0, 0, 1, 1e999])]}, r"annotations\[0\].bbox holds"),
        ({"images": [{"id": 10**4000}]}, "a whole number of 4001 digits"),
        ({"annotations": [annotation("1", 3, [0, 0, 1, 1])]}, r"annotations\[0\].image_id is miss"),
        ({"annotations": [annotation(1, 2**70, [0, 0, 1, 1])]}, r"annotations\[0\].category_id is"),
    ],
)
def test_damaged_annotations(tmp_path, change, reason):
    write_coco(tmp_path, content([image(1)]))
    file = tmp_path / "annotations/instances_train.json"
    file.write_text(json.dumps({**content([image(1)]), **change}))
    with pytest.raises(
        DataError, match=f"annotations: .*instances_train.json: .*{reason}"
    ) as error:
        opened(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b'{"images": [}'),
        *(b'{"images": [], }', b'{"x": [1,]}', b'{"x": [1 2]}', b'{"x" 1}', b'{"x": 1} {}'),
        *(b'{"images": [], "images": []}', b'{"x": ' + b"[" * 100_000, b'{"x": ' + b"1" * 10_000),
    ],
)
def test_what_is_no_json(tmp_path, data):
    write_coco(tmp_path, content([image(1)]))
    (tmp_path / "annotations/instances_train.json").write_bytes(data)
    with pytest.raises(DataError, match="annotations: .*instances_train.json: "):
        opened(tmp_path)


def test_boxes_that_people_make(tmp_path, caplog):
    found = [[-3, 2, 10, 4], [5, 5, 0, 3], [5, 5, -2, 3], [30, 2, 5, 5], [15, 8, 50, 50]]
    write_coco(tmp_path, content([image(1)], [annotation(1, 3, each) for each in found]))
    with caplog.at_level(logging.INFO):
        dataset = opened(tmp_path)
    assert boxes(dataset) == [[0, 2, 7, 6], [15, 8, 20, 10]]
    assert "2 degenerate boxes dropped, 1 boxes outside their image dropped, 2 boxes clipped" in (
        caplog.text
    )


@pytest.mark.filterwarnings("error")
def test_ends_and_numbers_at_the_limit(tmp_path):
    """The right end overflows to infinity, and is clipped; ids fill 64 bits."""
    lowest, highest = -(1 << 63), (1 << 63) - 1
    found = [annotation(lowest, highest, [x, 1, 1.7e308, 2]) for x in (1.7e308, 5)]
    categories = [{"id": highest, "name": "ant"}]
    write_coco(tmp_path, content([image(lowest, "a.png")], found, categories))
    assert boxes(opened(tmp_path)) == [[5, 1, 20, 3]]


def test_images_that_cannot_be_used(tmp_path):
    """Missing, empty, no image and huge ones are told together, before anything is trained."""
    listed = [image(n, size=(0, 0)) for n in range(5)]
    given = [annotation(n, 3, [0, 0, n + 1, 5]) for n in range(5)]
    write_coco(tmp_path, content(listed, given))
    os.remove(tmp_path / "train/0.png")
    (tmp_path / "train/1.png").write_bytes(b"")
    (tmp_path / "train/2.png").write_bytes(b"text")
    save_image(tmp_path / "train/3.png", (100, 100))
    with pytest.raises(BadDataError, match="cannot use 4 of 5 images: .*skip") as caught:
        opened(tmp_path, max_image_pixels=1000)
    assert [each.reason for each in caught.value.bad] == [
        "no such file or directory",
        "an empty file",
        "not an image",
        "more pixels than --max-image-pixels 1000",
    ]
    dataset = opened(tmp_path, max_image_pixels=1000, on_bad_data="skip")
    assert dataset.image_ids == [4] and boxes(dataset) == [[0, 0, 5, 5]]
    assert dataset.bad == caught.value.bad and dataset.sizes.tolist() == [[20, 10]]


def test_sizes_are_those_of_the_images_with_boxes(tmp_path):
    """In 2017 the number of images was taken before bbox_only had left some out."""
    write_coco(
        tmp_path,
        content([image(n) for n in range(6)], [annotation(n, 3, [0, 0, 5, 5]) for n in (1, 4)]),
    )
    dataset = opened(tmp_path, "mscoco,train,bbox_only")
    assert len(dataset) == 2 == len(dataset.names) == len(dataset.labels) == len(dataset.sizes)
    assert dataset.image_ids == [1, 4] and dataset.start.tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="no images with boxes"):
        write_coco(tmp_path, content([image(1)]))
        opened(tmp_path, "mscoco,train,bbox_only")


def test_categories_of_one_name_are_told(tmp_path):
    """Their boxes would count for one of them, or for another class."""
    twice = [{"id": 1, "name": "x"}, {"id": 2, "name": "x"}, {"id": 3, "name": "y"}]
    write_coco(tmp_path, content([image(1)], [annotation(1, 2, [0, 0, 5, 5])], twice))
    save_image(tmp_path / "train/1.png", (20, 10))
    with pytest.raises(DataError, match="two categories are called 'x': rename one"):
        opened(tmp_path)
