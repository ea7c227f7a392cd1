"""model-train-multi: train a network by several processes (ranks), each with a GPU or cores."""

from __future__ import annotations

import argparse
import io
import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from denet.cli.command import explain, run, tell_error
from denet.cli.options import BELOW_ONE, COUNT, COUNT_OR_ZERO, LOG_LEVELS, POSITIVE, Option, warn
from denet.cli.train import GROUPS, TrainParser, train
from denet.errors import UsageError
from denet.kind import Choice, Flag, Kind
from denet.multi.launch import launch
from denet.multi.mpiexec import HOST, Host
from denet.multi.outcome import TOKEN, on_terminal, tell
from denet.multi.started import local_rank, started
from denet.multi.watch import Watch, guard, printable_error

if TYPE_CHECKING:
    from denet.model.model import Model

# as bin/model-train-multi; a signal before that can be told by nobody
PROGRAM = (
    "import signal, sys; "
    "signal.getsignal(2) == signal.SIG_IGN or signal.signal(2, signal.SIG_DFL); "
    f"sys.path[0] = {str(Path(__file__).resolve().parents[2])!r}; "
    "from denet.cli.train_multi import main; sys.exit(main())"
)


class Hosts(Kind):
    """Machines and how many ranks each takes."""

    rule = "names of hosts and how many ranks each takes, such as a:4,b:4"

    def read(self, word: str) -> list[Host]:
        hosts = [self._host(part, word) for part in word.split(",")]
        if len({host.name for host in hosts}) < len(hosts):
            raise self.error(word)
        return hosts

    def _host(self, part: str, word: str) -> Host:
        found = re.fullmatch(f"({HOST.pattern})(?::([1-9][0-9]{{0,5}}))?", part)
        if not found:
            raise self.error(word)
        return Host(found[1], int(found[2] or 0))


class Gpu(Kind):
    """The number of a GPU, as it is or as of 2017: gpu0."""

    rule = "the number of a GPU, such as 0 or gpu0"

    def read(self, word: str) -> int:
        found = re.fullmatch("(?:gpu|cuda)?([0-9]{1,4})", word)
        if not found:
            raise self.error(word)
        return int(found[1])


RANKS = (
    Option(
        "ranks",
        "processes to start, one for each GPU or host where it is not given; none is started "
        "where mpiexec or srun has started several already",
        COUNT,
        metavar="N",
        recorded=False,
    ),
    Option(
        "hosts",
        "machines and how many ranks each takes (a:4,b:4); each needs the same program and data "
        "at the same paths, and ssh without a password",
        Hosts(),
        metavar="HOST:N,...",
        recorded=False,
    ),
    Option(
        "gpus",
        "GPU of each rank of a host: 0 1, or gpu0 gpu1; GPU=0,1 before the command does the same",
        Gpu(),
        count="+",
        recorded=False,
    ),
    Option(
        "timeout",
        "seconds after which a rank that is not heard of is taken for dead",
        POSITIVE,
        60.0,
        metavar="SECONDS",
        recorded=False,
    ),
    Option(
        "model-dims",
        "write the shapes of all layers into this file, as JSON, before training",
        metavar="FILE",
        recorded=False,
    ),
    Option(
        "sync-bn",
        "normalise batches by the mean and variance of those of all ranks",
        Flag(),
        False,
    ),
    Option(
        "wire",
        "as what gradients travel between ranks: bf16 is half the bytes, rounded to 8 bits",
        Choice(("f32", "bf16")),
        "f32",
    ),
    Option(
        "local-steps",
        "let ranks make K steps alone, then bring together weights, statistics and what the "
        "solver keeps, as at the end of an epoch; 0: all steps are made together",
        COUNT_OR_ZERO,
        0,
        metavar="K",
    ),
    Option(
        "outer-solver",
        "how the mean change of K local steps moves the weights: momentum is v = MU v + RATE "
        "change, w += v; nesterov looks ahead, as DiLoCo, which has MU 0.9 and RATE 0.7",
        Choice(("momentum", "nesterov")),
        "momentum",
    ),
    Option("outer-momentum", "MU of --outer-solver; 0: none", BELOW_ONE, 0.0, metavar="MU"),
    Option("outer-rate", "RATE of --outer-solver", POSITIVE, 1.0, metavar="RATE"),
    Option(
        "shard-above",
        "split fully connected and class layers with more parameters than this over the ranks, by "
        "outputs: then their inputs and outputs travel, and not their gradients and weights",
        COUNT_OR_ZERO,
        metavar="N",
    ),
)


class MultiParser(TrainParser):
    """Knows the word of 2017 for --resume too."""

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        return super().parse(["--resume" if word == "--restart" else word for word in arguments])


