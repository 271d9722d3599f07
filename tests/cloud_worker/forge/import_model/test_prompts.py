"""A prompts file: what is taken, and that every other byte gives the one error, which quotes no prompt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.forge.import_model.prompts import FIELDS, PromptsFileError, digest_of, read_prompts
from tests.factories.imported import write_prompts

values = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
rows = st.dictionaries(st.sampled_from([*FIELDS, "more"]), values, max_size=4)


def write(folder: Path, *lines: str) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_languages_are_given_or_seen(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"prompt": "How are you?", "answer": " Fine. "}',
        "",
        '{"prompt": "你好，你叫什么名字？"}\r',
        '{"prompt": "Wie geht es dir heute, mein lieber alter Freund?", "language": "DE"}',
    )
    found = [(each.line, each.language, each.answer) for each in read_prompts(path)]
    assert found == [(1, "en", "Fine."), (3, "zh", ""), (4, "de", "")]


def test_line_separators_inside_a_prompt_do_not_split_it(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"prompt": "a\u2028b\u0085c"}, ensure_ascii=False))
    assert read_prompts(path)[0].prompt == "a\u2028b\u0085c"


def test_the_digest_is_of_what_is_asked(tmp_path: Path) -> None:
    one, two = (read_prompts(write(tmp_path, json.dumps({"prompt": text}))) for text in ("a", "b"))
    assert digest_of(one) != digest_of(two)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{secret", "no JSON"), ('["secret"]', "no object"), ('{"prompt": 3}', "no object"),
        ('{"prompt": " "}', "no prompt"), ('{"prompt": "secret \\ud800"}', "half a character"),
        ('{"answer": "secret"}', "no prompt"), ('{"prompt": "secret", "more": 1}', "not known"),
        ('{"prompt": "secret", "language": "e n"}', "language tag"), ("[" * 100_000, "no JSON"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_not_quoted(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path, '{"prompt": "fine"}', line)
    with pytest.raises(PromptsFileError, match=said) as caught:
        read_prompts(path)
    assert caught.value.where.endswith("line 2") and "secret" not in str(caught.value)


def test_no_file_no_prompts_and_other_encodings(tmp_path: Path) -> None:
    with pytest.raises(PromptsFileError, match="cannot be read"):
        read_prompts(tmp_path / "nowhere.jsonl")
    with pytest.raises(PromptsFileError, match="has 0 prompts"):
        read_prompts(write(tmp_path, "", "  "))
    (tmp_path / "other.jsonl").write_bytes('{"prompt": "你"}'.encode("gb18030"))
    with pytest.raises(PromptsFileError, match="not UTF-8"):
        read_prompts(tmp_path / "other.jsonl")


@given(
    raw=st.binary(max_size=80)
    | st.lists(rows, max_size=3).map(lambda found: "\n".join(map(json.dumps, found)).encode())
)
def test_any_bytes_give_prompts_or_the_error(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(raw)
    try:
        found = read_prompts(path)
    except PromptsFileError:
        return
    assert found and all(each.prompt.strip() and each.language for each in found)
    digest_of(found)


def test_more_languages_than_gates_judge_are_refused(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "language": f"x-{number}"} for number in range(33)]
    with pytest.raises(PromptsFileError, match="more than 32 languages"):
        read_prompts(write_prompts(tmp_path / "p.jsonl", *rows))
