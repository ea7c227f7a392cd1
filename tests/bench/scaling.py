"""Measure steps of 1, 2 and 4 ranks here; simulate those of up to 1024 from their parts.

    python tests/bench/scaling.py --network r34 cifar --output scaling

Ranks are started by mpiexec, pinned to cores, one thread each; numbers of ranks take turns, in
fresh processes, and a run counts only on a quiet machine (see side_by_side.py). What is measured,
and medians of it, is described in scaling_rank.py, what is simulated in scaling_model.py. The
simulated steps of the measured cases stand beside these: exit code 1 and TOO MUCH tell that one
is off by more than 10 %. Ranks that share a core are taken to compute so many times as long.

In the directory: measured.json (``--measured`` reads it in the place of measuring), tables.md, and
a picture for each network.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from bench.scaling_model import (  # noqa: E402
    FREE,
    Cluster,
    Link,
    Work,
    fitted,
    fitted_alone,
    simulate,
)
from bench.scaling_rank import CLOCKS, NETWORKS  # noqa: E402
from bench.side_by_side import alternate  # noqa: E402

from denet.multi.exchange import BUCKET  # noqa: E402
from denet.report.plotting import new_figure, require_matplotlib, save_figure  # noqa: E402

LIMIT = 0.1  # of the measured step, which a simulated one may be off
DEVICES = 8  # of a machine
GIGABITS = (25, 100, 400)  # a second, out of a machine
RANKS = [2**power for power in range(11)]
YIELD = "MPIR_CVAR_ENABLE_HEAVY_YIELD=1"  # mpich's ranks of one core give way

MEASURED = (
    "measured: step, ms",
    "forward and backward alone",
    "update alone, a part",
    "exchange alone, a bucket of 4 MB",
    "all buckets",
    "handing out alone",
    "statistics alone",
    "waited",
    "added to the step",
)

Runs = dict[int, dict[str, Any]]  # what was measured, by number of ranks


def measure(network: str, given: argparse.Namespace, cores: int) -> Runs:
    """Run every number of ranks in turn; return medians of the runs that count."""
    launcher = str(Path(sys.executable).with_name("mpiexec"))
    launcher = launcher if Path(launcher).exists() else shutil.which("mpiexec") or "mpiexec"
    program = [sys.executable, str(HERE / "scaling_rank.py"), "--network", network]
    program += ["--rounds", str(given.rounds), "--clock", given.clock]
    commands = {
        str(ranks): ["env", *[YIELD] * (ranks > cores), launcher, "-n", str(ranks), *program]
        for ranks in given.ranks
    }
    found = {
        int(name): [run.result for run in runs] for name, runs in alternate(commands, given).items()
    }
    return {ranks: merged(results) for ranks, results in found.items() if results}


def merged(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the medians of numbers, and of lists of numbers, of several runs."""
    return {
        name: first
        if isinstance(first, str | int)
        else np.median([each[name] for each in results], axis=0).tolist()
        for name, first in results[0].items()
    }


def crowd(run: Mapping[str, Any]) -> int:
    """Return how many ranks share a core, as the clock sees it."""
    return math.ceil(run["ranks"] / run["cores"]) if run["clock"] == "wall" else 1


def work(runs: Runs, ranks: int) -> Work:
    """Return the step of a rank of so many; of more than were measured, as of the most.

    Computing is what it took where each rank had a core, as many times as long where they share.
    """
    alone = {number: run for number, run in runs.items() if crowd(run) == 1}
    run = alone.get(ranks) or alone[max(alone)]
    seen = runs.get(ranks, run)
    *gaps, tail = np.diff([0.0, *run["complete"], run["compute"]]).tolist()
    computing = Work(
        *(run["bytes"], gaps, tail, run["update"], run["state_bytes"], run["spread"])
    ).faster(1 / crowd(seen))
    return computing._replace(
        summing=_own(seen, "exchange"),
        within=_between(seen, "exchange"),
        copying=_own(seen, "hand_out"),
        handing=_between(seen, "hand_out"),
    )


def _own(run: Mapping[str, Any], part: str) -> Link:
    """Return what a rank pays for a part of a step even where it is the only one."""
    return fitted_alone(_calls(run, f"{part}_alone"))


