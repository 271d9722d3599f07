"""The chat template as our runtimes need it: with the model's special tokens written into it, and tried once.

Hugging Face passes bos_token and the like when it renders; ours passes messages only, so they are set at the top.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from cloud_worker.forge.export.errors import TokenizerMissingError
from cloud_worker.forge.export.tokenizer_files import CONFIG, JSON_BYTES_MAX
from edgewise.generation.state import Message
from edgewise.generation.template import ChatTemplate
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.wire.errors import BadRequestError
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE

NAMED: Final = ("bos_token", "eos_token", "pad_token", "unk_token")
_MARKER: Final = re.compile(r"<\|[^|<>\s]{1,40}\|>")
_SAMPLE: Final = (Message("user", "a"), Message("assistant", "b"))


def filled_template(directory: Path, template: str) -> str:
    """The template with `set` lines before it for the special tokens that it names. Raises TokenizerMissingError."""
    named = [name for name in NAMED if re.search(rf"\b{name}\b", template)]
    described = _described(directory / CONFIG) if named else {}
    lines = [f"{{%- set {name} = {json.dumps(_text(described, name, directory))} -%}}\n" for name in named]
    return "".join(lines) + template


def checked_tokenizer(directory: Path, tokenizer: bytes, template: str, eos_ids: tuple[int, ...]) -> ChatTokenizer:
    """Our tokenizer of the directory. Raises ConfigError for a kind that cannot be streamed, TokenizerMissingError for
    a template that takes no question, or writes markers that the tokenizer does not know as one token."""
    if any("\ud800" <= character <= "\udfff" for character in template):
        raise _unfit(directory, "it holds half a character (a lone surrogate)", "whole characters")
    found = ChatTokenizer(tokenizer, template.encode("utf-8"), eos_ids, str(directory / TOKENIZER_FILE))
    try:
        parts = ChatTemplate(template.encode("utf-8")).render(_SAMPLE[:1])
        found.encode_chat(_SAMPLE[:1])
    except BadRequestError as error:
        raise _unfit(directory, f"the template refuses a question ({error.message})", "one that takes it") from error
    known = Tokenizer.from_str(tokenizer.decode("utf-8"))
    written = _MARKER.findall("".join(part.text for part in parts if part.trusted))
    if missing := [marker for marker in written if known.token_to_id(marker) is None]:
        raise _unfit(directory, f"the template writes {missing[0]}, which the tokenizer does not know", "both to match")
    return found


def unended(tokenizer: bytes, template: str, eos_ids: tuple[int, ...]) -> str:
    """A warning when the template does not close an answer with an end token, else nothing: such a model says more
    than it is asked for, until its budget ends."""
    try:
        parts = ChatTemplate(template.encode("utf-8")).render(_SAMPLE, add_generation_prompt=False)
    except BadRequestError:
        return "the chat template refuses an answer in the middle, so only first questions can be asked"
    after = parts[-1].text if parts[-1].trusted else ""
    ids = Tokenizer.from_str(tokenizer.decode("utf-8")).encode(after, add_special_tokens=False).ids
    if ids and ids[0] in eos_ids:
        return ""
    return "the chat template closes an answer with something else than an end token; name it in eos_token_id"


def _described(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < JSON_BYTES_MAX else None
    except (OSError, ValueError, RecursionError):
        raw = None
    return raw if isinstance(raw, dict) else {}


def _text(described: dict[str, Any], name: str, directory: Path) -> str:
    """A special token as tokenizer_config.json gives it: text, or an object with its content; null is none."""
    found = described.get(name)
    found = found.get("content") if isinstance(found, dict) else found
    if found is None and name in described:
        return ""
    if not isinstance(found, str) or any("\ud800" <= character <= "\udfff" for character in found):
        raise _unfit(directory, f"the template needs {name}", f"{name} in {CONFIG}")
    return found


def _unfit(directory: Path, why: str, expected: str) -> TokenizerMissingError:
    return TokenizerMissingError(
        f"The model's chat template cannot be used: {why}",
        where=str(directory / TEMPLATE_FILE),
        expected=expected,
        remedy="fetch the tokenizer files that belong to the model",
    )
