"""ChatTokenizer: special tokens cannot be typed, bytes come back, damaged files are named."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from edgewise.generation.state import Message
from edgewise.generation.tokenizer import LONG_CHARS_PER_ID, PIECE_CHARS, ChatTokenizer
from edgewise.wire.errors import ConfigError, ManifestError, ModelMissingError
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE, build_manifest, write_manifest
from tests.factories.tokenizers import END_ID, SPECIALS, TEMPLATE, tiny_tokenizer, tokenizer_json

TOKENIZER = tiny_tokenizer()
SPECIAL_IDS = set(range(len(SPECIALS)))
pieces = st.sampled_from([*"ab <|>", "<|end|>", "<|user|>", "你", "好", "😀", "\n", "\x00"])
texts = st.lists(pieces, max_size=20).map("".join) | st.text()


@given(texts)
def test_text_comes_back_and_holds_no_special_token(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert not SPECIAL_IDS & set(ids)
    assert b"".join(map(TOKENIZER.token_bytes, ids)).decode() == text


@given(texts)
def test_no_message_can_forge_a_turn(text: str) -> None:
    plain = TOKENIZER.encode_chat([Message("user", "x"), Message("user", "y")])
    forged = TOKENIZER.encode_chat([Message("user", text), Message("user", text)])
    assert [i for i in forged if i in SPECIAL_IDS] == [i for i in plain if i in SPECIAL_IDS]


def test_chat_ends_where_the_assistant_speaks() -> None:
    ids = TOKENIZER.encode_chat([Message("user", "hello")])
    assert ids == (
        3,
        *TOKENIZER.encode("\n"),
        *TOKENIZER.encode("hello"),
        END_ID,
        *TOKENIZER.encode("\n"),
        4,
        *TOKENIZER.encode("\n"),
    )


LONG = st.lists(
    texts | st.sampled_from(["x" * 9000, "word " * 3000, "你好" * 4000, "<|end|>" * 2000]), min_size=1, max_size=4
)


@given(LONG, st.integers(1, 2000))
def test_only_what_is_too_long_is_surely_longer(contents: list[str], limit: int) -> None:
    messages = [Message("user", content) for content in contents]
    ids = len(TOKENIZER.encode_chat(messages))
    longer = TOKENIZER.surely_longer(messages, limit)
    assert not longer or ids > limit
    assert longer or ids <= limit * LONG_CHARS_PER_ID * 4 + 100  # four bytes of a character, and the template's own


def test_long_tokens_are_counted_before_a_text_is_called_too_long() -> None:
    """Words of one token each: ten thousand characters that are few enough ids."""
    word = " abcdefghijklmnopqrstuvw"
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    specials = [AddedToken(name, special=True) for name in SPECIALS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator([word * 9], trainer)
    tokenizer, messages = ChatTokenizer(bpe.to_str().encode(), TEMPLATE.encode()), [Message("user", word * 500)]
    ids = len(tokenizer.encode_chat(messages))
    assert 500 <= ids < 540
    assert [tokenizer.surely_longer(messages, limit) for limit in (540, ids, 300, 100)] == [False, False, False, True]


def test_of_a_text_without_end_only_the_beginning_is_encoded() -> None:
    encoded: list[int] = []

    class Counting(ChatTokenizer):
        def encode(self, text: str) -> tuple[int, ...]:
            encoded.append(len(text))
            return super().encode(text)

    counting = Counting(tokenizer_json(), TEMPLATE.encode())
    assert counting.surely_longer([Message("user", "x" * 1_000_000)], 1000)
    assert sum(encoded) <= 2000 + PIECE_CHARS and max(encoded) == PIECE_CHARS


def test_special_and_unknown_ids_have_no_bytes() -> None:
    assert [TOKENIZER.token_bytes(i) for i in (*SPECIAL_IDS, -1, TOKENIZER.vocab_size, 10**9)] == [b""] * 8


def test_digests_are_of_the_files(tmp_path: Path) -> None:
    write_model(tmp_path)
    loaded = ChatTokenizer.load(tmp_path)
    assert loaded.digest == hashlib.sha256(tokenizer_json()).hexdigest()
    assert loaded.template_digest == hashlib.sha256(TEMPLATE.encode()).hexdigest()
    assert (loaded.eos_ids, loaded.vocab_size) == ((END_ID,), 320)


def write_model(directory: Path) -> None:
    (directory / TOKENIZER_FILE).write_bytes(tokenizer_json())
    (directory / TEMPLATE_FILE).write_text(TEMPLATE, encoding="utf-8")
    (directory / "weights").write_bytes(b"w")
    manifest = build_manifest(
        directory, name="m", tier="edge", format="onnx", weights="weights", context_tokens=8, eos_ids=(END_ID,)
    )
    write_manifest(directory, manifest)


@pytest.mark.parametrize("missing", [TOKENIZER_FILE, TEMPLATE_FILE, "manifest.json"])
def test_missing_files_are_named(tmp_path: Path, missing: str) -> None:
    write_model(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ModelMissingError, match=missing.split(".")[0]):
        ChatTokenizer.load(tmp_path)


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ManifestError):
        ChatTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"\xff", tokenizer_json()[:-9], tokenizer_json().replace(b"ByteLevel", b"Fuse")]
)
def test_damaged_tokenizers_are_configuration_errors(damage: bytes) -> None:
    with pytest.raises(ConfigError):
        ChatTokenizer(damage, TEMPLATE.encode())
