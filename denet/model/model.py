"""A model: layers, their parameters, the classes, and the shape of the images."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from denet.errors import DataError, DescriptionError, OutOfMemoryError, UsageError
from denet.graph.graph import Graph, Tensor
from denet.layer.base import Layer
from denet.layer.options import LayerOptions
from denet.memory import available_bytes, bytes_text
from denet.model.desc import build_layers, layer_tokens, layers_text, parse_desc
from denet.model.preprocessing import Preprocessing

Shape = tuple[int, int, int]
T = TypeVar("T")
MAX_LENGTH = 65536  # of an axis of the input
SHOWN_FAULTS = 3  # of many tensors that do not fit


def nameless(count: int) -> list[str]:
    """Return the labels of classes that have no names until they are given some: from 1, as ccv."""
    return [f"class {number}" for number in range(1, count + 1)]


def named(class_labels: Sequence[str]) -> bool:
    """Say whether classes have names, and not only numbers, from wherever these count."""
    return not all(re.fullmatch(r"class \d+", label) for label in class_labels)


@dataclass
class Model:
    """A network with its weights; holds everything that prediction needs.

    ``parameters`` has one dict per layer: {local name: float32 array in border layout}; the
    running statistics of batch normalisation are among them. Layers count from 1.
    """

    layers: list[Layer]
    input_shape: Shape  # (channels, height, width)
    class_labels: list[str]  # by class id
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    parameters: list[dict[str, np.ndarray]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)  # of its training, as JSON values

    def __post_init__(self) -> None:
        if max(self.input_shape) > MAX_LENGTH:
            raise DescriptionError(
                f"images of {self.input_shape} (channels, height, width): a model takes at most "
                f"{MAX_LENGTH} of each"
            )

    @classmethod
    def create(
        cls,
        text: str,
        input_shape: Sequence[int],
        class_labels: Sequence[str],
        options: LayerOptions | None = None,
        seed: int = 0,
        preprocessing: Preprocessing | None = None,
    ) -> Model:
        """Return a new model of a network text; raise DescriptionError if it cannot be built."""
        channels, height, width = input_shape
        model = cls(
            build_layers(parse_desc(text), options),
            (channels, height, width),
            list(class_labels),
            preprocessing or Preprocessing(),
        )
        model.preprocessing.check(model.input_shape)
        model.check_trainable()
        model.initialise(seed)
        return model

    def text(self) -> str:
        """Return the network text of the layers."""
        return layers_text(self.layers)

    def graph(
        self,
        batch_size: int,
        label_smoothing: float = 0.0,
        frozen: Collection[int] = frozenset(),
    ) -> Graph:
        """Return the graph of the network; parameters of the ``frozen`` layers are not trained.

        Input "data" (n, h, w, c); what else it takes and gives its last layer decides. Raises
        DescriptionError naming the layer and its input where shapes do not fit.
        """
        channels, height, width = self.input_shape
        graph = Graph(batch_size, len(self.class_labels), label_smoothing)
        x = graph.input("data", (batch_size, height, width, channels), "real")
        for number, layer in enumerate(self.layers, 1):
            if number > 1 and (why := self.layers[number - 2].last):
                raise self.layer_error(number, x, f"nothing may follow the layer before it: {why}")
            try:
                with graph.scope(f"{number}.{layer.type_name}", number in frozen):
                    x = layer.build(graph, x)
            except DescriptionError as error:
                raise self.layer_error(number, x, str(error)) from None
        return graph

    def input_maps(self) -> list[Shape]:
        """Return (height, width, channels) of the map that each layer receives.

        Raises DescriptionError where shapes do not fit.
        """
        channels, height, width = self.input_shape
        graph = Graph(1, len(self.class_labels))
        x = graph.input("data", (1, height, width, channels), "real")
        shapes: list[Shape] = []
        for prefix, layer in zip(self.prefixes(), self.layers, strict=True):
            shapes.append((x.shape[1], x.shape[2], x.shape[3]))
            with graph.scope(prefix):
                x = layer.build(graph, x)
        return shapes

    def check_trainable(self) -> None:
        """Raise DescriptionError unless every shape fits and the network ends in a cost."""
        if not self.class_labels:
            raise DescriptionError("the model has no classes: give at least one class label")
        if not self.graph(batch_size=1).costs:
            last = len(self.layers)
            raise DescriptionError(
                f'layer {last} "{self.token(last)}": the network ends here without a cost to '
                "train; end it with R"
            )

    def layer_error(self, number: int, x: Tensor, message: str) -> DescriptionError:
        """Return the error of a layer that does not fit its input ``x``."""
        _, height, width, channels = x.shape
        return DescriptionError(
            f'layer {number} "{self.token(number)}" on a map of {height}x{width} with '
            f"{channels} channels: {message}"
        )

    def token(self, number: int) -> str:
        """Return the token of the network text that layer ``number`` comes from."""
        for text, count in layer_tokens(self.layers):
            if number <= count:
                return text
            number -= count
        raise AssertionError(number)

    def initialise(self, seed: int) -> None:
        """Draw all parameters anew.

        Each array has a generator of its own, made from seed, layer and place in the layer: it
        does not depend on the other layers.
        """
        if seed < 0:
            raise UsageError(f"seed: must be 0 or more; got {seed}")
        available = available_bytes()
        if available is not None and 4 * self.parameter_count() > available:
            raise self._too_large(f"{bytes_text(available)} are free")
        try:
            self.parameters = [
                {
                    name: tensor.initial.sample(
                        tensor.shape, np.random.default_rng([seed, number, position])
                    )
                    for position, (name, tensor) in enumerate(tensors.items())
                    if tensor.initial
                }
                for number, tensors in enumerate(self.tensors(), 1)
            ]
        except MemoryError:
            raise self._too_large("more than there is") from None

    def _too_large(self, free: str) -> OutOfMemoryError:
        count = self.parameter_count()
        return OutOfMemoryError(
            f"model: its {count:,} parameters do not fit into memory: they take "
            f"{bytes_text(4 * count)}, {free}: use fewer filters or smaller windows, or pool the "
            "map before R"
        )

    def tensors(self) -> list[dict[str, Tensor]]:
        """Return the parameters and states of each layer as graph tensors, by local name."""
        return self.by_layer(self._tensors())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return {path: shape} of all parameters and states."""
        return {path: tensor.shape for path, tensor in self._tensors().items()}

    def _tensors(self) -> dict[str, Tensor]:
        graph = self.graph(batch_size=1)
        return graph.parameters | graph.states

    def by_layer(self, values: Mapping[str, T]) -> list[dict[str, T]]:
        """Return what is given by path as one dict by local name for each layer."""
        found: list[dict[str, T]] = [{} for _ in self.layers]
        for path, value in values.items():
            number, _, name = path.split(".", 2)
            found[int(number) - 1][name] = value
        return found

    def prefixes(self) -> Iterator[str]:
        """Yield what the path of a parameter starts with, for each layer."""
        for number, layer in enumerate(self.layers, 1):
            yield f"{number}.{layer.type_name}."

    def values(self) -> dict[str, np.ndarray]:
        """Return {path: array} of all parameters and states; the arrays are not copied."""
        return {
            prefix + name: value
            for prefix, values in zip(self.prefixes(), self.parameters, strict=True)
            for name, value in values.items()
        }

    def set_values(self, values: Mapping[str, np.ndarray]) -> None:
        """Take float32 copies of these arrays as all parameters and states.

        Raises DataError where they are not those of the network.
        """
        needed = self.shapes()
        if fault := misfit(needed, {path: value.shape for path, value in values.items()}):
            raise DataError(f"the weights are not those of the network: {fault}")
        self.parameters = self.by_layer(
            {path: np.array(values[path], np.float32) for path in needed}
        )

    def parameter_count(self) -> int:
        """Count the trained numbers; running statistics are not among them."""
        return sum(tensor.type.size for tensor in self.graph(batch_size=1).parameters.values())


def misfit(needed: Mapping[str, Sequence[int]], given: Mapping[str, Sequence[int]]) -> str:
    """Return in one line how tensors are not those needed, both by their shapes; "" if they are."""
    faults = [f"tensor {name!r} is missing" for name in needed if name not in given]
    faults += [
        f"tensor {name!r} has shape {list(given[name])!s:.80}, the network needs {list(shape)}"
        for name, shape in needed.items()
        if name in given and tuple(given[name]) != tuple(shape)
    ]
    faults += [f"tensor {name!r:.80} belongs to no layer" for name in given.keys() - needed.keys()]
    more = f" (and {len(faults) - SHOWN_FAULTS} more)" if len(faults) > SHOWN_FAULTS else ""
    return "; ".join(faults[:SHOWN_FAULTS]) + more
