"""One or more rows per layer symbol: text, options, input map, output map, parameter shapes."""

from __future__ import annotations

from typing import Any, NamedTuple


class Case(NamedTuple):
    """A layer alone; maps are (h, w, c), the network has 10 classes."""

    text: str
    options: dict[str, Any]
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    parameters: dict[str, tuple[int, ...]]


HALF: dict[str, Any] = {"border_mode": "half"}
NORM = ("gamma", "beta", "mean", "variance")


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    """Return the arrays of a batch normalisation whose paths start with ``name``."""
    return {name + part: (channels,) for part in NORM}


def logits(name: str, count: int) -> dict[str, tuple[int, ...]]:
    """Return the arrays of an output of DND behind DNC[5] DNS[2]: 2 x 2 x 5 + 2 channels."""
    return {f"{name}.weight": (count, 22, 1, 1), f"{name}.bias": (count,)}


CORNER: dict[str, tuple[int, ...]] = {
    "corner.weight": (4, 3, 1, 1),
    "corner.bias": (4,),
    "sample.weight": (5, 3, 1, 1),
    "sample.bias": (5,),
}

CASES = [
    Case("C[16]", {}, (8, 6, 3), (8, 6, 16), {"weight": (16, 3, 1, 1), "bias": (16,)}),
    Case("C[16,3]", {}, (8, 6, 3), (6, 4, 16), {"weight": (16, 3, 3, 3), "bias": (16,)}),
    Case("C.B[16,7,2]", HALF, (224, 224, 3), (112, 112, 16), {"weight": (16, 3, 7, 7)}),
    Case("C.XB[4,1,3,2,1]", {}, (8, 6, 3), (4, 4, 4), {"weight": (4, 3, 1, 3)}),
    Case("C.X[4,3,2]", {}, (8, 6, 3), (6, 5, 4), {"weight": (4, 3, 3, 2), "bias": (4,)}),
    Case("C[4,3,1,2]", HALF, (8, 6, 6), (8, 6, 4), {"weight": (4, 3, 3, 3), "bias": (4,)}),
    Case("C.BX[6,3,1,2,1,6,0.5]", HALF, (8, 6, 6), (4, 6, 6), {"weight": (6, 1, 3, 1)}),
    Case("F[7]", {}, (4, 3, 2), (1, 1, 7), {"weight": (7, 2, 4, 3), "bias": (7,)}),
    Case("F.B[7,1]", {}, (1, 1, 5), (1, 1, 7), {"weight": (7, 5, 1, 1)}),
    Case("DC[4,2,2]", HALF, (5, 7, 3), (9, 13, 4), {"weight": (4, 3, 2, 2), "bias": (4,)}),
    Case("DC.B[4,3]", {}, (5, 7, 3), (7, 9, 4), {"weight": (4, 3, 3, 3)}),
    Case("DC.X[4,1,3,1,2]", {}, (5, 7, 3), (5, 16, 4), {"weight": (4, 3, 1, 3), "bias": (4,)}),
    Case("P", {}, (8, 6, 3), (1, 1, 3), {}),
    Case("P.A", {}, (7, 7, 3), (1, 1, 3), {}),
    Case("P[2]", {}, (9, 6, 3), (4, 3, 3), {}),
    Case("P[3,2,1]", {}, (112, 112, 3), (56, 56, 3), {}),
    Case("P.B[2]", {}, (9, 6, 3), (5, 3, 3), {}),
    Case("P.AB[3,2]", {}, (8, 7, 3), (4, 4, 3), {}),
    Case("P.X[3,2,2,1]", {}, (8, 7, 3), (3, 6, 3), {}),
    Case("PI", {}, (8, 6, 3), (16, 12, 3), {}),
    Case("PI[3]", {}, (8, 6, 3), (24, 18, 3), {}),
    Case("BN", {}, (8, 6, 3), (8, 6, 3), norm("", 3)),
    Case("BN[0.99,0.001,1,0,0]", {}, (8, 6, 3), (8, 6, 3), norm("", 3)),
    Case("LRN", {}, (8, 6, 3), (8, 6, 3), {}),
    Case("LRN[3,1,0.001,0.5,2]", {}, (8, 6, 4), (8, 6, 4), {}),
    Case("BNA[0.5]", {}, (8, 6, 3), (8, 6, 3), norm("", 3)),
    Case("A", {}, (8, 6, 3), (8, 6, 3), {}),
    Case("A", {"activation": "none"}, (8, 6, 3), (8, 6, 3), {}),
    Case("D", {}, (8, 6, 3), (8, 6, 3), {}),
    Case("D[0]", {}, (8, 6, 3), (8, 6, 3), {}),
    Case("B", {}, (8, 6, 3), (8, 6, 3), {}),
    Case("B[3]", {}, (8, 6, 3), (14, 12, 3), {}),
    Case("B.X[1,2,3,4]", {}, (8, 6, 3), (15, 9, 3), {}),
    Case("CM[5]", {}, (8, 6, 3), (5, 5, 3), {}),
    Case("CM[6,0.5,0.5]", {}, (8, 6, 3), (6, 6, 3), {}),
    Case("R", {}, (8, 6, 3), (1, 1, 10), {"weight": (10, 3, 8, 6)}),
    Case("R.B[3]", {}, (8, 6, 3), (6, 4, 10), {"weight": (10, 3, 3, 3), "bias": (10,)}),
    Case("R.CT[3]", {}, (8, 6, 3), (1, 1, 10), {"weight": (10, 3, 3, 3)}),
    Case("R.X[8,1]", {}, (8, 6, 3), (1, 6, 10), {"weight": (10, 3, 8, 1)}),
    Case(
        "RSN.O[3,3]",
        {},
        (8, 6, 3),
        (8, 6, 3),
        {"conv1.weight": (3, 3, 3, 3), "conv2.weight": (3, 3, 3, 3)}
        | norm("bn1.", 3)
        | norm("bn2.", 3),
    ),
    Case(
        "RSN.O[8,3,2]",
        {},
        (8, 7, 3),
        (4, 4, 8),
        {
            "conv1.weight": (8, 3, 3, 3),
            "conv2.weight": (8, 8, 3, 3),
            "shortcut.weight": (8, 3, 1, 1),
        }
        | norm("bn1.", 8)
        | norm("bn2.", 8)
        | norm("shortcut_bn.", 8),
    ),
    Case(
        "RSN[8,3,2,2]",
        {},
        (8, 7, 3),
        (4, 4, 8),
        {
            "conv1.weight": (2, 3, 1, 1),
            "conv2.weight": (2, 2, 3, 3),
            "conv3.weight": (8, 2, 1, 1),
            "shortcut.weight": (8, 3, 1, 1),
        }
        | norm("bn1.", 3)
        | norm("bn2.", 2)
        | norm("bn3.", 2),
    ),
    Case(
        "RSN.OSZ[8,3,2,2]",
        {},
        (9, 6, 3),
        (5, 3, 8),
        {
            "conv1.weight": (2, 3, 1, 1),
            "conv2.weight": (2, 2, 3, 3),
            "conv3.weight": (8, 2, 1, 1),
        }
        | norm("bn1.", 2)
        | norm("bn2.", 2)
        | norm("bn3.", 8),
    ),
    Case(
        "RSN.Z[6,3,3]",
        {},
        (8, 7, 3),
        (3, 3, 6),
        {"conv1.weight": (6, 3, 3, 3), "conv2.weight": (6, 6, 3, 3)}
        | norm("bn1.", 3)
        | norm("bn2.", 6),
    ),
    Case(
        "nRSN[1,3,3]",
        {},
        (8, 6, 3),
        (8, 6, 3),
        {"conv1.weight": (3, 3, 3, 3), "conv2.weight": (3, 3, 3, 3)}
        | norm("bn1.", 3)
        | norm("bn2.", 3),
    ),
    Case(
        "DL[4]",
        {},
        (8, 6, 3),
        (8, 6, 7),
        {"conv1.weight": (16, 3, 1, 1), "conv2.weight": (4, 16, 3, 3)}
        | norm("bn1.", 3)
        | norm("bn2.", 16),
    ),
    Case("DL[4,0,0.2]", {}, (8, 6, 3), (8, 6, 7), {"conv1.weight": (4, 3, 3, 3)} | norm("bn1.", 3)),
    Case(
        "nDL[1,2,1]",
        {},
        (5, 7, 3),
        (5, 7, 5),
        {"conv1.weight": (2, 3, 1, 1), "conv2.weight": (2, 2, 3, 3)}
        | norm("bn1.", 3)
        | norm("bn2.", 2),
    ),
    Case("TR", {}, (8, 7, 3), (4, 3, 1), {"conv.weight": (1, 3, 1, 1)} | norm("bn.", 3)),
    Case("TR[1,0.1]", {}, (8, 6, 3), (4, 3, 3), {"conv.weight": (3, 3, 1, 1)} | norm("bn.", 3)),
    Case("SPLIT", {}, (8, 6, 3), (8, 6, 3), {}),
    Case("SKIPSRC", {}, (8, 6, 3), (8, 6, 3), {}),
    Case("SKIPSRC.X[7]", {}, (8, 6, 3), (8, 6, 3), {}),
    Case("SKIPSRC SKIP", {}, (8, 6, 3), (8, 6, 3), {}),
    Case(
        "SKIPSRC[4] C.B[5] SKIP[4]",
        {},
        (8, 6, 3),
        (8, 6, 5),
        {"weight": (5, 3, 1, 1), "conv.weight": (5, 3, 1, 1)},
    ),
    Case("SKIPSRC[4] PI P[2] SKIP.C[4]", {}, (8, 6, 3), (8, 6, 6), {}),
    Case("DNC[5]", {}, (8, 6, 3), (8, 6, 5), CORNER),
    Case(
        "DNC.C[5,2,0.5]",
        {},
        (8, 6, 3),
        (8, 6, 5),
        CORNER | {"corner.weight": (5, 3, 1, 1), "corner.bias": (5,)},
    ),
    Case("DNC[5] DNS", {}, (8, 6, 3), (4, 4, 47), CORNER),
    Case("DNC[5] DNS.G[1,2,0,0.5,1,0.5]", {}, (8, 6, 3), (2, 2, 7), CORNER),
    Case("DNC[5] DNS[2,3] DND", {}, (8, 6, 3), (3, 3, 11), CORNER | logits("detect", 11)),
    Case(
        "DNC[5] DNS[2,3] DND.BX[0.6,0.4,1,0.5,0.1]",
        {},
        (8, 6, 3),
        (3, 3, 11),
        CORNER | logits("detect", 11) | logits("bbox", 4) | logits("fitness", 6),
    ),
    Case("DNC[5] DNS[2,3] DND.J", {}, (8, 6, 3), (3, 3, 51), CORNER | logits("detect", 51)),
]
