"""A rank that only watches the others, without MPI: watched.py RANK RANKS TIMEOUT.

Rank 0 prints the address that the others are given on stdin; all print "joined", then do what a
word on stdin says.
"""

import json
import os
import sys
import threading

from denet.errors import DenetError
from denet.multi.watch import Watch, guard


def explain(error: BaseException) -> tuple[str, int]:
    return f"{error}", 5 if isinstance(error, MemoryError) else 1


def fail() -> None:
    raise ValueError("the cause")


def broadcast(address: object) -> object:
    if address is None:
        return json.loads(sys.stdin.readline())
    print(json.dumps(address), flush=True)
    return address


def main() -> int:
    rank, size, timeout = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    try:
        watch = Watch(rank, ["host"] * size, broadcast, timeout)
    except DenetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    guard(watch, explain)
    print("joined", flush=True)
    word = sys.stdin.readline().strip()
    match word:
        case "raise":
            fail()
        case "thread":
            threading.Thread(target=fail).start()
        case "exit":
            os._exit(3)
        case "memory":
            raise MemoryError("too little of it")
        case "silent":
            watch.fail("", 6)
            os._exit(6)
        case "close":
            return 0 if watch.close() else 1
        case "impatient":
            return 0 if watch.close(0.01) else 1
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
