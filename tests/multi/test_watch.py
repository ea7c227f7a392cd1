"""Ranks as processes without MPI: what those that are left do when one of them is gone."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="MPI is started on POSIX only")

PROGRAM = Path(__file__).with_name("watched.py")
LONG = 60.0  # seconds; nothing here waits for it
RESUME = "--resume goes on from the last state"

Rank = subprocess.Popen[str]
Start = Callable[..., Rank]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return what starts a rank; all are killed in the end."""
    begun: list[Rank] = []

    def rank(number: int, size: int, timeout: float = LONG) -> Rank:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(number), str(size), str(timeout)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield rank
    for process in begun:
        process.kill()
        process.communicate()


def say(rank: Rank, words: str) -> None:
    assert rank.stdin
    rank.stdin.write(words + "\n")
    rank.stdin.flush()


def heard(rank: Rank) -> str:
    assert rank.stdout
    return rank.stdout.readline().strip()


def joined(start: Start, size: int, timeout: float = LONG) -> list[Rank]:
    """Return so many ranks that know each other."""
    ranks = [start(number, size, timeout) for number in range(size)]
    address = heard(ranks[0])
    for rank in ranks[1:]:
        say(rank, address)
    assert [heard(rank) for rank in ranks] == ["joined"] * size
    return ranks


def ends(ranks: list[Rank]) -> tuple[list[int], str]:
    """Return how these end, and all that they say."""
    told = [rank.communicate(timeout=30)[1] for rank in ranks]
    return [rank.returncode for rank in ranks], "".join(told)


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_rank_that_is_killed_takes_the_others_along(victim: int, start: Start) -> None:
    ranks = joined(start, 3)
    ranks[victim].kill()
    codes, told = ends(ranks)
    assert codes == [-signal.SIGKILL if rank == victim else 6 for rank in range(3)]
    assert told == f"error: rank {victim} of 3 (host): killed: {RESUME}\n"


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_silent_takes_the_others_along(victim: int, start: Start) -> None:
    ranks = joined(start, 3, 2.0)
    ranks[victim].send_signal(signal.SIGSTOP)
    codes, told = ends([rank for number, rank in enumerate(ranks) if number != victim])
    assert codes == [6, 6]
    assert told == f"error: rank {victim} of 3 (host): silent for 2 s: {RESUME}\n"
    ranks[victim].send_signal(signal.SIGCONT)  # and it finds itself alone
    assert ends([ranks[victim]]) == ([6], "")


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize(
    ("word", "code", "line"),
    [
        ("raise", 1, "error: the cause\n"),
        ("thread", 1, "error: the cause\n"),
        ("memory", 5, "error: too little of it\n"),
        ("exit", 3, "error: rank {} of 3 (host): killed: " + RESUME + "\n"),
    ],
)
def test_who_fails_tells_the_cause_once(
    word: str, code: int, line: str, victim: int, start: Start
) -> None:
    ranks = joined(start, 3)
    say(ranks[victim], word)
    codes, told = ends(ranks)
    assert codes == [code if rank == victim else 6 for rank in range(3)]
    assert told == line.format(victim)


def test_one_cause_is_told_where_all_fail_at_once(start: Start) -> None:
    ranks = joined(start, 4)
    for rank in ranks:
        say(rank, "raise")
    codes, told = ends(ranks)
    assert set(codes) <= {1, 6} and told == "error: the cause\n"


def test_who_knows_that_another_tells_is_silent(start: Start) -> None:
    ranks = joined(start, 3)
    say(ranks[1], "silent")
    say(ranks[2], "raise")
    codes, told = ends(ranks)
    assert codes == [6, 6, 1] and told == "error: the cause\n"


def test_all_close_together(start: Start) -> None:
    ranks = joined(start, 3)
    say(ranks[1], "close")
    say(ranks[0], "close")
    assert ranks[1].poll() is None  # it waits for the last
    say(ranks[2], "close")
    assert ends(ranks) == ([0, 0, 0], "")


