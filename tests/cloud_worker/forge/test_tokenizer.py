"""The forge's tokenizer: it loses no text, text never becomes special, and the product encodes a chat as it does."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from cloud_worker.forge import tokenizer as forge
from cloud_worker.forge.curriculum import conversation
from edgewise.generation.state import Message
from edgewise.generation.tokenizer import ChatTokenizer
from tests.factories.forge import small_tokenizer

LOOKALIKES = st.lists(st.sampled_from(forge.SPECIALS) | st.text(max_size=4), max_size=6).map("".join)
ANY_TEXT = st.text() | LOOKALIKES
patiently = settings(suppress_health_check=[HealthCheck.too_slow])  # the first text drawn reads Unicode's tables


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    small_tokenizer().save(str(path))
    return forge.load(path)


@patiently
@given(text=ANY_TEXT)
def test_any_text_comes_back(loaded: Tokenizer, text: str) -> None:
    assert loaded.decode(loaded.encode(text, add_special_tokens=False).ids) == text


@patiently
@given(text=ANY_TEXT)
def test_text_never_becomes_a_special_token(loaded: Tokenizer, text: str) -> None:
    assert all(token >= len(forge.SPECIALS) for token in loaded.encode(text, add_special_tokens=False).ids)


def test_digits_and_chinese_characters_stand_alone(loaded: Tokenizer) -> None:
    shown = [loaded.decode([token]) for token in loaded.encode("1024 你好", add_special_tokens=False).ids]
    assert shown[:4] == ["1", "0", "2", "4"]
    assert shown[-2:] == ["你", "好"]


def test_the_product_encodes_a_chat_as_training_did(loaded: Tokenizer) -> None:
    product = ChatTokenizer(loaded.to_str().encode(), forge.CHAT_TEMPLATE.encode(), (forge.END,))
    rng = random.Random(3)
    for _ in range(50):
        turns = conversation(rng)[:-1]
        messages = [Message(turn.role.value, turn.content) for turn in turns]
        assert product.encode_chat(messages) == tuple(forge.encode_chat(loaded, turns, generation_prompt=True))


def test_a_seed_gives_one_tokenizer() -> None:
    assert forge.train(7, 300, 512).to_str() == small_tokenizer().to_str()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(forge.TokenizerFileError, match=r"tokenizer\.json"):
        forge.load(path)


def test_another_family_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.BPE()).save(str(path))
    with pytest.raises(forge.TokenizerFileError, match="pad"):
        forge.load(path)
