"""Time PyTorch (channels_last) on one of our networks; print what model-bench prints.

One JSON object on stdout: images_per_second (median, and its best and worst step), ms_per_step,
build_seconds, peak_memory_mb (the process's largest resident set) and parameters. On a GPU a step
begins, as one of model-bench, with a batch in the host's memory, pinned here, and f32 is without
TF32.
Run it with an interpreter that has torch:  python tests/bench/torch_step.py --network r34
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch_network import NETWORKS, build, solver


def training_step(
    model: nn.Module, data: torch.Tensor, target: torch.Tensor, bf16: bool, kind: str
) -> Callable[[], object]:
    """Return a function that does one whole step: forward, cost, backward, statistics, solver."""
    model.train()
    optimizer = solver(model, learn_rate=0.01, decay=5e-4, kind=kind)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(data.device.type, torch.bfloat16, enabled=bf16):
            logits = model(data)
        nn.functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()

    return step


def prediction_step(model: nn.Module, data: torch.Tensor, autocast: bool) -> Callable[[], object]:
    """Return a function that computes the class probabilities of one batch."""
    model.eval()

    def step() -> torch.Tensor:
        with (
            torch.inference_mode(),
            torch.autocast(data.device.type, torch.bfloat16, enabled=autocast),
        ):
            return model(data).float().softmax(1).cpu()

    return step


def copied_step(
    compute: Callable[[], object], batch: tuple[torch.Tensor, ...]
) -> Callable[[], object]:
    """Return a step that first copies the batch from pinned memory of the host."""
    pinned = [tensor.cpu().pin_memory() for tensor in batch]

    def step() -> object:
        for host, tensor in zip(pinned, batch, strict=True):
            tensor.copy_(host, non_blocking=True)
        return compute()

    return step


def time_steps(
    step: Callable[[], object], count: int, warm_up: int, wait: Callable[[], object]
) -> list[float]:
    """Return the seconds of each of ``count`` steps after ``warm_up`` untimed ones."""
    for _ in range(warm_up):
        step()
    wait()
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        step()
        wait()
        seconds.append(time.perf_counter() - begin)
    return seconds


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=NETWORKS, default="r34")
    parser.add_argument("--mode", choices=("train", "predict"), default="train")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--image-size", type=int, default=128, help="width = height, pixels")
    parser.add_argument("--class-num", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--warm-up", type=int, default=3, help="untimed steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", type=torch.device, default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument(
        "--compile", action="store_true", help="by torch.compile, on a GPU with CUDA graphs"
    )
    parser.add_argument("--solver", choices=("loop", "foreach", "fused"), default="fused")
    parser.add_argument(
        "--convert",
        action="store_true",
        help="bf16 prediction: convert the weights once instead of autocast",
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    bf16 = arguments.precision == "bf16"
    begin = time.perf_counter()
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    device = arguments.device
    on_gpu = device.type == "cuda"
    model = build(arguments.network, arguments.class_num).to(device)
    n, size = arguments.batch_size, arguments.image_size
    data = torch.randn(n, 3, size, size, device=device)
    data = data.contiguous(memory_format=torch.channels_last)
    if arguments.compile:
        model.compile(mode="reduce-overhead" if on_gpu else None)
    target = torch.randint(0, arguments.class_num, (n,), device=device)
    if arguments.mode == "train":
        compute = training_step(model, data, target, bf16, arguments.solver)
    else:
        if arguments.convert:
            model, data = model.bfloat16(), data.bfloat16()
        compute = prediction_step(model, data, bf16 and not arguments.convert)
    step = copied_step(compute, (data, target)) if on_gpu else compute
    build_seconds = time.perf_counter() - begin
    seconds = time_steps(
        step,
        arguments.steps,
        arguments.warm_up,
        (lambda: torch.cuda.synchronize(device)) if on_gpu else lambda: None,
    )
    median = statistics.median(seconds)
    result = {
        "images_per_second": n / median,
        "images_per_second_min": n / max(seconds),
        "images_per_second_max": n / min(seconds),
        "ms_per_step": 1e3 * median,
        "build_seconds": build_seconds,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
