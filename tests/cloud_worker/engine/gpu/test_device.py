"""A GPU that cannot be used is refused in words: none, too few, too old; and so is what the path does not compute."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cloud_worker.engine.exactness import LOOKED_TOKENS
from cloud_worker.engine.gpu.device import usable_device
from cloud_worker.engine.gpu.loading import OnDevice, check_options, kv_blocks, readable
from cloud_worker.engine.model.tensors import RandomTensors
from cloud_worker.engine.numerics import EngineOptions
from edgewise.generation.kv_memory import KV_ELEMENTS
from edgewise.wire.errors import ConfigError
from tests.cloud_worker.engine.model.stepping import config_of

GPU = EngineOptions(device="cuda", precision="bfloat16", slots=4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_without_a_gpu_it_says_so_and_what_to_do() -> None:
    with pytest.raises(ConfigError, match="torch finds no GPU") as caught:
        usable_device("cuda:3")
    assert caught.value.where == "--device" and "--device cpu" in caught.value.remedy


def test_integer_weights_are_refused() -> None:
    check_options(GPU)
    with pytest.raises(ConfigError, match="no int8 weights"):
        check_options(EngineOptions(device="cuda", weights="int8"))


def test_fast_numerics_are_for_gpus() -> None:
    assert EngineOptions(device="cuda", numerics="fast").numerics == "fast"
    with pytest.raises(ConfigError, match="fast"):
        EngineOptions(numerics="fast")


def test_the_cache_takes_what_is_free_and_no_more_than_can_be_used() -> None:
    config = config_of()
    block = config.kv_bytes(32, KV_ELEMENTS["bfloat16"])
    assert kv_blocks(config, 512, GPU, 40 * block) == 40
    assert kv_blocks(config, 512, GPU, 10**6 * block) == 2 * 4 * 16
    with pytest.raises(ConfigError, match="key-value cache hold 160 tokens"):
        kv_blocks(config, 512, GPU, 5 * block)


def test_a_cache_that_does_not_fit_is_refused_in_words() -> None:
    asked = replace(GPU, kv_cache_mb=64)
    assert kv_blocks(config_of(), 512, asked, 64 << 20) > 0
    with pytest.raises(ConfigError, match="do not fit") as caught:
        kv_blocks(config_of(), 512, asked, (64 << 20) - 1)
    assert caught.value.where == "kv_cache_mb" and "63" in caught.value.expected


@pytest.mark.parametrize(
    ("context", "most", "tokens"), [(512, 4096, LOOKED_TOKENS), (512, 700, 700), (4096, 8192, 4096)]
)
def test_a_decoder_has_room_for_what_is_looked_at(context: int, most: int, tokens: int) -> None:
    """A manifest may give less context than the model has: the look at start goes as far as the model does."""
    assert readable(context, config_of(max_position_embeddings=most)) == tokens


def test_weights_come_in_the_type_and_to_the_device_that_compute() -> None:
    tensor = OnDevice(RandomTensors({"a": (2, 3)}, torch.float16), torch.device("cpu"), torch.bfloat16).take("a")
    assert tensor.dtype == torch.bfloat16 and tensor.shape == (2, 3)
