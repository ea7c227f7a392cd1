"""Names and labels from strangers: no terminal is obeyed, no line is faked, nothing is lost.

Every command runs on two sets that are alike but for their names: plain ones, and such that act in
a terminal. Both must say as much.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from annotated_files import object_xml, voc_xml, write_voc
from conftest import run_command
from PIL import Image
from untrusted.damage import ACTING

from denet.layer.options import LayerOptions
from denet.model.format import save_model
from denet.model.model import Model

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems refuse names of files that are not text"
)

# what is put behind names, suffixes and labels; labels hold no control characters
KINDS = {
    "plain": ("name", "suffix", "label"),
    "acting": (
        "\n\x1b]0;x\x07\r\u202e\u2028\x9b\udcff",
        "\x1b]0;x\x07\n\u202e\udcfe",
        "\u2028\u202eb",
    ),
}
FOUND = "C[4,3] DNC[4] DNS[2,4] DND[0.5,1,1]"
TRAIN = "model-train --backend numpy --train set --ext image --on-bad-data skip --model-desc"
RUN = f"{TRAIN} P.A R --test set --epochs 1 --output-prefix run/m"
LOST = f"{TRAIN} C[8] C[8] C[8] R --learn-rate 1e9 --learn-momentum 0.9 --batch-size 2"
PREDICT = "model-predict --backend numpy --on-bad-data skip --model"
VOC = f"{PREDICT} found.mdl --input voc --extension voc,test,crop=16 --predict-mode"
# command lines, and the files of text that they leave
COMMANDS = {
    "model-info --data set": "",
    "model-info --data voc": "",
    RUN: "run/m_log.txt run/m_bad_data.txt run/m_epoch001.test",
    f"{LOST} --output-prefix run/m": "run/m_log.txt run/m_bad_data.txt run/m_diverged.txt",
    f"{PREDICT} class.mdl --input loose": "",
    f"{PREDICT} class.mdl --input loose --format csv": "",
    f"{PREDICT} class.mdl --input loose --format jsonl --results a.jsonl": "a.jsonl",
    f"{PREDICT} class.mdl --input set --format csv --report report": "report/class_errors.csv",
    f"{PREDICT} found.mdl --input loose --predict-mode detect": "",
    f"{PREDICT} found.mdl --input loose --predict-mode detect --format csv": "",
    f"{VOC} detect,voc --format text --report report": "report/class_ap.csv",
    f"{PREDICT} class.mdl --input none": "",
}


def lay_out(directory: Path, name: str, suffix: str, label: str) -> None:
    """Lay out a set, loose images and models with these endings of names, suffixes and labels."""
    rng = np.random.default_rng(0)
    labels = [f"cat{label}", f"dog{label}"]
    for folder in (*(f"set/{each}" for each in labels), "loose"):
        (directory / folder).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(directory / folder / f"{number}{name}.png")
        (directory / folder / f"3{name}.png").write_bytes(b"not an image")
        (directory / folder / f"4.{suffix}").write_bytes(b"")
    objects = [object_xml(each, (1, 1, 9, 9)) for each in labels]
    write_voc(directory / "voc", {"0": voc_xml(*objects, size=(16, 16))}, "test", (16, 16))
    half = LayerOptions(border_mode="half")
    save_model(Model.create("P.A R.T", (3, 16, 16), labels), directory / "class.mdl")
    save_model(Model.create(FOUND, (3, 16, 16), labels, half), directory / "found.mdl")


@pytest.mark.parametrize("words", COMMANDS)
def test_no_name_acts(words: str, tmp_path: Path) -> None:
    lines = {}
    for kind, endings in KINDS.items():
        (tmp_path / kind).mkdir()
        lay_out(tmp_path / kind, *endings)
        done = run_command(tmp_path / kind, *words.split())
        assert "internal" not in done.stderr, done.stderr
        files = (tmp_path / kind / file for file in COMMANDS[words].split())
        texts = [done.stdout, done.stderr, *(file.read_text(encoding="utf-8") for file in files)]
        for text in texts:
            assert not re.search(f"[{ACTING}]", text.replace("\t", " ")), ascii(text)
        lines[kind] = (done.returncode, *(len(text.split("\n")) for text in texts))
    assert lines["acting"] == lines["plain"]


def test_answers_are_csv_and_json_and_whole(tmp_path: Path) -> None:
    """Names that are text but act are told by their escapes, everyday ones as they are."""
    names = ["caf\u00e9.png", "\u6f22\u5b57.png", 'a,"b"\nc.png', "\u202e.png", "\udcff.png"]
    escaped = ["caf\u00e9.png", "\u6f22\u5b57.png", 'a,"b"\\nc.png', "\\u202e.png", "\\udcff.png"]
    save_model(Model.create("P.A R", (3, 4, 4), ["x", "y"]), tmp_path / "m.mdl")
    (tmp_path / "in").mkdir()
    for name in names:
        Image.new("RGB", (4, 4)).save(tmp_path / "in" / name)
    words = ["model-predict", "--backend", "numpy", "--model", "m.mdl", "--input", "in", "--format"]
    done = run_command(tmp_path, *words, "csv")
    assert len(done.stdout.splitlines()) == 1 + len(names)
    header, *rows = csv.reader(done.stdout.splitlines())
    assert header[:2] == ["image", "label"]
    assert {os.path.basename(row[0]) for row in rows} == set(escaped)
    assert {len(row) for row in rows} == {len(header)}
    done = run_command(tmp_path, *words, "jsonl")
    told = {os.path.basename(json.loads(line)["image"]) for line in done.stdout.splitlines()}
    assert told == set(names)