def _between(run: Mapping[str, Any], part: str) -> Link:
    """Return what it pays for its messages to others."""
    if run["ranks"] == 1:
        return FREE
    calls = zip(_calls(run, part), _calls(run, f"{part}_alone"), strict=True)
    return fitted(
        [(run["ranks"], size, max(seconds - own, 1e-7)) for (size, seconds), (_, own) in calls]
    )


def _calls(run: Mapping[str, Any], part: str) -> list[tuple[float, float]]:
    """Return the (bytes, seconds) of a small call, and of one among those for all weights.

    Buckets are summed one by one, and handed out together. (A single large one, for which a rank
    sleeps between its polls, takes longer than one of several on their way.)
    """
    (size, seconds), *_, (whole, all_seconds) = run[part]
    count = len(run["bytes"]) if part.startswith("exchange") else 1
    return [(size, seconds), (whole / count, all_seconds / count)]


def simulated(runs: Runs, ranks: int) -> float:
    """Return the seconds of a measured case as they are simulated."""
    case = work(runs, ranks)
    return simulate(case, Cluster(ranks, ranks), case.spread)


def added(run: Mapping[str, Any]) -> float:
    """Return the part of a step that is neither forward, backward nor its part of the update."""
    return 1 - (run["compute"] + run["update"] / run["ranks"]) / run["step"]


