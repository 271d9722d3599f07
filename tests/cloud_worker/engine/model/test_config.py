"""config.json of strangers: what it says is read as transformers reads it, or refused by the field's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.engine.model.config import Rope, load_config, parse_config
from cloud_worker.engine.model.rope import RopeTable, inverse_frequencies
from edgewise.generation.kv_memory import KV_ELEMENTS
from edgewise.wire.errors import ManifestError
from tests.cloud_worker.engine.model.stepping import TINY

QWEN = TINY | {"model_type": "qwen2", "num_hidden_layers": 3}
LLAMA3 = {"type": "llama3", "factor": 2, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}


def test_windows_by_layer() -> None:
    asked = {"use_sliding_window": True, "sliding_window": 64}
    assert parse_config(QWEN | asked | {"max_window_layers": 2}).windows == (0, 0, 64)
    assert parse_config(QWEN | asked).windows == (0, 0, 0)
    assert parse_config(QWEN | {"sliding_window": 64, "max_window_layers": 0}).windows == (0, 0, 0)
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    assert parse_config(QWEN | asked | {"layer_types": kinds}).windows == (64, 0, 64)
    assert parse_config(TINY | asked | {"max_window_layers": 0}).windows == (0, 0), "Llama has no windows"


def test_rotary_scaling_by_its_old_and_new_name() -> None:
    assert parse_config(TINY).rope == Rope()
    assert parse_config(TINY | {"rope_theta": 5e5}).rope.theta == 5e5
    assert parse_config(TINY | {"rope_scaling": YARN}).rope == parse_config(TINY | {"rope_parameters": YARN}).rope
    assert parse_config(TINY | {"rope_scaling": YARN}).rope.attention_factor == pytest.approx(1.1386, abs=1e-4)
    linear = parse_config(TINY | {"rope_scaling": {"type": "linear", "factor": 2}}).rope
    assert torch.equal(inverse_frequencies(linear, 16), inverse_frequencies(Rope(), 16) / 2)


def test_end_tokens_of_generation_config_win(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    assert load_config(tmp_path).eos_ids == (1,)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 5, 7]}))
    assert load_config(tmp_path).eos_ids == (7, 5)
    (tmp_path / "generation_config.json").write_text("[1")
    with pytest.raises(ManifestError, match=r"generation_config\.json cannot be read"):
        load_config(tmp_path)


def test_kv_bytes_are_those_of_the_formula() -> None:
    config = parse_config(TINY)
    assert config.kv_bytes(10, KV_ELEMENTS["bfloat16"]) == 2 * 2 * 2 * 10 * 16 * 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model_type": "mistral"}, "'mistral' cannot be taken"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rotary scaling is 'dynamic'"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "rotary scaling is 'longrope'"),
        ({"rope_scaling": {"type": "yarn", "factor": 0.5}}, "factor"),
        ({"rope_scaling": YARN | {"mscale": 0.7}}, "mscale"),
        ({"rope_scaling": YARN | {"beta_fast": 0.5}}, "beta_fast"),
        ({"rope_scaling": YARN | {"truncate": 1}}, "truncate"),
        ({"rope_scaling": {"type": "llama3", "factor": 2.0}}, "low_freq_factor"),
        ({"rope_theta": 0.5}, "rope_theta"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps"),
        ({"eos_token_id": 100}, "eos_token_id"),
        ({"eos_token_id": [True]}, "eos_token_id"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "layer_types is 'linear_attention'"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types is 'sliding_attention'"),
        ({"num_attention_heads": 2**20, "num_key_value_heads": 2, "head_dim": 2**20}, "num_attention_heads x head_dim"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_is_not_computed_is_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_config(TINY | wrong)
    assert said in str(caught.value)
    assert caught.value.where
    assert caught.value.remedy


ROPE_FIELDS = ["type", "factor", "beta_fast", "rope_theta", "low_freq_factor", "high_freq_factor"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["yarn", "llama3", "silu", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ROPE_FIELDS), inner),
    max_leaves=6,
)
FIELDS = [
    *TINY, "rope_theta", "rope_scaling", "rope_parameters", "rms_norm_eps", "head_dim", "layer_types", "sliding_window",
    "use_sliding_window", "max_window_layers", "hidden_act", "tie_word_embeddings", "attention_bias",
]  # fmt: skip


ROPES = st.builds(
    lambda sound, changes: {"rope_scaling": sound | changes},
    st.sampled_from([YARN, LLAMA3]),
    st.dictionaries(st.sampled_from(ROPE_FIELDS), JSON, max_size=2),
)
FIELD_CHANGES = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3)


@given(ROPES | FIELD_CHANGES, st.dictionaries(st.just("eos_token_id"), JSON))
def test_hostile_configs_are_computed_or_refused(changes: dict[str, Any], generation: dict[str, Any]) -> None:
    try:
        config = parse_config(QWEN | changes, generation=generation)
    except ManifestError:
        return
    if config.head_dim <= 4096:
        frequencies = inverse_frequencies(config.rope, config.head_dim)
        assert frequencies.shape == (config.head_dim // 2,)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=4))
def test_a_row_of_the_rotary_table_depends_on_its_position_alone(positions: list[int]) -> None:
    table, frequencies = RopeTable(Rope(), 16, torch.float32), inverse_frequencies(Rope(), 16)
    for highest in (positions[0], max(positions)):
        table.rows(torch.tensor([0]), highest)
    cos, sin = table.rows(torch.tensor(positions), max(positions))
    for row, position in enumerate(positions):
        angles = (position * frequencies).double()
        assert torch.equal(cos[row, 0], angles.cos().float().repeat(2))
        assert torch.equal(sin[row, 0, 8:], angles.sin().float())
        assert torch.equal(sin[row, 0, :8], -sin[row, 0, 8:])
