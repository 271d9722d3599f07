"""Weights from files: single or in shards, of any float type; damaged, foreign or lying files are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from cloud_worker.engine.model.config import ModelConfig
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.model.linear import PackedLinear, PlainLinear, make_linear
from cloud_worker.engine.model.tensors import INDEX_FILE, SINGLE_FILE, SafetensorFiles
from cloud_worker.engine.model.weights import load_weights, random_weights
from edgewise.wire.errors import ConfigError, ManifestError
from tests.cloud_worker.engine.model.stepping import WildTensors, config_of, read_plainly, sequence

CONFIG = config_of(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=1)
NORM = "model.norm.weight"


def tensors(config: ModelConfig = CONFIG, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    shapes = config.sizes.tensors()
    source = WildTensors(shapes, torch.float32)
    return {name: source.take(name).to(dtype) for name in shapes}


def write_shards(directory: Path, given: dict[str, Tensor]) -> dict[str, str]:
    """Two shards and the map that an index holds."""
    homes = {name: f"model-{n % 2}.safetensors" for n, name in enumerate(given)}
    for file in set(homes.values()):
        save_file({name: given[name] for name in given if homes[name] == file}, directory / file)
    return homes


def write_index(directory: Path, homes: object) -> None:
    (directory / INDEX_FILE).write_text(json.dumps({"weight_map": homes}))


def hidden_of(directory: Path, precision: str = "float32") -> Tensor:
    decoder = Decoder(CONFIG, load_weights(directory, CONFIG, precision), 2)
    return read_plainly(decoder, sequence(9, 3, 40))


def test_shards_hold_what_a_single_file_holds(tmp_path: Path) -> None:
    single, shards = tmp_path / "single", tmp_path / "shards"
    single.mkdir()
    shards.mkdir()
    save_file(tensors(), single / SINGLE_FILE)
    write_index(shards, write_shards(shards, tensors()))
    assert torch.equal(hidden_of(single), hidden_of(shards))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_are_computed_widely_or_not(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file(tensors(dtype=dtype), tmp_path / SINGLE_FILE)
    assert torch.allclose(hidden_of(tmp_path), hidden_of(tmp_path, "bfloat16").float(), atol=0.2)
    with pytest.raises(ConfigError, match="float16"):
        load_weights(tmp_path, CONFIG, "float16")


def test_needless_tensors_are_passed_over(tmp_path: Path) -> None:
    tied = config_of(tie_word_embeddings=True)
    more = {"lm_head.weight": torch.zeros(100, 64), "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(8)}
    save_file(tensors(tied) | more, tmp_path / SINGLE_FILE)
    assert load_weights(tmp_path, tied, "float32").head.out_features == 100


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({NORM: None}, f"lack {NORM}"),
        ({"model.stranger": torch.zeros(3)}, "hold model.stranger"),
        ({NORM: torch.zeros(31)}, f"{NORM} has shape [31]"),
        ({NORM: torch.full((32,), float("nan"))}, f"{NORM} holds NaN"),
        ({NORM: torch.full((32,), float("inf"))}, f"{NORM} holds NaN or infinite"),
        ({NORM: torch.zeros(32, dtype=torch.int32)}, f"{NORM} is of type torch.int32"),
    ],
    ids=["missing", "extra", "shape", "nan", "inf", "type"],
)
def test_wrong_tensors_are_named(tmp_path: Path, changes: dict[str, Tensor | None], said: str) -> None:
    held = {name: value for name, value in (tensors() | changes).items() if value is not None}
    save_file(held, tmp_path / SINGLE_FILE)
    with pytest.raises(ManifestError) as caught:
        load_weights(tmp_path, CONFIG, "float32")
    assert said in caught.value.message


@pytest.mark.parametrize(
    "name", ["../w.safetensors", "/etc/w.safetensors", "a/b.safetensors", "w.bin", "", ".safetensors", 3, None]
)
def test_a_shard_cannot_leave_the_directory(tmp_path: Path, name: object) -> None:
    save_file(tensors(), tmp_path / "w.safetensors")
    inner = tmp_path / "inner"
    inner.mkdir()
    write_index(inner, {NORM: name})
    with pytest.raises(ManifestError, match="no name of a file"):
        load_weights(inner, CONFIG, "float32")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', "[" * 100_000])
def test_damaged_indexes_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX_FILE).write_text(text)
    with pytest.raises(ManifestError, match=r"index\.json"):
        load_weights(tmp_path, CONFIG, "float32")


def test_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        load_weights(tmp_path, CONFIG, "float32")
    write_index(tmp_path, {NORM: "gone.safetensors"})
    with pytest.raises(ManifestError, match=r"gone\.safetensors cannot be read"):
        load_weights(tmp_path, CONFIG, "float32")


@given(data=st.data())
def test_damaged_files_are_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    directory = tmp_path_factory.mktemp("damaged")
    path = directory / SINGLE_FILE
    save_file(tensors(), path)
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, 3000) | st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        whole[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
    try:
        files = SafetensorFiles(directory, CONFIG.sizes.tensors())
        for name in CONFIG.sizes.tensors():
            assert torch.isfinite(files.take(name)).all()
    except ManifestError as error:
        assert error.where.startswith(str(directory))


def test_random_weights_give_finite_logits() -> None:
    decoder = Decoder(CONFIG, random_weights(CONFIG, "bfloat16", seed=3), 1)
    assert torch.isfinite(decoder.logits(read_plainly(decoder, sequence(5, 2, 40)))).all()


def test_packed_products_have_the_bits_of_plain_ones() -> None:
    weight, x = torch.randn(48, 64).bfloat16(), torch.randn(12, 64).bfloat16()
    bias = torch.randn(48).bfloat16()
    layer = make_linear(weight, bias)
    assert isinstance(layer, PackedLinear | PlainLinear)
    assert layer.size_bytes == 48 * 64 * 2
    assert torch.equal(layer(x), PlainLinear(weight, bias)(x))
