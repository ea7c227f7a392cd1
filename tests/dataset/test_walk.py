"""Going through directories of images: each once, wherever links lead."""

import itertools
import os

import pytest
from annotated_files import save_image

from denet.dataset import open_dataset
from denet.dataset.survey.classes import survey
from denet.dataset.walk import directories_in, files_below
from denet.errors import DataError
from denet.predict.image_files import find_images


@pytest.fixture
def linked(tmp_path):
    """Make 12 directories of an image each, each linking to all others: 12! ways through them."""
    names = [f"d{number:02}" for number in range(12)]
    for name in names:
        save_image(tmp_path / name / "1.png")
    for here, there in itertools.permutations(names, 2):
        (tmp_path / here / there).symlink_to(f"../{there}")
    return tmp_path


def test_directories_that_link_to_each_other(linked, caplog):
    found = files_below(str(linked))
    assert list(found) == ["", *(f"d{number:02}" for number in range(12))]
    assert [files for name, files in found.items() if name] == [
        [str(linked / name / "1.png")] for name in found if name
    ]
    assert "passed over, read elsewhere or on no disk: 132, such as" in caplog.text
    assert len(open_dataset(linked, "png", progress=False)) == 12
    assert len(open_dataset(linked, "imagenet,crop=8", progress=False)) == 12
    assert len(survey(str(linked), progress=False).train) == 12
    assert len(find_images(linked)) == 12


def test_the_shortest_way_counts_then_the_first_by_name(tmp_path):
    save_image(tmp_path / "z/far/1.png")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").symlink_to("../z")
    assert files_below(str(tmp_path))["z"] == [str(tmp_path / "z/far/1.png")]
    (tmp_path / "y").symlink_to("z/far")
    (tmp_path / "x").symlink_to("z/far")
    found = files_below(str(tmp_path))
    assert found == {"": [], "a": [], "x": [str(tmp_path / "x/1.png")], "y": [], "z": []}


def test_links_to_elsewhere_are_followed(tmp_path):
    save_image(tmp_path / "store/1.png")
    (tmp_path / "set/cat").mkdir(parents=True)
    (tmp_path / "set/cat/more").symlink_to(tmp_path / "store")
    (tmp_path / "set/dog").symlink_to(tmp_path / "store", target_is_directory=True)
    assert files_below(str(tmp_path / "set"))["dog"] == [str(tmp_path / "set/dog/1.png")]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="only Linux has such a tree")
def test_a_link_to_the_processes(tmp_path):
    """There each thread of each process links to the root of all directories."""
    save_image(tmp_path / "a/1.png")
    (tmp_path / "a/proc").symlink_to("/proc")
    assert files_below(str(tmp_path)) == {"": [], "a": [str(tmp_path / "a/1.png")]}


def link_to_nowhere(path):
    path.symlink_to("nowhere.png")


def link_to_itself(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize("link", [link_to_nowhere, link_to_itself])
@pytest.mark.parametrize("extension", ["png", "imagenet,crop=8,bbox_only"])
def test_a_link_that_leads_nowhere_is_one_bad_file(tmp_path, link, extension):
    root = tmp_path / "train"
    save_image(root / "a/1.png")
    save_image(root / "b/1.png")
    boxes = "<object><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>"
    for name in ("a/1", "a/2", "b/1"):
        file = tmp_path / f"bbox/{name}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<annotation>{boxes}</object></annotation>")
    link(root / "a/2.png")
    link(root / "sign")
    dataset = open_dataset(root, extension, on_bad_data="skip", progress=False)
    assert [bad.name for bad in dataset.bad] == [str(root / "a/2.png")]
    assert len(dataset) == 2 and dataset.class_labels == ["a", "b"]
    assert directories_in(str(root)) == ["a", "b"]
    assert len(find_images(root)) == 3


def test_boxes_that_lead_nowhere_are_not_no_boxes(tmp_path):
    save_image(tmp_path / "train/a/1.png")
    (tmp_path / "bbox/a").mkdir(parents=True)
    (tmp_path / "bbox/a/1.xml").symlink_to("/nowhere")
    with pytest.raises(DataError, match="no such file or directory"):
        open_dataset(tmp_path / "train", "imagenet,crop=8", progress=False)


def test_what_cannot_be_listed(tmp_path):
    with pytest.raises(DataError, match="cannot list the directory: .*none: No such file"):
        files_below(str(tmp_path / "none"))
    assert directories_in(str(tmp_path / "none")) == []
