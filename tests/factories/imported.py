"""Hugging Face directories with random weights, made by transformers, for tests of the import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.factories.tokenizers import END_ID, TEMPLATE, tokenizer_json

KINDS = ("llama", "qwen2", "qwen3")
TINY: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": True, "eos_token_id": END_ID,
}  # fmt: skip
HALF_BILLION: dict[str, Any] = {
    "vocab_size": 151_936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": 32_768,
    "tie_word_embeddings": True, "eos_token_id": END_ID,
}  # fmt: skip
"""The sizes of Qwen2-0.5B."""


def write_model(folder: Path, kind: str, sizes: dict[str, Any] = TINY, shard: str = "1GB", **more: Any) -> Path:
    """A whole directory of a llama, qwen2 or qwen3 in bfloat16, in shards of at most `shard`."""
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind.capitalize()}Config")(**sizes, **more)
    with torch.device("meta" if sizes is HALF_BILLION else "cpu"):
        make: Any = transformers.AutoModelForCausalLM.from_config
        model = make(config, dtype=torch.bfloat16)
    if sizes is HALF_BILLION:
        model.to_empty(device="cpu")
        for value in model.parameters():
            torch.nn.init.normal_(value, 1.0 if value.ndim == 1 else 0.0, 0.02)
        model.tie_weights()
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "tokenizer.json").write_bytes(tokenizer_json())
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": END_ID}), encoding="utf-8")
    return folder


def write_prompts(path: Path, *rows: dict[str, str]) -> Path:
    """A prompts file; without rows two English and two Chinese questions, one of each with an answer."""
    chosen = rows or (
        {"prompt": "What is the capital of France?", "language": "en", "answer": "Paris"},
        {"prompt": "How are you?", "language": "en"},
        {"prompt": "你好，今天天气怎么样？", "answer": "很好"},
        {"prompt": "请问你叫什么名字？", "language": "zh"},
    )
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen), encoding="utf-8")
    return path
