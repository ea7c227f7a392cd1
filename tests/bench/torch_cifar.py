"""Train a network on CIFAR in PyTorch from the image directory.

The images are held as bytes and augmented a batch at a time (shifted by up to 4 pixels into zeros,
half of them mirrored): faster than the usual one-by-one transforms. Prints the test accuracy per
epoch to stderr and one JSON object to stdout: images_per_second (median epoch; with augmentation,
without reading the files), accuracy, peak_memory_mb, read_seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch_network import NETWORKS, build, solver

SHIFT = 4  # pixels
MEAN = torch.tensor([0.4914, 0.4822, 0.4465])
STD = torch.tensor([0.2470, 0.2435, 0.2616])


def read_directory(root: Path, threads: int) -> tuple[Tensor, Tensor]:
    """Return images (n, h, w, 3) uint8 and class indices (n,) of ROOT/class/*.jpg."""
    classes = sorted(path.name for path in root.iterdir() if path.is_dir())
    files = [
        (file, k) for k, name in enumerate(classes) for file in sorted((root / name).iterdir())
    ]

    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    with ThreadPoolExecutor(threads) as pool:
        images = np.stack(list(pool.map(read, (path for path, _ in files))))
    return torch.from_numpy(images), torch.tensor([k for _, k in files])


def normalise(images: Tensor) -> Tensor:
    """Return (n, 3, h, w) in channels_last from bytes (n, h, w, 3)."""
    return ((images.float() / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def augment(padded: Tensor, indices: Tensor) -> Tensor:
    """Return the images of ``indices``, shifted by up to SHIFT pixels, half of them mirrored."""
    n, size = len(indices), padded.shape[1] - 2 * SHIFT
    rows = torch.randint(2 * SHIFT + 1, (n, 1)) + torch.arange(size)
    columns = torch.randint(2 * SHIFT + 1, (n, 1)) + torch.arange(size)
    columns = torch.where(torch.rand(n, 1) < 0.5, columns.flip(1), columns)
    return padded[indices[:, None, None], rows[:, :, None], columns[:, None, :]]


def training_batches(
    padded: Tensor, labels: Tensor, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch in random order; the last batch is short."""
    for indices in torch.randperm(len(labels)).split(batch_size):
        yield normalise(augment(padded, indices)), labels[indices]


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, bf16: bool) -> float:
    """Return the share of ``images`` whose most probable class is right."""
    model.eval()
    right = 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for data, target in zip(images.split(250), labels.split(250), strict=True):
            right += int((model(normalise(data)).argmax(1) == target).sum())
    return right / len(labels)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--network", choices=NETWORKS, default="cifar")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learn-rate", type=float, default=0.05)
    parser.add_argument("--learn-decay", type=float, default=5e-4)
    parser.add_argument("--learn-decay-all", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-samples", type=int, help="train on a random part")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    bf16 = arguments.precision == "bf16"
    begin = time.perf_counter()
    images, labels = read_directory(arguments.train, arguments.threads)
    test = read_directory(arguments.test, arguments.threads) if arguments.test else None
    read_seconds = time.perf_counter() - begin
    chosen = torch.randperm(len(labels))[: arguments.max_samples]
    padded = nn.functional.pad(images[chosen], (0, 0, SHIFT, SHIFT, SHIFT, SHIFT))
    labels = labels[chosen]

    model = build(arguments.network, class_num=10)
    optimizer = solver(
        model,
        arguments.learn_rate,
        arguments.learn_decay,
        decay_all=arguments.learn_decay_all,
    )
    step_num = arguments.epochs * math.ceil(len(labels) / arguments.batch_size)
    cosine = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / step_num))
    )
    speeds, accuracies = [], []
    for epoch in range(arguments.epochs):
        model.train()
        begin = time.perf_counter()
        for data, target in training_batches(padded, labels, arguments.batch_size):
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = model(data)
            nn.functional.cross_entropy(logits.float(), target).backward()
            optimizer.step()
            cosine.step()
        speeds.append(len(labels) / (time.perf_counter() - begin))
        if test is not None:
            accuracies.append(accuracy(model, *test, bf16))
            print(
                f"epoch {epoch + 1}: accuracy {100 * accuracies[-1]:.2f} %, "
                f"{speeds[-1]:.0f} images/s",
                file=sys.stderr,
            )
    result = {
        "images_per_second": statistics.median(speeds),
        "accuracy": accuracies,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "read_seconds": read_seconds,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
