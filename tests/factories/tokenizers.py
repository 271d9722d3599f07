"""Tiny byte-level BPE tokenizers for tests, trained in milliseconds on a few English and Chinese sentences."""

from __future__ import annotations

from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from edgewise.generation.tokenizer import ChatTokenizer

SPECIALS = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
END_ID = 1
TEMPLATE = """\
{% for message in messages %}
{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}
<|{{ message['role'] }}|>
{{ message['content'] }}<|end|>
{% endfor %}
{% if add_generation_prompt %}<|assistant|>
{% endif %}"""

_CORPUS = (
    "The quick brown fox jumps over the lazy dog. One, two, three and four: hello there, how are you?",
    "你好，世界。今天天气很好，我们一起去公园吧。请问你叫什么名字？",
    "Edgewise gets every word to a person from the best place that can say it.",
)


@cache
def tokenizer_json(vocab_size: int = 320) -> bytes:
    """tokenizer.json of a byte-level BPE with the special tokens at ids 0..4."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(name, special=True) for name in SPECIALS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer.to_str().encode("utf-8")


@cache
def tiny_tokenizer(vocab_size: int = 320) -> ChatTokenizer:
    """A ChatTokenizer whose end-of-turn token is id 1."""
    return ChatTokenizer(tokenizer_json(vocab_size), TEMPLATE.encode("utf-8"), (END_ID,))
