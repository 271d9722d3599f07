"""The logits are those of transformers, for every kind of model that the engine takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cloud_worker.engine.model.decoder import Decoder
from tests.cloud_worker.engine.model.stepping import (
    TINY,
    WildTensors,
    blocks_for,
    config_of,
    read_plainly,
    sequence,
)

LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 4.0, "original_max_position_embeddings": 32}
WINDOW = {"use_sliding_window": True, "sliding_window": 40}
WINDOW_FIRST = ["sliding_attention", "full_attention"]
KINDS: dict[str, dict[str, Any]] = {
    "llama-mha": {"num_key_value_heads": 4},
    "llama-mqa": {"num_key_value_heads": 1, "tie_word_embeddings": True},
    "llama-biased": {"attention_bias": True, "head_dim": 32},
    "llama3-rope": {"rope_parameters": LLAMA3},
    "linear-rope": {"rope_parameters": {"rope_type": "linear", "rope_theta": 300.0, "factor": 3.0}},
    "yarn-rope": {"rope_parameters": YARN},
    "yarn-untruncated": {"rope_parameters": YARN | {"truncate": False, "beta_fast": 12.0, "attention_factor": 1.3}},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True, "rope_parameters": {"rope_theta": 777.0}},
    "qwen2-window": {"model_type": "qwen2", "max_window_layers": 1, **WINDOW},
    "qwen3": {"model_type": "qwen3", "head_dim": 32, "rms_norm_eps": 1e-3},
    "qwen3-window": {"model_type": "qwen3", "head_dim": 16, "layer_types": WINDOW_FIRST, **WINDOW},
}  # fmt: skip


def write_as_transformers(directory: Path, kind: str) -> Any:
    """A model directory as transformers writes it, and the transformers model."""
    transformers = pytest.importorskip("transformers")
    described = TINY | KINDS[kind]
    config = transformers.AutoConfig.for_model(**described)
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).train(False)
    ours = config_of(**KINDS[kind])
    source = WildTensors(ours.sizes.tensors(), torch.float32)
    model.load_state_dict({name: source.take(name) for name in ours.sizes.tensors()}, strict=False)
    model.save_pretrained(directory)
    return model


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_the_logits_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    theirs = write_as_transformers(tmp_path, kind)
    given = sequence(75, 9, TINY["vocab_size"], seed=5)
    expected = theirs(torch.tensor([given.prompt + given.said])).logits[0]
    decoder = Decoder.load(tmp_path, "float32", blocks_for(given.length))
    assert torch.allclose(decoder.logits(read_plainly(decoder, given)), expected, rtol=1e-4, atol=1e-4)
    rough = Decoder.load(tmp_path, "bfloat16", blocks_for(given.length))
    found = rough.logits(read_plainly(rough, given))
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.98