def parser() -> MultiParser:
    """Return the command line of model-train-multi."""
    half = [
        replace(option, default="half") if option.name == "border-mode" else option
        for option in GROUPS["network"]
    ]
    return MultiParser(
        "model-train-multi",
        "Train a network on labelled images by several processes, each with a GPU or some cores.",
        "model-train-multi --gpus 0 1 --model-desc C[128,3] BN A P[2] C[256,3] BN A P.A R \\\n"
        "    --train CIFAR10/train --test CIFAR10/test --ext png --epochs 30 --output-prefix run/a",
        {"ranks": RANKS, **GROUPS, "network": tuple(half)},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run model-train-multi; return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        place = started()
    except UsageError as error:
        tell_error(str(error), error.exit_code)
        return error.exit_code
    if place:
        return Rank(*place).run(words)
    return run(parser(), partial(start, words), words)


def start(words: Sequence[str], options: argparse.Namespace) -> int:
    """Train in this process if that is all, else start the ranks and return how they ended."""
    gpus = gpu_numbers(options)
    hosts = filled(options.hosts or [], options.ranks, len(gpus))
    ranks = sum(host.ranks for host in hosts) or options.ranks or len(gpus) or 1
    if gpus and max([host.ranks for host in hosts] or [ranks]) > len(gpus):
        raise UsageError(
            f"--ranks: more on a host than its {len(gpus)} GPUs: name one for each: GPU=0,1,2,3"
        )
    if ranks > 1 or hosts:
        return launch(["-c", PROGRAM, *words], ranks, hosts, gpus)
    if options.local_steps:
        raise UsageError("--local-steps: with one rank there is nobody to step without: --ranks 2")
    take_gpu(gpus)
    options.ranks = 1
    return train(options, opened=partial(look, options, options.model_dims), built=parser())


class Rank:
    """This process as rank ``rank`` of ``size`` that somebody has started."""

    def __init__(self, rank: int, size: int):
        self._rank, self._size = rank, size
        self._watch: Watch | None = None
        self._timeout = 0.0  # seconds, as the options say when they are known
        self._together = False  # all ranks end, and MPI with them

    def run(self, words: Sequence[str]) -> int:
        """Run the command and return its exit code, or end the process where MPI would hang."""
        self._take_streams()
        if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if TOKEN in os.environ:  # what Open MPI passes on to its ranks
            signal.signal(signal.SIGUSR1, lambda number, frame: signal.raise_signal(signal.SIGTERM))
        code = run(parser(), self._train, words, self._report)
        if code and not self._together:
            os._exit(code)
        return code

    def _take_streams(self) -> None:
        """Leave stdout to rank 0; let stderr be the terminal that the launcher has."""
        if self._rank:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if sys.stderr:
            text = sys.stderr.encoding
            sys.stderr = _Stderr(sys.stderr.detach(), text, line_buffering=True)  # type: ignore

    def _train(self, options: argparse.Namespace) -> int:
        from denet.multi.team import join

        self._timeout = options.timeout
        if options.ranks not in (None, self._size):
            raise UsageError(
                f"--ranks: {options.ranks}, but {self._size} have been started: leave it out"
            )
        options.ranks = self._size
        if self._rank:
            options.quiet = True
            logging.getLogger("denet").setLevel(LOG_LEVELS["error"])
        team, self._watch = join(options.timeout)
        guard(self._watch, explain)
        take_gpu(gpu_numbers(options))
        dims = None if self._rank else options.model_dims
        code = train(options, team, partial(look, options, dims), parser())
        self._watch.close()
        tell(self._rank, code)
        return code

    def _report(self, message: str, code: int) -> None:
        """Tell an error: to the other ranks, and to people if none of these does."""
        if not self._watch:
            # what is wrong with the options, all ranks find alike
            told = message if self._timeout or self._rank == 0 else ""
        elif code < 128 or not self._watch.close(self._timeout):
            return self._watch.fail(message, code)
        else:
            self._together = True
            told = "" if self._rank else message
        tell(self._rank, code, printable_error(told) if told else "")


class _Stderr(io.TextIOWrapper):
    """Stderr of a rank: mpiexec stands between it and the terminal."""

    def isatty(self) -> bool:
        return on_terminal()


def gpu_numbers(options: argparse.Namespace) -> list[int]:
    """Return the GPUs that --gpus or GPU=0,1 names for the ranks of a host. Raises UsageError."""
    text = os.environ.get("GPU", "")
    if options.gpus and text and TOKEN not in os.environ:
        raise UsageError(f"--gpus: together with GPU={text}: choose one of the two")
    if not text:
        return list(options.gpus or [])
    if not re.fullmatch("[0-9]{1,4}(,[0-9]{1,4})*", text):
        raise UsageError(f"GPU={text}: give numbers of GPUs, such as 0,1, or unset GPU")
    return [int(number) for number in text.split(",")]


def take_gpu(gpus: Sequence[int]) -> None:
    """Let this process compute on its one of the GPUs of its host. Raises UsageError."""
    own = local_rank()
    if gpus and own >= len(gpus):
        listed = ",".join(map(str, gpus))
        raise UsageError(f"GPU={listed}: none for rank {own} of this host: name one for each")
    if gpus:
        os.environ["GPU"] = str(gpus[own])


def filled(hosts: Sequence[Host], ranks: int | None, gpus: int) -> list[Host]:
    """Give hosts without a number of ranks theirs: one for each GPU. Raises UsageError."""
    full = [host if host.ranks else Host(host.name, gpus or 1) for host in hosts]
    room = sum(host.ranks for host in full)
    if full and ranks not in (None, room):
        raise UsageError(f"--ranks: {ranks}, but --hosts take {room}: leave one of the two out")
    return full


def look(options: argparse.Namespace, dims: str | None, model: Model) -> None:
    """Tell which options of ranks a network has no use for; write its ``dims``. Raises DataError.

    Scripts give these for any number of ranks and any network.
    """
    from denet.graph.op.batch_norm import BatchNorm

    alone = options.ranks == 1
    normalised = any(isinstance(node.op, BatchNorm) for node in model.graph(1).nodes)
    rows = (
        (alone, "sync-bn wire shard-above timeout", "one rank exchanges nothing"),
        (not normalised and not alone, "sync-bn", "the network has no batch normalisation"),
    )
    warn(options, RANKS, rows)
    write_dims(dims, model)


def write_dims(path: str | None, model: Model) -> None:
    """Write the shapes of a network as the file of 2017 has them. Raises DataError."""
    if path:
        from denet.report.layers import dimensions
        from denet.training.checkpoint import write_text

        write_text(Path(path), dimensions(model))
