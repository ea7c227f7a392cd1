"""Trees of links: every file is found once, in the same order, and there is an end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from untrusted.damage import outcome

from denet.dataset import open_dataset
from denet.dataset.survey.classes import survey
from denet.dataset.walk import files_below
from denet.predict.image_files import find_images

NAMES = [f"d{number}" for number in range(5)]
# where a directory is, and what a link in it is called and leads to
PLACES = st.tuples(st.lists(st.sampled_from(NAMES), max_size=2), st.sampled_from(NAMES))
TARGETS = st.sampled_from(
    [".", "..", "../..", "nowhere", "1.png", "link.png", "/dev/null", "/dev/zero", *NAMES]
    + [f"../{name}" for name in NAMES]
)
LINKS = st.tuples(st.sampled_from(NAMES), st.sampled_from(["link.png", "link", "d1"]), TARGETS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("links")


def build(root: Path, places: list, links: list) -> set[str]:
    """Make the tree; return the real paths of its images."""
    shutil.rmtree(root, ignore_errors=True)
    for above, name in [([], "d0"), *places]:
        directory = root.joinpath(*above, name)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "1.png").write_bytes(b"no image")
    for name, link, target in links:
        if (root / name).is_dir() and not os.path.lexists(root / name / link):
            (root / name / link).symlink_to(target)
    return {os.path.realpath(file) for file in root.rglob("1.png")}


@given(st.lists(PLACES, max_size=5), st.lists(LINKS, max_size=12))
def test_links(folder: Path, places: list, links: list) -> None:
    root = folder / "set"
    images = build(root, places, links)
    found = [file for files in files_below(str(root)).values() for file in files]
    plain = [os.path.realpath(file) for file in found if not os.path.islink(file)]
    assert sorted(plain) == sorted(images)  # each once, however many links lead to it
    assert found == [file for files in files_below(str(root)).values() for file in files]
    for read in (
        lambda: open_dataset(root, "png", progress=False),
        lambda: survey(str(root), progress=False, thread_num=1),
        lambda: find_images(root),
    ):
        outcome(read)
