"""The pickles of torch.save read as data: an interpreter that calls nothing outside this file.

A pickle is a program for a stack machine (the opcodes are told in Python's pickletools). Known
here are those that make numbers, texts, lists and dicts, and names out of CALLS and ELEMENTS,
which stand for functions of this file. Any other opcode or name is refused, and the name is told.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from denet.errors import DataError
from denet.model.format.tensor_file import MAX_AXES
from denet.printable import printable

MAX_BYTES = 32 << 20  # of a pickle: an array takes some hundred
MAX_STEPS = 2_000_000  # that a pickle may take: an array takes about 35
MAX_PROTOCOL = 5
SHOWN_LENGTH = 80  # characters of a name that an error repeats

# class of a storage: NumPy's type of its elements; those of bfloat16 are its bits
ELEMENTS = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}


@dataclass(frozen=True)
class Name:
    """A name that a pickle would import."""

    text: str


@dataclass(frozen=True)
class Storage:
    """Elements that lie in the file: ``size`` of those under ``key``, from ``offset`` on."""

    elements: str  # a value of ELEMENTS
    key: str
    held: int  # elements under the key
    offset: int
    size: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Machine:
    """Interprets the pickles that stand behind one another in ``content``; DataError for others."""

    def __init__(self, content: bytes, source: str):
        self.content, self.source = content, source
        self.position = self.steps = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []  # heights of the stack
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}  # one for each key that was told

    def run(self) -> Any:
        """Return the value of the pickle that begins at the position; stay behind it."""
        self.stack, self.marks, self.memo = [], [], {}
        while (code := self.take(1)) != STOP:
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise self.fault(f"a pickle of more than {MAX_STEPS:,} steps")
            if code not in STEPS:
                raise self.fault(f"the pickle has the opcode {code!r}, weights need none such")
            STEPS[code](self)
        return self.pop()

    def fault(self, what: str) -> DataError:
        """Return the error that says ``what`` is wrong with the file."""
        return DataError(f"cannot read weights: {self.source}: {what}")

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        end = self.position + count
        if end > len(self.content):
            raise self.fault("the pickle is cut short; take another copy")
        self.position, start = end, self.position
        return self.content[start:end]

    def line(self) -> str:
        """Return the text up to the end of a line."""
        end = self.content.find(b"\n", self.position)
        if end < 0:
            raise self.fault("the pickle is cut short; take another copy")
        text = self.take(end - self.position).decode("latin-1")
        self.take(1)
        return text

    def integer(self, count: int, signed: bool = False) -> int:
        """Return the whole number that the next bytes hold."""
        return int.from_bytes(self.take(count), "little", signed=signed)

    def text(self, width: int) -> str:
        """Return a text whose length stands before it, in ``width`` bytes."""
        return self.take(self.integer(width)).decode("utf-8", "replace")

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the topmost value off the stack."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.fault("the pickle takes what it has not put there")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """Take all values above the last mark off the stack, and the mark."""
        if not self.marks:
            raise self.fault("the pickle takes what it has not put there")
        height = self.marks.pop()
        values = self.stack[height:]
        del self.stack[height:]
        return values

    def several(self, count: int) -> list[Any]:
        """Take so many values off the stack; the topmost is the last."""
        return [self.pop() for _ in range(count)][::-1]

    def top(self, kind: type) -> Any:
        """Return the topmost value, which is of this type."""
        value = self.pop()
        self.push(value)
        if type(value) is not kind:
            raise self.fault(
                f"the pickle puts into {type(value).__name__} what fits {kind.__name__}"
            )
        return value

    def put(self, place: int) -> None:
        """Remember the topmost value."""
        value = self.pop()
        self.push(value)
        self.memo[place] = value

    def get(self, place: int) -> None:
        """Put a value that was remembered on the stack."""
        if place not in self.memo:
            raise self.fault(f"the pickle remembers nothing under {place}")
        self.push(self.memo[place])

    def set_items(self, values: list[Any]) -> None:
        """Put keys and values, in turn, into the dict on the stack."""
        into = self.top(dict)
        if len(values) % 2:
            raise self.fault("the pickle has a key without a value")
        into.update(self.keyed(zip(values[::2], values[1::2], strict=True)))

    def keyed(self, pairs: Any) -> dict[Any, Any]:
        """Return a dict of these pairs; of deep keys Python's own hash would overrun its stack."""
        found = {}
        for key, value in pairs:
            if type(key) not in (str, int, float, bool, type(None)):
                raise self.fault(f"the pickle has a {type(key).__name__} as a key")
            found[key] = value
        return found

    def import_name(self, module: Any, attribute: Any) -> None:
        """Put a name on the stack if it is one that weights need."""
        text = f"{module}.{attribute}" if isinstance(module, str) else ""
        if text not in CALLS and text not in ELEMENTS:
            raise self.fault(
                f"it asks for {printable(text)!r:.{SHOWN_LENGTH}}, which is no part of weights: "
                "nothing of it was run; save them with torch.save(model.state_dict(), FILE)"
            )
        self.push(Name(text))

    def call(self) -> None:
        """Put on the stack what stands for the call of a name."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name) or name.text not in CALLS or type(arguments) is not tuple:
            shown = name.text if isinstance(name, Name) else type(name).__name__
            raise self.fault(f"the pickle calls {shown!r}, which is no function of weights")
        try:
            value = CALLS[name.text](self, *arguments)
        except (TypeError, ValueError):
            raise self.fault(f"the pickle calls {name.text!r} with what does not fit it") from None
        self.push(value)

    def build(self) -> None:
        """Leave attributes out: of a dict those that OrderedDict has, of a tensor its hooks."""
        self.pop()
        if type(target := self.pop()) not in (dict, Tensor):
            raise self.fault(f"the pickle gives attributes to {type(target).__name__}")
        self.push(target)

    def persistent(self) -> None:
        """Put the storage on the stack that a tuple tells.

        ("storage", class, key, place, elements), in old files then None or (key, offset, elements)
        of a part of it.
        """
        match told := self.pop():
            case ("storage", Name(name), str(key), _, int(held)) if name in ELEMENTS:
                part = None
            case ("storage", Name(name), str(key), _, int(held), part) if name in ELEMENTS:
                pass
            case _:
                raise self.fault(f"a {type(told).__name__} where a storage should be told")
        match part:
            case None:
                offset, size = 0, held
            case (str(), int(offset), int(size)):
                pass
            case _:
                raise self.fault(
                    f"a {type(part).__name__} where a part of a storage should be told"
                )
        if held < 0 or not 0 <= offset <= offset + size <= held:
            raise self.fault(f"{size} elements from {offset} on of a storage of {held}")
        storage = Storage(ELEMENTS[name], key, held, offset, size)
        known = self.storages.setdefault(key, storage)
        if (known.elements, known.held) != (storage.elements, held):
            raise self.fault(f"the storage {key!r:.20} is told in two ways")
        self.push(storage)


def ordered_dict(machine: Machine, pairs: Any = ()) -> dict[Any, Any]:
    """Return what stands for OrderedDict(pairs)."""
    return machine.keyed((key, value) for key, value in pairs)


def namespace(machine: Machine) -> dict[str, Any]:
    """Return what stands for Namespace(): options of a training, which are left out."""
    return {}


def tensor(
    machine: Machine, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any
) -> Tensor:
    """Return what torch._utils._rebuild_tensor makes, once it lies within its storage."""
    if not isinstance(storage, Storage) or len(shape) > MAX_AXES:
        raise machine.fault("a tensor without a storage, or with too many axes")
    numbers = (offset, *shape, *strides)
    if any(type(number) is not int for number in numbers):
        raise machine.fault("a tensor of what is no whole numbers")
    count, last = 1, offset
    for length, stride in zip(shape, strides, strict=True):
        count *= length
        last += (length - 1) * stride
    # elements that are told several times would multiply what is read
    if min(numbers) < 0 or count > storage.size or (count and last >= storage.size):
        raise machine.fault(
            f"a tensor of shape {list(shape)!s:.{SHOWN_LENGTH}} from {offset} on with strides "
            f"{list(strides)!s:.{SHOWN_LENGTH}} does not lie within its {storage.size} elements"
        )
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def parameter(machine: Machine, data: Any = None, *_: Any) -> Any:
    """Return the tensor of a Parameter."""
    return data


def size(machine: Machine, lengths: Any = ()) -> tuple[Any, ...]:
    """Return torch.Size as a tuple."""
    return tuple(lengths)


def device(machine: Machine, *words: Any) -> str:
    """Return torch.device as text."""
    return ":".join(map(str, words)) if all(type(each) in (str, int) for each in words) else ""


CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": ordered_dict,
    "argparse.Namespace": namespace,
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": parameter,
    "torch.nn.parameter.Parameter": parameter,
    "torch.Size": size,
    "torch.device": device,
}
STOP = b"."


def check_protocol(machine: Machine) -> None:
    """Raise DataError for a pickle of a protocol that there is not."""
    if (protocol := machine.integer(1)) > MAX_PROTOCOL:
        raise machine.fault(f"a pickle of protocol {protocol}")


STEPS: dict[bytes, Callable[[Machine], Any]] = {
    b"\x80": check_protocol,
    b"\x95": lambda machine: machine.take(8),  # length of a frame
    b"(": lambda machine: machine.marks.append(len(machine.stack)),
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"K": lambda machine: machine.push(machine.integer(1)),
    b"M": lambda machine: machine.push(machine.integer(2)),
    b"J": lambda machine: machine.push(machine.integer(4, signed=True)),
    b"\x8a": lambda machine: machine.push(machine.integer(machine.integer(1), signed=True)),
    b"G": lambda machine: machine.push(struct.unpack(">d", machine.take(8))[0]),
    b"X": lambda machine: machine.push(machine.text(4)),
    b"\x8c": lambda machine: machine.push(machine.text(1)),
    b"T": lambda machine: machine.push(machine.text(4)),
    b"U": lambda machine: machine.push(machine.text(1)),
    b"]": lambda machine: machine.push([]),
    b"}": lambda machine: machine.push({}),
    b")": lambda machine: machine.push(()),
    b"t": lambda machine: machine.push(tuple(machine.marked())),
    b"\x85": lambda machine: machine.push(tuple(machine.several(1))),
    b"\x86": lambda machine: machine.push(tuple(machine.several(2))),
    b"\x87": lambda machine: machine.push(tuple(machine.several(3))),
    b"a": lambda machine: _append(machine, machine.several(1)),
    b"e": lambda machine: _append(machine, machine.marked()),
    b"s": lambda machine: machine.set_items(machine.several(2)),
    b"u": lambda machine: machine.set_items(machine.marked()),
    b"q": lambda machine: machine.put(machine.integer(1)),
    b"r": lambda machine: machine.put(machine.integer(4)),
    b"\x94": lambda machine: machine.put(len(machine.memo)),
    b"h": lambda machine: machine.get(machine.integer(1)),
    b"j": lambda machine: machine.get(machine.integer(4)),
    b"c": lambda machine: machine.import_name(machine.line(), machine.line()),
    b"\x93": lambda machine: machine.import_name(*machine.several(2)),
    b"R": Machine.call,
    b"\x81": Machine.call,
    b"b": Machine.build,
    b"Q": Machine.persistent,
}


def _append(machine: Machine, values: list[Any]) -> None:
    machine.top(list).extend(values)
