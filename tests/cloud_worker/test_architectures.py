"""config.json of models from outside: sizes and tensors as transformers has them, else one error and no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.architectures import CONFIG_FILE, ConfigJsonError, model_sizes, sizes_of

SOUND: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("kind", "more"),
    [("Llama", {}), ("Llama", {"attention_bias": True}), ("Qwen2", {}), ("Qwen3", {"head_dim": 16})],
)
def test_tensors_are_those_of_transformers(kind: str, more: dict[str, Any], tied: bool) -> None:
    transformers = pytest.importorskip("transformers")
    described = {name: value for name, value in SOUND.items() if name != "model_type"}
    config = getattr(transformers, f"{kind}Config")(**described, tie_word_embeddings=tied, **more)
    model = transformers.AutoModelForCausalLM.from_config(config)
    sizes = sizes_of(config.to_dict())
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if tied:
        del expected["lm_head.weight"]
    assert sizes.tensors() == expected
    assert sizes.parameters == sum(value.numel() for value in model.parameters())


def test_a_head_may_be_wider_than_its_share() -> None:
    assert sizes_of(SOUND).head_dim == 8
    assert sizes_of(SOUND | {"head_dim": 32}).matrices()["self_attn.q_proj"] == (256, 64)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model_type": "gpt2"}, "'gpt2' cannot be taken"),
        ({"model_type": None}, "cannot be taken"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"hidden_size": 64.0}, "hidden_size"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"num_hidden_layers": 2000}, "at most 1024"),
        ({"num_attention_heads": None}, "missing"),
        ({"num_key_value_heads": 3}, "divide"),
        ({"head_dim": 7}, "even"),
        ({"tie_word_embeddings": "yes"}, "true or false"),
        ({"intermediate_size": 2**40}, "intermediate_size"),
        ({"use_sliding_window": True, "sliding_window": 0}, "sliding_window"),
        ({"use_sliding_window": "yes"}, "true or false"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigJsonError, match=said):
        sizes_of(SOUND | wrong)


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.sampled_from([*SOUND, "head_dim", "attention_bias", "tie_word_embeddings"]), values))
def test_any_object_gives_sizes_or_the_error(changed: dict[str, Any]) -> None:
    try:
        sizes = sizes_of(SOUND | changed)
    except ConfigJsonError as error:
        assert error.where == CONFIG_FILE
    else:
        assert sizes.parameters > 0 and len(sizes.tensors()) > 2


@given(raw=st.binary(max_size=60) | st.just(b"[" * 100_000) | st.just(b'"\\ud800"'))
def test_any_file_gives_the_error(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("config")
    (folder / CONFIG_FILE).write_bytes(raw)
    with pytest.raises(ConfigJsonError):
        model_sizes(folder)


def test_no_file_and_a_huge_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigJsonError, match="cannot be read"):
        model_sizes(tmp_path)
    (tmp_path / CONFIG_FILE).write_text(json.dumps(SOUND | {"more": "x" * 2**20}))
    with pytest.raises(ConfigJsonError, match="larger than"):
        model_sizes(tmp_path)
