"""Primitives: described and created once, bound to memory once, then executed every step."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from ctypes import c_int, c_void_p
from typing import Any
from weakref import finalize

import numpy as np

from denet.backend.onednn.library import (
    LAST_IMPLEMENTATION,
    UNIMPLEMENTED,
    OneDnnError,
    failure,
    load,
)
from denet.backend.onednn.memory import Memory, MemoryDesc, dims
from denet.graph.kernel import Call

# dnnl_prop_kind_t
FORWARD_TRAINING, FORWARD_INFERENCE, BACKWARD = 64, 96, 128

# dnnl_query_t
_IMPLEMENTATION, _SCRATCHPAD = 8, 136
SRC_MD, WEIGHTS_MD, DIFF_WEIGHTS_MD, DST_MD, WORKSPACE_MD = 129, 131, 132, 133, 135

# argument indices of an execution
SRC, SRC_1, DST, WEIGHTS, BIAS = 1, 2, 17, 33, 41
MEAN, VARIANCE, SCALE, SHIFT, WORKSPACE, SCRATCHPAD = 49, 50, 51, 52, 64, 80
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_BIAS, DIFF_SCALE, DIFF_SHIFT = 129, 145, 161, 169, 255, 256
POST_OP_SRC = 32768 + SRC_1  # of the first post-op, a binary one

# dnnl_alg_kind_t
RELU, BINARY_ADD, BINARY_MULTIPLY = 0x20, 0x1FFF0, 0x1FFF1
_SCRATCHPAD_USER = 1


class Unserved(Exception):
    """oneDNN has no implementation, or no fast one, of what was asked for."""


class _Argument(ctypes.Structure):
    _fields_ = [("index", c_int), ("memory", c_void_p)]


class PostOps:
    """What a primitive does to its result before it is stored, in the order of the calls."""

    def __init__(self) -> None:
        self.handle = load().create("post_ops_create")
        finalize(self, load().call, "post_ops_destroy", self.handle).atexit = False

    def add_destination(self) -> PostOps:
        """Add what the destination held before."""
        load().call("post_ops_append_sum", self.handle, 1.0, 0, 0)
        return self

    def add(self, desc: MemoryDesc) -> PostOps:
        """Add an operand of this description, argument POST_OP_SRC if it is the first."""
        load().call("post_ops_append_binary", self.handle, BINARY_ADD, desc.handle)
        return self

    def relu(self) -> PostOps:
        """Apply max(0, y)."""
        load().call("post_ops_append_eltwise", self.handle, RELU, 0.0, 0.0)
        return self


class Primitive:
    """One oneDNN primitive: the first acceptable implementation of what is described.

    ``kind`` names the C function (dnnl_<kind>_primitive_desc_create), ``arguments`` are its
    arguments between engine and attributes: a tuple stands for dnnl_dims_t, None for a null
    pointer. ``accept`` judges the name of an implementation. Raises Unserved if none is left.
    """

    def __init__(
        self,
        kind: str,
        *arguments: Any,
        post_ops: PostOps | None = None,
        accept: Callable[[str], bool] = lambda name: not name.startswith("ref"),
    ):
        library = load()
        attributes = _attributes(post_ops)
        # a reorder names the engine of either side itself
        engine = [] if kind == "reorder" else [library.engine]
        plain = [*engine, *(_plain(argument) for argument in arguments), attributes]
        try:
            self.desc = library.create(f"{kind}_primitive_desc_create", *plain)
        except OneDnnError as error:
            if error.status == UNIMPLEMENTED:
                raise Unserved(f"{kind}: no implementation") from error
            raise
        finally:
            library.call("primitive_attr_destroy", attributes)
        finalize(self, library.call, "primitive_desc_destroy", self.desc).atexit = False
        while not accept(self.implementation):
            self._next_implementation(kind)
        self.handle = library.create("primitive_create", self.desc)
        finalize(self, library.call, "primitive_destroy", self.handle).atexit = False
        self._bound: list[Mapping[int, Memory]] = []  # kept alive as long as the calls

    @property
    def implementation(self) -> str:
        """The name that oneDNN gives the implementation, such as ``brgconv:avx512_core``."""
        name = ctypes.c_char_p()
        load().call("primitive_desc_query", self.desc, _IMPLEMENTATION, 0, ctypes.byref(name))
        return (name.value or b"").decode()

    @property
    def scratch(self) -> int:
        """Bytes of scratch memory that an execution needs."""
        return self.md(_SCRATCHPAD).nbytes

    def md(self, query: int) -> MemoryDesc:
        """Return the descriptor of one argument, as the implementation wants it."""
        return MemoryDesc.copy(load().query_md(self.desc, query, 0))

    def bind(
        self,
        memories: Mapping[int, Memory],
        scratch: np.ndarray | None = None,
        work: slice = slice(None),
    ) -> Call:
        """Return a call that executes the primitive on these memories, by argument index.

        It works in part ``work`` of ``scratch``, which has room for ``self.scratch`` bytes.
        """
        bound = dict(memories)
        if self.scratch:
            assert scratch is not None
            bound[SCRATCHPAD] = Memory(self.md(_SCRATCHPAD), scratch[work])
        arguments = (_Argument * len(bound))(
            *(_Argument(index, memory.handle) for index, memory in bound.items())
        )
        library = load()
        execute, handle, stream = library.execute, self.handle, library.stream
        count = c_int(len(bound))
        self._bound.append(bound)

        def call() -> None:
            status = execute(handle, stream, count, arguments)
            if status:
                raise failure(f"dnnl_primitive_execute {self.implementation}", status)

        return call

    def _next_implementation(self, kind: str) -> None:
        """Go on to the next implementation. A cached one may come up again: then it is the last."""
        before = self.implementation
        try:
            load().call("primitive_desc_next_impl", self.desc)
        except OneDnnError as error:
            if error.status != LAST_IMPLEMENTATION:
                raise
            before = self.implementation
        if self.implementation == before:
            raise Unserved(f"{kind}: no fast implementation")


def _attributes(post_ops: PostOps | None) -> c_void_p:
    """Return primitive attributes: scratch memory comes from the plan; these post-ops."""
    library = load()
    attributes = library.create("primitive_attr_create")
    library.call("primitive_attr_set_scratchpad_mode", attributes, _SCRATCHPAD_USER)
    if post_ops:
        library.call("primitive_attr_set_post_ops", attributes, post_ops.handle)
    return attributes


def _plain(argument: Any) -> Any:
    """Return an argument as ctypes takes it."""
    if isinstance(argument, MemoryDesc):
        return argument.handle
    if isinstance(argument, Primitive):
        return argument.desc
    return dims(*argument) if isinstance(argument, tuple) else argument


def reorder(source: MemoryDesc, target: MemoryDesc) -> Primitive:
    """Return the primitive that copies between two orders and element types."""
    engine = load().engine
    # weights are small: even a slow reorder is better than a slow convolution
    return Primitive("reorder", source, engine, target, engine, accept=lambda name: True)