def checks(runs: Runs) -> tuple[list[str], bool]:
    """Return the measured cases beside the simulated ones as a table, and whether all fit."""
    heads = ["ranks", *MEASURED, "simulated: step, ms", "off by"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    fit = True
    for ranks, run in sorted(runs.items()):
        seconds = [run["step"], run["compute"], run["update"] / ranks]
        if ranks > 1:
            seconds += [dict(run["exchange"])[4 * BUCKET], run["exchange"][-1][1]]
            seconds += [run["hand_out"][-1][1], run["join"], run["waited"]]
        cells = [f"{1e3 * each:.2f}" for each in seconds]
        cells += [f"{added(run):.1%}"] if ranks > 1 else [""] * (len(MEASURED) - len(cells))
        step = simulated(runs, ranks)
        off = step / run["step"] - 1
        fit &= abs(off) <= LIMIT
        cells += [f"{1e3 * step:.2f}", f"{off:+.1%}" + " TOO MUCH" * (abs(off) > LIMIT)]
        lines.append(f"| {ranks} | {' | '.join(cells)} |")
    return lines, fit


def schedules(given: argparse.Namespace) -> dict[str, tuple[bool, float]]:
    """Return what is simulated by name: whether in two levels, and the spread of computing."""
    return {
        "flat": (False, 0.0),
        "two levels": (True, 0.0),
        f"two levels, stragglers {given.spread:.0%}": (True, given.spread),
    }


def simulations(one: Work, given: argparse.Namespace) -> dict[tuple[str, int], list[float]]:
    """Return the seconds of a step by number of ranks, for each schedule and way out."""
    return {
        (name, gigabits): [
            simulate(
                one,
                Cluster(ranks, DEVICES, Link(given.latency, 8e-9 / gigabits), two_level),
                spread,
            )
            for ranks in RANKS
        ]
        for name, (two_level, spread) in schedules(given).items()
        for gigabits in GIGABITS
    }


def table(found: Mapping[tuple[str, int], Sequence[float]]) -> list[str]:
    """Return simulated steps as a table, and images/s of a device in % of those of one alone."""
    heads = [f"simulated: {name}, {gigabits} Gbit/s" for name, gigabits in found]
    lines = [f"| ranks | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for place, ranks in enumerate(RANKS):
        cells = [
            f"{1e3 * steps[place]:.2f} ms, {steps[0] / steps[place]:.0%}"
            for steps in found.values()
        ]
        lines.append(f"| {ranks} | {' | '.join(cells)} |")
    return lines


def picture(
    network: str,
    panels: Mapping[float, Mapping[tuple[str, int], Sequence[float]]],
    runs: Runs,
    path: Path,
) -> None:
    """Draw the images per second of a rank among many, against a rank alone, by number of ranks."""
    figure = new_figure(5.2 * len(panels), 4.4, dpi=120, layout="constrained")
    figure.suptitle(f"Simulated: {network}, machines of {DEVICES} devices")
    for axes, (faster, found) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
    ):
        styles = dict(zip(dict.fromkeys(name for name, _ in found), ("--", "-", ":"), strict=True))
        for (name, gigabits), steps in found.items():
            axes.plot(
                RANKS,
                [100 * steps[0] / step for step in steps],
                styles[name],
                color=f"C{GIGABITS.index(gigabits)}",
                label=f"{gigabits} Gbit/s, {name}",
            )
        if faster == 1:
            free = [ranks for ranks, run in sorted(runs.items()) if ranks <= run["cores"]]
            measured = [100 * runs[1]["step"] / runs[ranks]["step"] for ranks in free]
            name = f"measured, {runs[1]['clock']} clock, a core each"
            axes.plot(free, measured, "k*", label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(RANKS, [str(ranks) for ranks in RANKS])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("devices (simulated)")
        axes.set_title("a device as fast as a core" if faster == 1 else f"{faster:g} times as fast")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("images/s of a device, % of one alone")
    figure.axes[0].legend(fontsize=7)
    save_figure(figure, path)


def device(one: Work, faster: float, given: argparse.Namespace) -> Work:
    """Return the work on a device that is not a core: it sends messages as the network does."""
    return one.with_messages(given.latency).faster(faster)


def report(network: str, runs: Runs, given: argparse.Namespace) -> bool:
    """Print the tables of a network and draw its picture; return whether the simulation fits."""
    lines, fit = checks(runs)
    run = runs[max(runs)]
    clock = f"{run['clock']} clock, {run['cores']} cores"
    lines = [f"## {network}: measured, beside simulated ({clock})", "", *lines]
    one = work(runs, max(RANKS))
    kinds = {1.0: one, **{each: device(one, each, given) for each in given.faster if each != 1}}
    panels = {faster: simulations(kinds[faster], given) for faster in given.faster}
    for faster, found in panels.items():
        head = (
            f"## {network}: simulated, machines of {DEVICES} devices {faster:g} times as fast as a "
            "core here: a step, and images/s of a device in % of those of one alone"
        )
        lines += ["", head, "", *table(found)]
    text = "\n".join(lines) + "\n"
    with (given.output / "tables.md").open("a", encoding="utf-8") as file:
        file.write(text + "\n")
    picture(network, panels, runs, given.output / f"{network}.png")
    print(text)
    return fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=["r34", "cifar"])
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2, 4], help="1, 2 and more")
    parser.add_argument("--output", type=Path, required=True, help="directory")
    parser.add_argument("--measured", type=Path, help="a measured.json, in place of measuring")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="processor: busy machine")
    parser.add_argument("--rounds", type=int, default=9, help="steps of a run")
    parser.add_argument("--runs", type=int, default=3, help="that count, of each number of ranks")
    parser.add_argument("--attempts", type=int, default=9, help="most runs of each")
    parser.add_argument("--disturbance", type=float, default=0.08, help="limit, in cores")
    parser.add_argument("--faster", nargs="+", type=float, default=[1, 100], help="devices")
    parser.add_argument("--latency", type=float, default=5e-6, help="of a message, seconds")
    parser.add_argument("--spread", type=float, default=0.05, help="of stragglers, log-normal")
    given = parser.parse_args()
    if not {1, 2} <= {*given.ranks}:
        parser.error("--ranks: give 1 and 2 at least: all else is computed from these")
    require_matplotlib(str(given.output))
    given.threads = 1
    if given.clock == "processor":
        given.disturbance = math.inf
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "tables.md").unlink(missing_ok=True)
    found: dict[str, Any] = {}
    if given.measured:
        found = json.loads(given.measured.read_text(encoding="utf-8"))
        given.network = [network for network in given.network if network in found]
    fits = []
    for network in given.network:
        if not given.measured:
            runs = measure(network, given, len(os.sched_getaffinity(0)))
            found[network] = {str(ranks): run for ranks, run in runs.items()}
            text = json.dumps(found, indent=1)
            (given.output / "measured.json").write_text(text, encoding="utf-8")
        runs = {int(ranks): run for ranks, run in found[network].items()}
        if not {1, 2} <= {*runs}:
            sys.exit(f"{network}: no clean run of 1 or 2 ranks: quiet the machine, or give --clock")
        fits.append(report(network, runs, given))
    sys.exit(not all(fits))


if __name__ == "__main__":
    main()
