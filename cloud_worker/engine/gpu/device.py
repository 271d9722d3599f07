"""Which GPUs the engine can compute on. Knows torch and nothing of models, so that a setting is refused at once."""

from __future__ import annotations

from importlib.metadata import distributions
from importlib.util import find_spec
from typing import Final

import torch

from edgewise.wire.errors import ConfigError

LEAST_CAPABILITY: Final = (8, 0)
"""Ampere: the first with products of bfloat16."""


def usable_device(name: str) -> torch.device:
    """The torch device of `cuda` or `cuda:N`. Raises ConfigError that says what is missing."""
    if not torch.cuda.is_available():
        raise _refused(name, "torch finds no GPU", "install a driver and a CUDA build of torch, or use --device cpu")
    index = torch.device(name).index or 0
    count = torch.cuda.device_count()
    if index >= count:
        raise _refused(name, f"the last of {count} is cuda:{count - 1}", "name one that is there")
    if torch.cuda.get_device_capability(index) < LEAST_CAPABILITY:
        raise _refused(name, f"{torch.cuda.get_device_name(index)} is too old", "use --device cpu")
    if find_spec("triton") is None:
        raise _refused(name, "Triton is not installed", "pip install 'edgewise[gpu]', or use --device cpu")
    return torch.device("cuda", index)


def device_named(device: torch.device) -> str:
    """The GPU's name, its toolkit and the release of cuBLAS; two of one capability may run other kernels."""
    if device.type != "cuda":
        return device.type
    cublas = [f"{each.name} {each.version}" for each in distributions() if each.name.startswith("nvidia-cublas")]
    return ", ".join((torch.cuda.get_device_name(device), f"CUDA {torch.version.cuda}", *sorted(cublas)))


def _refused(name: str, what: str, remedy: str) -> ConfigError:
    return ConfigError(
        f"The engine cannot compute on {name}: {what}",
        where="--device",
        expected="cpu, or a CUDA GPU of compute capability 8.0 or more and Triton",
        remedy=remedy,
    )
