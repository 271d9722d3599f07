"""The tokenizer of a model directory: does it load, which ids end an answer, and is there a chat template?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from cloud_worker.architectures import ModelSizes, read_config
from cloud_worker.forge.export.errors import TokenizerMissingError
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE

CONFIG: Final = "tokenizer_config.json"
GENERATION: Final = "generation_config.json"
JSON_BYTES_MAX: Final = 16 * 2**20


@dataclass(frozen=True)
class Speech:
    """How a model's text begins and ends: its tokenizer, the ids that end an answer, its chat template."""

    tokenizer: Tokenizer
    eos_ids: tuple[int, ...]
    template: str


def read_speech(directory: Path, sizes: ModelSizes) -> Speech:
    """Read and check all three. Raises TokenizerMissingError."""
    tokenizer = _tokenizer(directory / TOKENIZER_FILE)
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)  # ids may have holes
    if highest >= sizes.vocab_size:
        said = f"it gives ids up to {highest}, the model has {sizes.vocab_size} rows"
        raise _unfit(directory / TOKENIZER_FILE, said, "ids within vocab_size of config.json")
    return Speech(tokenizer, _eos_ids(directory, tokenizer), chat_template(directory))


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise _unfit(
            path, f"it does not load ({str(error)[:200]})", "a tokenizer.json of the tokenizers library"
        ) from error


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > JSON_BYTES_MAX:
            raise ValueError(f"larger than {JSON_BYTES_MAX} bytes")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unfit(path, f"it cannot be read ({error})", "a JSON object") from error
    if not isinstance(raw, dict):
        raise _unfit(path, "it is no JSON object", "a JSON object")
    return raw


def _eos_ids(directory: Path, tokenizer: Tokenizer) -> tuple[int, ...]:
    """generation_config.json first, then config.json; one id or a list, each known to the tokenizer."""
    given = _object(directory / GENERATION).get("eos_token_id")
    given = read_config(directory).get("eos_token_id") if given is None else given
    listed = given if isinstance(given, list) else [given]
    known = [one for one in listed if type(one) is int and tokenizer.id_to_token(one) is not None]
    if not known or len(known) != len(listed):
        said = f"the end token {given!r} is not in its vocabulary" if given is not None else "no end token is named"
        raise _unfit(directory / TOKENIZER_FILE, said, "eos_token_id in generation_config.json or config.json")
    return tuple(known)


def chat_template(directory: Path) -> str:
    """chat_template.jinja, or the field of tokenizer_config.json. Raises TokenizerMissingError without either."""
    path = directory / TEMPLATE_FILE
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _unfit(path, f"it cannot be read ({error})", "a Jinja template") from error
    found = _object(directory / CONFIG).get("chat_template")
    if not isinstance(found, str) or not found.strip():
        raise _unfit(directory, "there is no chat template", f"{TEMPLATE_FILE}, or chat_template in {CONFIG}")
    return found


def _unfit(path: Path, why: str, expected: str) -> TokenizerMissingError:
    return TokenizerMissingError(
        f"The model's tokenizer cannot be used: {why}",
        where=str(path),
        expected=expected,
        remedy="fetch the tokenizer files that belong to the model",
    )
