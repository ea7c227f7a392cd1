"""The running statistics of batch normalisation, taken anew over a dataset.

image_num = update_bn(model, dataset, backend, batch_size=128)
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from denet.dataset import Dataset
from denet.dataset.loader import Loader
from denet.errors import DivergedError, UsageError
from denet.evaluate.plan_set import PlanSet
from denet.graph.graph import Graph
from denet.graph.kernel import Backend
from denet.layer.dropout import DropoutLayer
from denet.model.model import Model
from denet.training.progress import follow
from denet.training.tester import check_targets


def update_bn(
    model: Model,
    dataset: Dataset,
    backend: Backend,
    precision: str = "f32",
    *,
    batch_size: int = 128,
    thread_num: int = 1,
    seed: int = 0,
) -> int:
    """Set every running mean and variance of ``model`` to its mean over the batches of one pass.

    The images come as in training, shuffled and varied as the dataset does it. Each batch is
    normalised by its own mean and variance; the variances are unbiased, and a short batch counts
    for its share. Weights stay as they are. There is no dropout, as there is none in prediction.
    Returns the number of batch normalisations. Raises UsageError if there is none, DataError for a
    dataset that does not fit, DivergedError if a statistic is not finite, OutOfMemoryError.
    """
    names = check_updatable(model)
    check_targets(model, dataset)
    loader = Loader(
        dataset,
        min(batch_size, len(dataset)),
        model.preprocessing,
        seed=seed,
        thread_num=thread_num,
        training=True,
        feed=backend.memory.feed,
    )
    plans = PlanSet(
        lambda size: statistics_graph(model, size), loader.batch_size, backend, "train", precision
    )
    memory = loader.working_bytes, loader.order_bytes + loader.process_bytes, loader.ahead_bytes
    plans.check_memory("taking statistics", *memory)
    plans.full.load(model.values())
    total = np.zeros(plans.full.states.shape)
    with closing(follow(loader, 0, "statistics")) as batches:
        for batch, _ in batches:
            inputs: dict[str, Any] = {"data": batch.data, **batch.targets}
            plans[len(batch.data)].run(inputs, batch.sample_keys)
            total += backend.memory.read(plans.full.states) * (len(batch.data) / len(dataset))
    backend.memory.write(total, plans.full.states)
    values = plans.full.values()
    updated = {name: values[name] for name in names}
    for name, value in updated.items():
        if not np.isfinite(value).all():
            raise DivergedError(f"{name} is not finite: the weights of the model are ruined")
    model.set_values(model.values() | updated)
    return len(names) // 2


def check_updatable(model: Model) -> list[str]:
    """Return the names of the statistics of a model; raise UsageError if it has none."""
    model.check_trainable()
    names = [update.state.name for update in statistics_graph(model, 1).updates]
    if not names:
        raise UsageError("the model has no batch normalisation: there is nothing to update")
    return names


def statistics_graph(model: Model, batch_size: int) -> Graph:
    """Return the graph of a network whose run leaves the statistics of the batch, and no more.

    Nothing is trained, so there is no backward pass.
    """
    layers = [
        replace(layer, rate=0.0) if isinstance(layer, DropoutLayer) else layer
        for layer in model.layers
    ]
    graph = replace(model, layers=layers).graph(batch_size)
    for tensor in graph.parameters.values():
        tensor.trainable = False
    graph.updates = [replace(update, momentum=0.0) for update in graph.updates]
    return graph