def test_a_rank_that_closed_and_is_killed_is_missed(start: Start) -> None:
    ranks = joined(start, 2)
    say(ranks[1], "close")
    ranks[0].kill()
    codes, told = ends(ranks)
    assert codes == [-signal.SIGKILL, 6] and "rank 0 of 2 (host): killed" in told


def test_one_alone_has_nobody_to_wait_for(start: Start) -> None:
    ranks = joined(start, 1)
    say(ranks[0], "close")
    assert ends(ranks) == ([0], "")


def test_who_does_not_wait_ends_alone(start: Start) -> None:
    ranks = joined(start, 2)
    say(ranks[1], "impatient")
    assert ends(ranks) == ([6, 1], "")


STRANGERS = {
    "no token": b'{"rank": 1}\n',
    "another token": b'{"token": "00112233445566778899aabbccddeeff", "rank": 1}\n',
    "a token of another type": b'{"token": 5, "rank": 1}\n',
    "a token that is no ASCII": '{"token": "é", "rank": 1}\n'.encode(),
    "no JSON": b"GET / HTTP/1.1\r\n\r\n",
    "no text": b"\xff\xfe\x00\n",
    "a list": b"[1]\n",
    "depth": b"[" * 10_000 + b"\n",
    "two lines": b"{}\n{}\n",
}


@pytest.mark.parametrize("words", STRANGERS)
def test_a_stranger_is_dropped(words: str, start: Start) -> None:
    rank = start(0, 2)
    address = heard(rank)
    host, port, _ = json.loads(address)
    assert host == "127.0.0.1"  # nobody else can come where all ranks are on one host
    with socket.create_connection((host, port)) as stranger, socket.create_connection((host, port)):
        stranger.sendall(STRANGERS[words])
        assert is_dropped(stranger)
        other = start(1, 2)
        say(other, address)
        assert [heard(rank), heard(other)] == ["joined"] * 2
    say(rank, "close")
    say(other, "close")
    assert ends([rank, other]) == ([0, 0], "")


def test_a_line_without_end_is_dropped(start: Start) -> None:
    host, port, _ = json.loads(heard(start(0, 2)))
    with socket.create_connection((host, port)) as stranger, pytest.raises(OSError):
        for _ in range(10_000):
            stranger.sendall(b"x" * 4096)


def test_the_right_token_takes_no_place_that_is_none(start: Start) -> None:
    address = heard(start(0, 2))
    host, port, token = json.loads(address)
    for rank in (0, 2, -1, "1", 1.0, True, None):
        with socket.create_connection((host, port)) as stranger:
            stranger.sendall(json.dumps({"token": token, "rank": rank}).encode() + b"\n")
            assert is_dropped(stranger)


def test_nonsense_of_a_rank_is_its_end(start: Start) -> None:
    rank = start(0, 2)
    host, port, token = json.loads(heard(rank))
    with socket.create_connection((host, port)) as stranger:
        stranger.sendall(json.dumps({"token": token, "rank": 1}).encode() + b"\n")
        assert heard(rank) == "joined"
        stranger.sendall(b"nonsense\n")
        codes, told = ends([rank])
    assert codes == [6] and told == f"error: rank 1 of 2 (host): killed: {RESUME}\n"


def test_nobody_listens(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    rank = start(1, 2)
    say(rank, json.dumps(["127.0.0.1", port, "0" * 32]))
    codes, told = ends([rank])
    assert codes == [6] and told == (
        f"error: rank 1 of 2 (host): cannot reach rank 0 at 127.0.0.1 port {port}: Connection "
        "refused: let the hosts reach each other's ports\n"
    )


def test_a_rank_does_not_come(start: Start) -> None:
    codes, told = ends([start(0, 3, 0.2)])
    assert codes == [6] and told == (
        "error: rank 1 of 3 (host): did not join within 0.2 s: let the hosts reach each other's "
        "ports, or raise --timeout\n"
    )


def is_dropped(connection: socket.socket) -> bool:
    """Whether the other end closes, as soon as it has read what was sent."""
    connection.settimeout(20)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
