"""Detecting commands find out by themselves how images with boxes lie."""

import json
import logging

from annotated_files import save_image
from cli.commands import call

DESC = ["C[4,3]", "BNA", "P[4]", "DNC[4]", "DNS[3,6]", "C[8,1]", "A", "DND[0.5]"]


def write_yolo(root, names=("train", "val")):
    for split in names:
        for number in range(4):
            save_image(root / f"images/{split}/{number}.png", (32, 32))
            text = root / f"labels/{split}/{number}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text("0 0.5 0.5 0.5 0.5\n")
    lines = "".join(f"{split}: images/{split}\n" for split in names)
    (root / "data.yaml").write_text(f"{lines}names: [cat]\n")
