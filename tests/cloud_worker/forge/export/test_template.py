"""Chat templates of other families: special tokens written in, markers known to the tokenizer, answers that end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloud_worker.forge.export import TokenizerMissingError
from cloud_worker.forge.export.template import checked_tokenizer, filled_template, unended
from edgewise.generation.state import Message
from edgewise.generation.template import ChatTemplate
from edgewise.wire.errors import ConfigError
from tests.factories.tokenizers import END_ID, TEMPLATE, tokenizer_json

LLAMA = "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}<|end|>{% endfor %}"


def described(folder: Path, **fields: object) -> Path:
    (folder / "tokenizer_config.json").write_text(json.dumps(fields), encoding="utf-8")
    return folder


def rendered(template: str) -> str:
    return "".join(part.text for part in ChatTemplate(template.encode()).render([Message("user", "a")]))


@pytest.mark.parametrize("token", ["<|pad|>", {"content": "<|pad|>", "lstrip": False}])
def test_the_beginning_token_is_not_lost(tmp_path: Path, token: object) -> None:
    assert rendered(LLAMA) == "<|user|>a<|end|>"
    assert rendered(filled_template(described(tmp_path, bos_token=token), LLAMA)) == "<|pad|><|user|>a<|end|>"


def test_no_beginning_token_is_none(tmp_path: Path) -> None:
    assert rendered(filled_template(described(tmp_path, bos_token=None), LLAMA)) == rendered(LLAMA)


def test_quotes_in_a_token_stay_text(tmp_path: Path) -> None:
    filled = filled_template(described(tmp_path, bos_token="'\"%} {{ 1/0 }}\\"), LLAMA)
    assert rendered(filled).startswith("'\"%} {{ 1/0 }}\\<|user|>")


def test_a_template_without_special_tokens_stays_as_it_is(tmp_path: Path) -> None:
    assert filled_template(tmp_path, TEMPLATE) == TEMPLATE


@pytest.mark.parametrize("raw", ["{}", "[]", "{", '{"bos_token": 3}'])
def test_a_template_that_names_what_nothing_gives(tmp_path: Path, raw: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(raw)
    with pytest.raises(TokenizerMissingError, match="needs bos_token"):
        filled_template(tmp_path, LLAMA)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("<|im_start|>{{ messages[0].content }}", "writes <|im_start|>"),
        ("{{ raise_exception('no') }}", "refuses a question"),
        ("{{ messages[9].content.x }}", "refuses a question"),
    ],
)
def test_templates_that_do_not_fit(tmp_path: Path, template: str, said: str) -> None:
    with pytest.raises(TokenizerMissingError, match=said.replace("|", r"\|")):
        checked_tokenizer(tmp_path, tokenizer_json(), template, (END_ID,))


@pytest.mark.parametrize("template", ["{% for %}", "\ufdd0"])
def test_templates_that_are_none(tmp_path: Path, template: str) -> None:
    with pytest.raises(ConfigError, match="chat template"):
        checked_tokenizer(tmp_path, tokenizer_json(), template, (END_ID,))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (TEMPLATE, ""),
        ("{% for m in messages %}{{ m.content }}<|user|>{% endfor %}", "something else than an end token"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "something else than an end token"),
        ("{{ messages[0].content }}{{ raise_exception('x') if messages|length > 1 }}", "only first questions"),
    ],
)
def test_an_answer_without_an_end_is_warned_of(template: str, said: str) -> None:
    found = unended(tokenizer_json(), template, (END_ID,))
    assert said in found and bool(said) == bool(found)
