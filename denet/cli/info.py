"""model-info: tell what a network or this installation consists of."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from denet.cli.command import Parser, run
from denet.cli.options import COUNT, NETWORK, Option, network
from denet.layer.kind import Flag


def parser() -> Parser:
    """Return the command line of model-info."""
    return Parser(
        "model-info",
        "Tell the layers of a network with output shapes, parameters, operations and memory.",
        "model-info --model-desc C.B[64,7,2] BN A P[3,2,1] P.A R --image-size 224 224",
        {
            "network": NETWORK,
            "what to tell": (
                Option("batch-size", "images that memory is counted for", COUNT, 32, metavar="N"),
                Option("layers", "tell all layers that a network text can hold", Flag(), False),
                Option(
                    "env",
                    "tell versions, processor and instruction set, and what is missing",
                    Flag(),
                    False,
                ),
            ),
        },
    )


def info(options: argparse.Namespace) -> int:
    """Print what was asked for."""
    if options.env:
        from denet.backend.environment import environment

        for name, found in environment():
            print(f"{name:<16} {found}")
    if options.layers:
        from denet.layer.registry import layer_table

        print(layer_table())
    if not options.env and not options.layers:
        from denet.report.layers import layers_report

        print(layers_report(network(options), options.batch_size))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-info; return its exit code."""
    return run(parser(), info, arguments)
