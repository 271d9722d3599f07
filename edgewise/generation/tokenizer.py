"""The tokenizer of a model version: chat and text to ids, ids to bytes. Streaming text is detokenize.py's work.

Byte-level BPE in Hugging Face's tokenizer.json; the digests of both files are what tiers compare at hello.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tokenizers import Tokenizer

from edgewise.generation.state import Message
from edgewise.generation.template import ChatTemplate
from edgewise.wire.errors import ConfigError, ModelMissingError
from edgewise.wire.manifest import MANIFEST_FILE, TEMPLATE_FILE, TOKENIZER_FILE, parse_manifest


class _AddedToken(msgspec.Struct):
    id: int
    content: str
    special: bool = False


class _Typed(msgspec.Struct):
    type: str


class _TokenizerFile(msgspec.Struct):
    """The parts of tokenizer.json that decide how ids become bytes."""

    model: _Typed
    decoder: _Typed | None = None
    added_tokens: list[_AddedToken] = []


PIECE_CHARS = 4096
LONG_CHARS_PER_ID = 8
"""Texts with fewer characters for each id of a limit are encoded without ado: that bounds the memory well enough."""


class ChatTokenizer:
    """Immutable after construction and safe to share between threads.

    `vocab_size` counts ids (the highest id + 1); `digest` and `template_digest` are the sha256 of the two files.
    """

    def __init__(
        self, tokenizer: bytes, template: bytes, eos_ids: Sequence[int] = (), where: str = TOKENIZER_FILE
    ) -> None:
        described = _describe(tokenizer, where)
        self.digest = hashlib.sha256(tokenizer).hexdigest()
        self.eos_ids = tuple(eos_ids)
        self._template = ChatTemplate(template, where)
        self.template_digest = self._template.digest
        self._trusted = Tokenizer.from_str(tokenizer.decode("utf-8"))
        self._plain = Tokenizer.from_str(tokenizer.decode("utf-8"))
        self._plain.encode_special_tokens = True
        self._bytes = _byte_table(self._trusted, described.added_tokens, where)
        self.vocab_size = len(self._bytes)

    @classmethod
    def load(cls, directory: Path) -> ChatTokenizer:
        """Read tokenizer.json, chat_template.jinja and the manifest's eos ids from a model directory.

        Raises ModelMissingError, ManifestError, ConfigError. Hashes are not checked here (`load_manifest` does).
        """
        manifest = parse_manifest(_read(directory / MANIFEST_FILE), str(directory / MANIFEST_FILE))
        tokenizer, template = _read(directory / TOKENIZER_FILE), _read(directory / TEMPLATE_FILE)
        return cls(tokenizer, template, manifest.eos_ids, str(directory))

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of plain text; what looks like a special token is encoded as the characters it consists of."""
        return tuple(self._plain.encode(text, add_special_tokens=False).ids)

    def encode_chat(self, messages: Sequence[Message]) -> tuple[int, ...]:
        """Ids of a chat up to where the assistant begins to speak. Raises BadRequestError, TemplateRefusedError."""
        ids: list[int] = []
        for part in self._template.render(messages):
            tokenizer = self._trusted if part.trusted else self._plain
            ids.extend(tokenizer.encode(part.text, add_special_tokens=False).ids)
        return tuple(ids)

    def surely_longer(self, messages: Sequence[Message], limit: int) -> bool:
        """Whether the messages make more than `limit` ids by far; told without encoding much more than that.

        They are counted piece by piece, in little memory. A cut makes a few ids too many at most, so twice the limit
        is needed; whatever is less than that is for `encode_chat` to count.
        """
        if sum(len(message.content) for message in messages) <= LONG_CHARS_PER_ID * limit:
            return False
        counted = 0
        for message in messages:
            for start in range(0, len(message.content), PIECE_CHARS):
                counted += len(self.encode(message.content[start : start + PIECE_CHARS]))
                if counted > 2 * limit:
                    return True
        return False

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for; none for special tokens and for ids outside the vocabulary."""
        return self._bytes[token] if 0 <= token < len(self._bytes) else b""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelMissingError(
            f"The model file {path.name} cannot be read: {error.strerror}",
            where=str(path),
            remedy="point the model setting at a complete model directory, or run `make reference-models`",
        ) from error


def _describe(tokenizer: bytes, where: str) -> _TokenizerFile:
    try:
        described = msgspec.json.decode(tokenizer, type=_TokenizerFile)
        Tokenizer.from_str(tokenizer.decode("utf-8"))
    except Exception as error:  # the tokenizers library raises plain Exception for a damaged file
        raise ConfigError(
            f"The tokenizer cannot be read: {error}", where=where, remedy="install the model version again"
        ) from error
    if described.model.type != "BPE" or described.decoder is None or described.decoder.type != "ByteLevel":
        raise ConfigError(
            "The tokenizer is of a kind that cannot be streamed",
            where=where,
            expected="byte-level BPE (model BPE, decoder ByteLevel)",
            remedy="serve such a model with its own engine and name it in EDGEWISE_UPSTREAMS",
        )
    return described


def _byte_of_char() -> dict[str, int]:
    """GPT-2's map of printable characters to bytes (openai/gpt-2, encoder.py, bytes_to_unicode), reversed."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(moved)}


def _byte_table(tokenizer: Tokenizer, added: Sequence[_AddedToken], where: str) -> list[bytes]:
    """Bytes by id. Special tokens and unused ids have none; other added tokens stand for themselves."""
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    byte_of, table = _byte_of_char(), [b""] * (max(vocabulary.values(), default=-1) + 1)
    for token, index in vocabulary.items():
        table[index] = bytes(byte_of[char] for char in token if char in byte_of)
    for entry in added:
        if not 0 <= entry.id < len(table):
            raise ConfigError(
                f"The tokenizer cannot be used: it lists token {entry.id}, its highest is {len(table) - 1}",
                where=where,
                remedy="install the model version again",
            )
        table[entry.id] = b"" if entry.special else entry.content.encode("utf-8")
    return table
