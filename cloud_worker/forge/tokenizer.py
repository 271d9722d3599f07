"""The family's one tokenizer and chat template: byte-level BPE with single digits and single Chinese characters."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from cloud_worker.forge.curriculum import Role, Turn, conversation

SPECIALS: Final = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
PAD, END = 0, 1
ROLE_IDS: Final = {Role.SYSTEM: 2, Role.USER: 3, Role.ASSISTANT: 4}
CHAT_TEMPLATE: Final = (
    "{%- for message in messages -%}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)
_SPLIT: Final = r"\p{N}|\p{Han}| ?[\p{L}&&[^\p{Han}]]+| ?[^\s\p{L}\p{N}]|\s"


class TokenizerFileError(Exception):
    """A tokenizer without the special tokens that the chat format needs, or that cannot be read."""


def train(seed: int, conversations: int, vocabulary: int) -> Tokenizer:
    """Train on conversations of the curriculum. Every Chinese character met becomes one token.

    Raises TokenizerFileError when the corpus is too small for `vocabulary` entries to hold the special tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(_SPLIT), "isolated"), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(seed, conversations), trainer)
    return checked(tokenizer)


def _texts(seed: int, conversations: int) -> Iterator[str]:
    """Texts of the curriculum, then each Chinese character often enough to earn its own token."""
    rng = random.Random(f"tokenizer {seed}")
    characters: set[str] = set()
    for _ in range(conversations):
        for turn in conversation(rng):
            characters.update(char for char in turn.content if "\u4e00" <= char <= "\u9fff")
            yield turn.content
    for character in sorted(characters):
        yield character * 200


def checked(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer, set so that text never yields special tokens. Raises TokenizerFileError on other special ids."""
    for expected, token in enumerate(SPECIALS):
        found = tokenizer.token_to_id(token)
        if found != expected:
            raise TokenizerFileError(f"tokenizer: {token} has id {found}, expected {expected}; train it again")
    tokenizer.encode_special_tokens = True
    return tokenizer


def load(path: Path) -> Tokenizer:
    """Read tokenizer.json. Raises TokenizerFileError when it is unreadable or not of this family."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        said = f"{path}: expected a tokenizers JSON file ({error}); check the model directory"
        raise TokenizerFileError(said) from error
    return checked(tokenizer)


def encode_chat(tokenizer: Tokenizer, turns: Sequence[Turn], generation_prompt: bool = False) -> list[int]:
    """Ids of a conversation in the chat template; contents can never produce special ids."""
    ids: list[int] = []
    for turn in turns:
        ids += [ROLE_IDS[turn.role], *tokenizer.encode(turn.content, add_special_tokens=False).ids, END]
    return [*ids, ROLE_IDS[Role.ASSISTANT]] if generation_prompt else ids
