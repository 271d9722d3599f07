"""Our Qwen2 is Hugging Face's: same logits from the same files; and feeding it piecemeal changes nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.forge.qwen2 import KVCache, KVCacheFullError, ModelFileError, Qwen2, Qwen2Config
from tests.factories.models import TINY, tiny_model

IDS = torch.randint(5, TINY.vocab_size, (2, 24), generator=torch.Generator().manual_seed(3))
POSITIONS = torch.arange(24).expand(2, 24)


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_the_logits_are_those_of_transformers(tmp_path: Path, tied: bool) -> None:
    from transformers import Qwen2ForCausalLM

    ours = tiny_model(dataclasses.replace(TINY, tie_word_embeddings=tied, rope_theta=5000.0))
    for name, value in ours.named_parameters():
        if name.endswith(("bias", "norm.weight")):
            value.uniform_(0.5, 1.5)
    ours.save(tmp_path, torch.float32)
    theirs = Qwen2ForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    assert close(ours(IDS, POSITIONS), theirs.train(False)(IDS).logits)


@pytest.mark.parametrize("pieces", [[24], [1] * 24, [7, 1, 1, 10, 5]])
@torch.inference_mode()
def test_feeding_in_pieces_equals_one_forward(pieces: list[int]) -> None:
    model = tiny_model()
    caches = [KVCache(TINY, 24) for _ in range(2)]
    found, start = [], 0
    for size in pieces:
        stop = start + size
        found.append(model(IDS[:, start:stop], POSITIONS[:, start:stop], caches))
        start = stop
    assert close(torch.cat(found, 1), model(IDS, POSITIONS))


@torch.inference_mode()
def test_rows_of_unequal_length_do_not_touch_each_other() -> None:
    model = tiny_model()
    caches = [KVCache(TINY, 24) for _ in range(2)]
    together = model(IDS[:, :8], POSITIONS[:, :8], caches, lengths=[8, 3])
    assert [cache.length for cache in caches] == [8, 3]
    assert close(together[1, :3], model(IDS[1:, :3], POSITIONS[1:, :3])[0])
    assert close(together[0], model(IDS[:1, :8], POSITIONS[:1, :8])[0])


@torch.inference_mode()
def test_a_truncated_cache_goes_on_as_if_nothing_had_followed() -> None:
    model, cache = tiny_model(), KVCache(TINY, 24)
    model(IDS[:1, :10], POSITIONS[:1, :10], [cache])
    cache.truncate(4)
    again = model(IDS[1:, 4:9], POSITIONS[:1, 4:9], [cache])
    mixed = torch.cat((IDS[:1, :4], IDS[1:, 4:9]), 1)
    assert close(again, model(mixed, POSITIONS[:1, :9])[:, 4:])


def test_a_full_cache_refuses() -> None:
    cache = KVCache(TINY, 4)
    with pytest.raises(KVCacheFullError, match="5 tokens"):
        tiny_model()(IDS[:1, :5], POSITIONS[:1, :5], [cache])


@pytest.mark.parametrize("length", [-1, 1])
def test_truncating_never_lengthens(length: int) -> None:
    with pytest.raises(ValueError, match="truncate"):
        KVCache(TINY, 4).truncate(length)


def test_what_is_saved_loads(tmp_path: Path) -> None:
    model = tiny_model()
    model.save(tmp_path, torch.float32)
    read = Qwen2.load(tmp_path)
    assert read.config == TINY and not read.training
    assert all(torch.equal(value, read.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("content", [None, b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}", b"\xff" * 64])
def test_damaged_weights_are_named(tmp_path: Path, content: bytes | None) -> None:
    tiny_model().save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.unlink() if content is None else weights.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        Qwen2.load(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    tiny_model().save(tmp_path)
    described = json.dumps(dataclasses.replace(TINY, hidden_size=64).to_mapping())
    (tmp_path / "config.json").write_text(described)
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        Qwen2.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "llama"},
        {"hidden_size": None},
        {"hidden_size": "32"},
        {"num_hidden_layers": 0},
        {"num_attention_heads": 5},
        {"num_key_value_heads": 3},
        {"tie_word_embeddings": 1},
        {"rope_theta": "10000"},
    ],
    ids=str,
)
def test_an_unsound_config_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY.to_mapping() | change))
    with pytest.raises(ModelFileError, match=r"config\.json"):
        Qwen2Config.from_file(tmp_path)


ODD: st.SearchStrategy[object] = st.sampled_from([None, -1, 0, 7, 2**70, 0.5, "", "32", True, [], {}])
CONFIGS = st.dictionaries(st.sampled_from(sorted(TINY.to_mapping())), ODD).map(
    lambda change: json.dumps(TINY.to_mapping() | change | {"model_type": "qwen2"}).encode()
)


@settings(max_examples=60)
@given(content=st.binary() | CONFIGS)
def test_any_config_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("config")
    (folder / "config.json").write_bytes(content)
    try:
        Qwen2Config.from_file(folder)
    except ModelFileError:
        return
