"""The errors a user can meet. Each carries the exit code of the command that ends in it."""

from denet.printable import printable


class DenetError(Exception):
    """A fault outside the program, told in one line: what, where, how to mend it.

    The text may be made of names from anywhere: ``str`` has what acts in them escaped.
    """

    exit_code = 1
    kept = ""  # characters that act and are meant to

    def __str__(self) -> str:
        return printable(super().__str__(), self.kept)


class UsageError(DenetError):
    """A wrong option, value or combination of options."""

    exit_code = 2


class DescriptionError(UsageError):
    """A network description that cannot be parsed or built; further lines show the place."""

    kept = "\n"


class DataError(DenetError):
    """A dataset, image, label or model file that cannot be read or does not fit."""

    exit_code = 3


class DivergedError(DenetError):
    """Training reached a cost that is not a finite number."""

    exit_code = 4


class OutOfMemoryError(DenetError):
    """The network with this batch size does not fit into memory."""

    exit_code = 5


class WorkerError(DenetError):
    """A loader worker or a training rank died; without text where another rank tells all."""

    exit_code = 6


def nearest_hint(word: str, known: "list[str]") -> str:
    """Return ``" (did you mean 'x'?)"`` for the known word most like ``word``, else ``""``."""
    from difflib import get_close_matches

    matches = get_close_matches(word, known, n=1, cutoff=0.6)
    matches = matches or [each for each in known if len(word) > 1 and each.startswith(word)]
    return f" (did you mean {matches[0]!r}?)" if matches else ""
