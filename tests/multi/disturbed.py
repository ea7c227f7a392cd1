"""A training in which something happens to rank 1: disturbed.py KIND STEP PREFIX KEY=VALUE ...

"stopped" sends it a signal within that step (from 0), "spoilt" makes its weights no numbers before.
Prints what was saved, or the errors with which the ranks end.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
from collections.abc import Callable

import numpy as np
from mpi4py import MPI
from multi.trained import trainer

from denet.errors import DenetError
from denet.multi.team import MpiTeam
from denet.training.state import read_state


def main() -> None:
    """Train as a rank."""
    kind, step, prefix, *words = sys.argv[1:]
    changes = {name: ast.literal_eval(value) for name, value in (w.split("=", 1) for w in words)}
    team = MpiTeam(MPI.COMM_WORLD)
    run = trainer("nesterov", prefix, team, **changes)
    learner, update = run._learner, run._learner.update

    def disturbed(learn_rate: float, ends: bool = False) -> Callable[[], bool]:
        if learner.solver.iteration == int(step) and team.share.rank == 1:
            if kind == "stopped":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                learner.plan.weights[:] = np.nan
        return update(learn_rate, ends)

    learner.update = disturbed
    # which comes to the ranks that heard nothing of the first one
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run.run()
    except DenetError as error:
        print(f"{team.share.rank}: {type(error).__name__} {error}")
    except KeyboardInterrupt:
        if team.leads:
            at = read_state(f"{prefix}.state").position
            print(at.epoch, at.step)


if __name__ == "__main__":
    main()
