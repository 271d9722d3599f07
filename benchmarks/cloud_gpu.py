"""`python -m benchmarks.cloud_gpu`: what a GPU can do, and what our engine makes of it, on one random 0.5 B model.

Bandwidth is a copy's, reading and writing counted, products are square ones of bfloat16. The roofline of a crowd is how
often a second the weights and all keys and values could be read. Without a GPU every figure is null, and says why.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.cloud_crowd import ANSWER_TOKENS, prompts
from benchmarks.cloud_ours import Ours, bench_manifest
from benchmarks.edge_models import random_directory
from benchmarks.report import Report, Row, machine, row, show
from cloud_worker.engine.gpu.device import usable_device
from cloud_worker.engine.loader import load_model
from cloud_worker.engine.model.config import ModelConfig, load_config
from cloud_worker.engine.numerics import EngineOptions, Numerics
from edgewise.generation.kv_memory import KV_ELEMENTS
from edgewise.wire.errors import ConfigError

CONCURRENT = (1, 8, 32)
ROUNDS = 5
NUMERICS: tuple[Numerics, ...] = ("exact", "fast")
_COPY_BYTES = 1 << 30
_SIZE = 8192
_REPEATS = 20
_STEP_TOKENS = 512


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cloud_gpu")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", type=Path, help="a Hugging Face directory")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    try:
        device = usable_device(given.device)
        name = f"{torch.cuda.get_device_name(device)}, {machine()}"
        rows = measured(device, given.model or random_directory("0.5b", say=_say), given.rounds)
    except ConfigError as error:
        name, rows = machine(), absent(error.message)
    show(Report("cloud engine on a GPU", name, rows), as_json=given.json)


def absent(reason: str) -> list[Row]:
    """Every row without a figure."""
    return [
        row(metric, condition, unit, "higher", math.nan, reason=reason)
        for metric, condition, unit in [
            ("bandwidth", "copy", "GB/s"),
            ("products", "bfloat16", "TFLOP/s"),
            *(
                (f"output tokens/s, {numerics}", _condition(count), "1/s")
                for numerics in NUMERICS
                for count in CONCURRENT
            ),
        ]
    ]


def measured(device: torch.device, directory: Path, rounds: int) -> list[Row]:
    """The device's limits, then crowds in each numerics beside their rooflines."""
    bytes_per_s, flop_per_s = bandwidth(device), products(device)
    rows = [
        row("bandwidth", "copy", "GB/s", "higher", bytes_per_s / 1e9, samples=_REPEATS),
        row("products", "bfloat16", "TFLOP/s", "higher", flop_per_s / 1e12, samples=_REPEATS),
    ]
    config = load_config(directory)
    weights = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
    for numerics in NUMERICS:
        _say(f"{numerics} numerics")
        options = EngineOptions(
            device=str(device),
            numerics=numerics,
            precision="bfloat16",
            slots=max(CONCURRENT),
            step_tokens=_STEP_TOKENS,
            speculation="off",
        )
        engine = Ours(load_model(directory, bench_manifest(), options))
        for count in CONCURRENT:
            speeds = [_speed(engine.crowd(prompts(count, number), ANSWER_TOKENS)) for number in range(rounds + 1)][1:]
            limit = roofline(config, weights, count, bytes_per_s)
            rows.append(
                row(
                    f"output tokens/s, {numerics}",
                    _condition(count),
                    "1/s",
                    "higher",
                    median(speeds),
                    limit=limit,
                    samples=rounds,
                )
            )
    return rows


def roofline(config: ModelConfig, weight_bytes: int, count: int, bytes_per_s: float) -> float:
    """Tokens/s of `count` answers, if a step took as long as reading the weights and what they wrote and were asked."""
    asked = sum(map(len, prompts(count, 1))) + count * ANSWER_TOKENS // 2
    return count * bytes_per_s / (weight_bytes + config.kv_bytes(asked, KV_ELEMENTS["bfloat16"]))


def bandwidth(device: torch.device) -> float:
    """Bytes a second of a copy on the device, read and written ones."""
    source = torch.randn(_COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2 * _COPY_BYTES / _seconds(lambda: target.copy_(source))


def products(device: torch.device) -> float:
    """Floating point operations a second of a square product."""
    left, right = (torch.randn(_SIZE, _SIZE, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * _SIZE**3 / _seconds(lambda: left @ right)


def _seconds(work: Callable[[], Any]) -> float:
    """The median of some runs, by the device's own clock."""
    times = []
    for _ in range(_REPEATS + 3):
        began, ended = (torch.Event(device="cuda", enable_timing=True) for _ in range(2))
        began.record()
        work()
        ended.record()
        torch.cuda.synchronize()
        times.append(float(began.elapsed_time(ended)) / 1000)
    return median(times[3:])


def _speed(told: dict[str, Any]) -> float:
    return float(told["tokens"] / told["seconds"])


def _condition(count: int) -> str:
    return f"{count} concurrent"


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    main()
