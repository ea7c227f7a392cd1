"""Random small networks of random layers on maps of real sizes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from denet.errors import DescriptionError
from denet.graph.graph import Graph
from denet.layer.options import LayerOptions
from denet.model.desc import build_layers, parse_desc
from denet.model.model import Model

CHANNELS = (1, 2, 3, 4, 5, 7, 8, 12, 13, 15, 16, 17, 24, 31, 32, 33, 47, 48, 64, 65, 96)
SIZES = (1, 2, 3, 5, 7, 8, 13, 16, 27, 32, 54, 56, 66, 97, 112, 128, 161, 224)  # pixels
BORDERS = ("half", "valid", "full", 1)
MOST_NUMBERS = 3_000_000  # in the inputs and outputs of all nodes together
MOST_FLOP = 4e8  # of a forward pass


class RandomNetwork(NamedTuple):
    """What describes a network, and a batch for it."""

    text: str
    shape: tuple[int, int, int]
    batch_size: int
    border_mode: str | int
    precision: str

    def graph(self) -> Graph:
        """Return the graph of the network; raise DescriptionError where a layer does not fit."""
        layers = build_layers(parse_desc(self.text), LayerOptions(border_mode=self.border_mode))
        return Model(layers, self.shape, ["a", "b", "c"]).graph(self.batch_size)


def random_network(seed: int, most_flop: float = MOST_FLOP) -> RandomNetwork:
    """Return the network of this seed, of a size that the reference takes a second for.

    Where ``most_flop`` is less, the network is smaller in proportion.
    """
    most_numbers = MOST_NUMBERS * most_flop / MOST_FLOP
    rng = np.random.default_rng(seed)
    while True:
        network = _draw(rng)
        try:
            graph = network.graph()
        except DescriptionError:
            continue
        tensors = [tensor.type for node in graph.nodes for tensor in (*node.inputs, *node.outputs)]
        flop = sum(
            node.op.flops([t.type for t in node.inputs], [t.type for t in node.outputs])
            for node in graph.nodes
        )
        if sum(type_.size for type_ in tensors) <= most_numbers and flop <= most_flop:
            return network


def _draw(rng: np.random.Generator) -> RandomNetwork:
    layers = [_layer(rng) for _ in range(rng.integers(1, 4))]
    # something trained before them makes them hand on gradients
    first = rng.choice(["", "BN", f"C[{rng.choice(CHANNELS)}]"])
    size = rng.choice(SIZES) if rng.random() < 0.5 else rng.integers(1, 225)
    other = size if rng.random() < 0.5 else rng.choice(SIZES)
    return RandomNetwork(
        " ".join([first, *layers, "R.T"]).strip(),
        (int(rng.choice(CHANNELS)), int(size), int(other)),
        int(rng.choice([1, 1, 2, 3, 4, 8])),
        BORDERS[rng.integers(len(BORDERS))],
        str(rng.choice(["f32", "bf16"])),
    )


def _layer(rng: np.random.Generator) -> str:
    filters, channels = rng.choice(CHANNELS, 2)
    size, stride = rng.choice([1, 1, 2, 3, 3, 4, 5, 7]), rng.choice([1, 1, 2, 2, 3, 4, 7, 13])
    other_size, other_stride = rng.choice([1, 1, 2, 3, 5, 8]), rng.choice([1, 2, 3, 5, 9])
    odd = rng.choice([1, 3, 3, 5])
    window = f"{size},{stride}"
    windows = f"{size},{other_size},{stride},{other_stride}"
    bias, mean, after = rng.choice(["", "B"]), rng.choice(["", "A"]), rng.choice(["", ".O"])
    partial, groups = rng.choice(["", "B"]), rng.choice([2, 2, 3, 4, 8, 16, 32])
    choices = [
        *[f"C.{bias}[{filters},{window}] A", f"C.X{bias}[{filters},{windows}] A"] * 3,
        *[f"DC.{bias}[{filters},{window}] A", f"DC.X{bias}[{filters},{windows}] A"] * 2,
        *[f"C[{groups * channels}] C.{bias}[{groups * filters},{window},{groups}] A"] * 2,
        *[f"P.{mean}{partial}[{window}]", f"P.{mean}X{partial}[{windows}]", f"P.{mean}[3,2,1]"],
        *["BN A", "BNA", "BN", f"PI[{rng.integers(1, 4)}]", f"B[{rng.integers(1, 3)}]"],
        *[f"RSN{after}[{filters},{odd},{stride}]"] * 3,
        f"RSN{after}[{filters},{odd},{stride},{channels}]",
        f"nRSN{after}[2,{filters},{odd},{stride}]",
        f"SKIPSRC C[{channels},{odd}] SKIP.C",
        f"DL[{filters}] TR",
        f"C[{groups * channels}] LRN[{odd},2,0.1,0.75,{groups}]",
        f"C.B[{filters},{window}] BN A SPLIT",
    ]
    return choices[rng.integers(len(choices))].replace(".[", "[")
