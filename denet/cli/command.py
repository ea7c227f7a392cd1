"""What all commands share: the parser made from option tables, the log, errors to exit codes."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from logging.handlers import MemoryHandler
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO

from denet.cli.config import config_arguments, config_text
from denet.cli.options import GENERAL, LOG_LEVELS, Groups, Option, Words
from denet.errors import DataError, DenetError, OutOfMemoryError, UsageError, nearest_hint
from denet.kind import Choice, Flag, Kind
from denet.memory import address_limit, bytes_text, is_out_of_memory
from denet.printable import LAYOUT, printable
from denet.retired import instead
from denet.version import __version__

# what there must be addresses for, and some for the program; short of them OpenBLAS may never end
LIBRARIES = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (5, resource.getrlimit(resource.RLIMIT_CPU)[1]))
try:
    import numpy, scipy.special
except ModuleNotFoundError:
    pass
bytearray(96 << 20)
"""


class Parser(argparse.ArgumentParser):
    """A command line made from tables of options, with --config, --print-config, --version.

    ``words`` names the option that words are of which stand behind no option.
    """

    def __init__(
        self, command: str, purpose: str, example: str, groups: Groups, words: str | None = None
    ):
        self._words = words
        super().__init__(
            command,
            usage=f"{command} [options]" + (f" {words.upper()}" if words else ""),
            description=purpose,
            epilog=f"--no-NAME takes back an option without value.\n\nexample:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.options: list[Option] = []
        for title, rows in {**groups, "general": GENERAL}.items():
            group = self.add_argument_group(title)
            self.options.extend(rows)
            for option in rows:
                _add(group, option)
        group.add_argument(
            "--config", metavar="FILE.yaml", help="options in YAML; those typed here win"
        )
        group.add_argument(
            "--print-config", action="store_true", help="print all options as YAML and stop"
        )
        group.add_argument("--version", action="version", version=f"denet {__version__}")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Return the values of all options, and as ``typed`` the names of those that were given.

        Raises UsageError.
        """
        values = argparse.Namespace()
        config = self.config_file(self._filled(self._parse(arguments, argparse.Namespace())))
        if config:
            for words, place in config_arguments(config, self.options):
                try:
                    self._parse(words, values)
                except UsageError as error:
                    raise UsageError(f"{error}: {place}") from None
        self._filled(self._parse(arguments, values))
        for option in self.options:
            value = getattr(values, option.key)
            if isinstance(option.kind, Words) and isinstance(value, list):
                setattr(values, option.key, " ".join(value))
        return values

    def config_file(self, values: argparse.Namespace) -> str | None:
        """Return the file of options that the ``values`` typed ask for."""
        config: str | None = values.config
        return config

    def config_text(self, values: argparse.Namespace) -> str:
        """Return the values of all options as YAML that --config takes."""
        return f"# {self.prog}, denet {__version__}\n{config_text(self.options, values)}"

    def require(self, values: argparse.Namespace, *names: str) -> None:
        """Raise UsageError unless these options have a value."""
        for option in self.options:
            if option.name in names and getattr(values, option.key) in (None, [], ""):
                raise UsageError(f"--{option.name} is missing: {option.help}: see --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print --help or --version; argparse itself would not tell that nobody took it."""
        print(message, end="", file=file, flush=True)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError (in the place of argparse's usage text and exit)."""
        raise UsageError(message.removeprefix("argument "))

    def _filled(self, values: argparse.Namespace) -> argparse.Namespace:
        """Give the options that are not typed their defaults."""
        values.typed = frozenset(vars(values))
        for option in self.options:
            if option.key not in values.typed:
                setattr(values, option.key, option.default)
        return values

    def _parse(self, arguments: Sequence[str], values: argparse.Namespace) -> argparse.Namespace:
        values, rest = self.parse_known_args(arguments, values)
        if not rest:
            return values
        word = rest[0].split("=")[0]
        if self._words:
            words = [each for each in rest if not each.startswith("-")]
            if words == rest:
                self._take_words(words, values)
                return values
            word = next(each for each in rest if each not in words).split("=")[0]
        if not word.startswith("-"):
            raise UsageError(f"unexpected word {word!r}: see --help")
        if text := instead(word):
            raise UsageError(f"unknown option {word!r}: {text}")
        names = [*(option.name for option in self.options), "config", "print-config", "version"]
        hint = nearest_hint(word, [f"--{name}" for name in names]) or ": see --help"
        raise UsageError(f"unknown option {word!r}{hint}")

    def _take_words(self, words: Sequence[str], values: argparse.Namespace) -> None:
        """Add words that stand behind no option to the values of the one they are of."""
        option = next(each for each in self.options if each.key == self._words)
        try:
            read = [option.kind.read(word) for word in words]
        except ValueError as error:
            raise UsageError(f"--{option.name}: {error}") from None
        setattr(values, option.key, [*getattr(values, option.key, []), *read])


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    """Add one row to a group; a flag also gets its opposite, --no-NAME."""
    settings: dict[str, Any] = {"dest": option.key, "default": argparse.SUPPRESS}
    text = option.full_help.replace("%", "%%")
    if isinstance(option.kind, Flag):
        group.add_argument(f"--{option.name}", action="store_true", help=text, **settings)
        hidden = argparse.SUPPRESS
        group.add_argument(f"--no-{option.name}", action="store_false", help=hidden, **settings)
        return
    metavar = option.metavar or option.name.split("-")[-1].upper()
    if isinstance(option.kind, Choice):
        metavar = "{" + ",".join(option.kind.words) + "}"
    settings |= {"nargs": option.count, "type": _reader(option.kind), "metavar": metavar}
    group.add_argument(f"--{option.name}", help=text, **settings)


def _reader(kind: Kind) -> Callable[[str], Any]:
    def read(word: str) -> Any:
        try:
            return kind.read(word)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def run(
    parser: Parser,
    command: Callable[[argparse.Namespace], int],
    arguments: Sequence[str] | None = None,
    report: Callable[[str, int], None] | None = None,
) -> int:
    """Parse, run the command and return the exit code; every error is one line on stderr.

    ``report`` tells an error, by its message and exit code, in another way.
    """
    signal.signal(signal.SIGTERM, _terminate)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _terminate)
    open_streams()
    debug, code = False, 0
    try:
        values = parser.parse(sys.argv[1:] if arguments is None else arguments)
        debug = values.debug
        start_log(values)
        if values.print_config:
            tell(parser.config_text(values).rstrip())
        else:
            check_libraries()
            code = command(values)
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # the reader of a pipe has seen enough
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            tell_aside(traceback.format_exc())
        message, code = explain(error)
        (report or tell_error)(message, code)
    for stream in (sys.stdout, sys.stderr):
        _let_go(stream)
    return code


def open_streams() -> None:
    """Let stdout and stderr take any text; a closed one takes it nowhere."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # a file that is opened would get this number, and what libraries print
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _let_go(stream: TextIO) -> None:
    """Drop what a stream cannot write: the interpreter would end with a code of its own for it."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def check_libraries() -> None:
    """Raise OutOfMemoryError if a limit on addresses leaves no room for NumPy and SciPy.

    They end the process if so, hence another tries it.
    """
    if address_limit() is None:
        return
    tried = subprocess.run([sys.executable, "-c", LIBRARIES], capture_output=True)
    if tried.returncode:
        raise OutOfMemoryError("out of memory: there is no room for NumPy and SciPy")


def explain(error: BaseException) -> tuple[str, int]:
    """Return the message and the exit code of an error that ended a command."""
    message, code = _explain(error)
    if code == OutOfMemoryError.exit_code and (limit := address_limit()):
        message += f"; the limit on addresses (ulimit -v) is {bytes_text(limit)}: raise it"
    return message, code


def _explain(error: BaseException) -> tuple[str, int]:
    if isinstance(error, DenetError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 128 + (error.args[0] if error.args else signal.SIGINT)
    if is_out_of_memory(error):
        mend = "stop other programs, or take smaller images, or a smaller --batch-size"
        return f"out of memory: {mend}", OutOfMemoryError.exit_code
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("denet"):
        package = "pillow" if error.name == "PIL" else error.name
        return f"{error.name} is not installed: pip install {package}", UsageError.exit_code
    if isinstance(error, FileNotFoundError) and not error.filename:
        return "the current directory has been deleted: cd to another", DataError.exit_code
    if isinstance(error, OSError) and error.strerror:
        place = printable(f"{error.filename or 'standard output'}")
        return f"{error.strerror}: {place}", DataError.exit_code
    what = printable(f"{type(error).__name__}: {error}".rstrip(": "))
    return f"internal: {what}: run again with --debug and report it", 1


def tell(text: str) -> None:
    """Print a result, of one or several lines, on stdout."""
    print(printable(text, LAYOUT))


def tell_aside(text: str) -> None:
    """Print the same on stderr, if that can be written."""
    with suppress(OSError):
        print(printable(text, LAYOUT), file=sys.stderr)


def tell_error(message: str, code: int) -> None:
    """Tell an error that ends the command; without a message somebody else does."""
    if message:
        tell_aside(f"error: {message}")


def start_log(values: argparse.Namespace) -> None:
    """Send messages to stderr from the level that was asked for."""
    logging.raiseExceptions = False  # a full disk is told by what cannot be saved
    logging.addLevelName(LOG_LEVELS["verbose"], "VERBOSE")
    log = logging.getLogger("denet")
    log.setLevel(LOG_LEVELS["warning" if values.quiet else values.log_level])
    log.handlers.clear()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_StderrFormatter())
    log.addHandler(handler)
    log.addHandler(MemoryHandler(capacity=1 << 16, flushLevel=logging.CRITICAL + 1))


def log_to_file(path: Path) -> None:
    """Append all messages to a file too, first those that came before it could exist."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_LineFormatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("denet")
    for earlier in [each for each in log.handlers if isinstance(each, MemoryHandler)]:
        earlier.setTarget(handler)
        earlier.flush()
        log.removeHandler(earlier)
    log.addHandler(handler)


class _LineFormatter(logging.Formatter):
    """Each message in one line, whatever names it holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


class _StderrFormatter(_LineFormatter):
    """Plain messages; warnings and errors say that they are."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)
