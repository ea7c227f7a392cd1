"""Options in YAML: read from --config, written by --print-config and into PREFIX_run.yaml."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from denet.cli.options import Option
from denet.errors import UsageError, nearest_hint
from denet.files import is_device
from denet.kind import Flag
from denet.printable import printable
from denet.retired import instead

MAX_CHARACTERS = 1 << 18  # of a file; YAML takes a second for so many
SHOWN_LENGTH = 80  # characters of the file that an error repeats
UNNAMEABLE = re.compile("[\0\ud800-\udc7f\udd00-\udfff]")  # no name of a file can hold them
OPTION = re.compile(r"-(?![0-9.])")  # what the command line takes for one


def config_text(options: Sequence[Option], values: Namespace) -> str:
    """Return the values of these options as YAML that --config takes."""
    texts = {
        option.name: json.dumps(getattr(values, option.key), ensure_ascii=False)
        for option in options
        if option.recorded
    }
    # its escapes are those of YAML too
    return "".join(f"{name}: {printable(text)}\n" for name, text in texts.items())


def config_arguments(path: str, options: Sequence[Option]) -> Iterator[tuple[list[str], str]]:
    """Yield, for each key of a YAML file, the command-line words it stands for and its place.

    Raises UsageError for a file that cannot be read, is no mapping or holds an unknown key.
    """
    known = {option.name: option for option in options}
    seen: set[str] = set()
    for key_node, value_node in _entries(path):
        place = f"{path} line {key_node.start_mark.line + 1}"
        key = str(key_node.value)[:SHOWN_LENGTH]
        name = key.replace("_", "-")
        if name not in known:
            hint = instead(name) or nearest_hint(name, list(known)).strip(" ()")
            raise UsageError(": ".join(filter(None, [f"unknown key {key!r}", place, hint])))
        if name in seen:
            raise UsageError(f"key {key!r} stands twice: {place}: remove one")
        seen.add(name)
        words = _words(value_node, f"{name}: {place}")
        if words is not None:
            try:
                yield _arguments(known[name], words), place
            except ValueError as error:
                raise UsageError(f"--{name} {error}: {place}") from None


def _entries(path: str) -> list:
    """Return the (key node, value node) pairs of the mapping in a YAML file."""
    import yaml

    try:
        root = yaml.compose(_text(path), yaml.SafeLoader)
    except RecursionError:
        raise UsageError(f"not YAML: {path}: too deeply nested") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path} line {mark.line + 1}" if mark else path
        problem = getattr(error, "problem", None) or getattr(error, "reason", "unreadable")
        raise UsageError(f"not YAML: {place}: {problem:.{SHOWN_LENGTH}}") from None
    if root is None:
        return []
    if isinstance(root, yaml.MappingNode):
        entries = list(root.value)
        if all(isinstance(key, yaml.ScalarNode) for key, _ in entries):
            return entries
    raise UsageError(f"not a list of 'option: value' lines: {path}: see --print-config")


def _text(path: str) -> str:
    """Return what a file holds, if that is text of a sensible length."""
    try:
        if is_device(path):
            raise UsageError(f"cannot read the configuration: {path}: a device or pipe, not a file")
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UsageError(f"cannot read the configuration: {path}: {reason}") from None
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"configuration of more than {MAX_CHARACTERS} characters: {path}")
    return text


def _words(node: Any, place: str) -> list[str] | None:
    """Return the scalars of a value as they were typed; None for null."""
    import yaml

    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
        return None
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not all(isinstance(item, yaml.ScalarNode) for item in items):
        raise UsageError(f"{place}: must be a value or a list of values")
    words = [item.value for item in items]
    for word in words:
        if UNNAMEABLE.search(word):
            raise UsageError(f"{place}: cannot take {word!r:.{SHOWN_LENGTH}}")
    return words


def _arguments(option: Option, words: list[str]) -> list[str]:
    if isinstance(option.kind, Flag):
        return [f"--{option.name}" if Flag().read(" ".join(words)) else f"--no-{option.name}"]
    if option.count is None:
        return [f"--{option.name}={' '.join(words)}"]
    for word in words:
        if OPTION.match(word):
            raise ValueError(f"takes no options; got {word!r:.{SHOWN_LENGTH}}")
    return [f"--{option.name}", *words]
