"""One loader for every process: what stands over what, and how a wrong setting, key file or directory is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgewise import settings
from edgewise.settings import Setting, SettingsTable, make_data_dir, parse_pairs, parse_switch, read_keys
from edgewise.wire.errors import ConfigError, DataDirError


def _parse_secret(text: str) -> int:
    if not text.isdigit():
        raise ValueError("it does not parse")
    return int(text)


TABLE = SettingsTable(
    "TEST_",
    {
        "home": settings.directory("--home"),
        "slots": settings.count(),
        "labels": Setting("name=value pairs", parse_pairs, flag="--label"),
        "on": Setting("1 or 0", parse_switch),
        "secret": Setting("a number", _parse_secret, shown=False),
    },
)


@dataclass(frozen=True, kw_only=True)
class Config:
    home: Path
    slots: int = 1
    labels: dict[str, str] = field(default_factory=dict)
    on: bool = False
    secret: int = 0

    def __post_init__(self) -> None:
        TABLE.check(self)


def load(environ: dict[str, str], **explicit: object) -> Config:
    return TABLE.load(Config, environ, explicit)


def test_arguments_stand_over_variables_and_variables_over_defaults() -> None:
    environ = {"TEST_HOME": "there", "TEST_SLOTS": "3", "TEST_ON": "yes", "TEST_LABELS": ""}
    assert load(environ, slots=7, on=None) == Config(home=Path("there"), slots=7, on=True)


def test_a_wrong_variable_does_not_matter_where_an_argument_stands_over_it() -> None:
    assert load({"TEST_SLOTS": "many"}, home=Path(), slots=2).slots == 2


def test_text_is_parsed_whoever_gives_it() -> None:
    assert load({}, home="here", labels="a=1, b=x=y").labels == {"a": "1", "b": "x=y"}


@pytest.mark.parametrize("text", ["many", "0", "-1"])
def test_a_wrong_value_is_told_with_its_ways_and_what_was_expected(text: str) -> None:
    with pytest.raises(ConfigError, match=f"slots cannot be '{text}'") as raised:
        load({"TEST_HOME": "h", "TEST_SLOTS": text})
    assert raised.value.where == "TEST_SLOTS"
    assert raised.value.expected == "a whole number above 0"
    assert "TEST_SLOTS" in raised.value.remedy


def test_a_missing_setting_names_flag_and_variable() -> None:
    with pytest.raises(ConfigError, match="home is missing") as raised:
        load({})
    assert raised.value.where == "--home or TEST_HOME"


def test_what_is_not_to_be_shown_is_not() -> None:
    with pytest.raises(ConfigError, match="secret is wrong: it does not parse") as raised:
        load({}, home=Path(), secret="hush")
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("text", ["novalue", "=x"])
def test_pairs_have_a_name_and_a_sign(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_pairs(text)


def test_a_switch_is_a_word_that_is_known() -> None:
    assert [parse_switch(word) for word in ("1", " True ", "yes", "0", "false", "NO")] == [True] * 3 + [False] * 3
    with pytest.raises(ValueError, match="perhaps"):
        parse_switch("perhaps")


def test_default_threads_stay_within_their_bounds() -> None:
    assert 1 <= settings.default_threads(4) <= 4


# keys -----------------------------------------------------------------------------------------------------------------


def test_a_key_file_is_keys_json_or_one_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(json.dumps({"node": "ek_n", "app": "ek_a", "base_url": "http://h"}))
    assert read_keys(path, "node") == {"node": "ek_n", "app": "ek_a"}
    path.write_text("ek_one\n")
    assert read_keys(path, "app") == {"app": "ek_one"}


@pytest.mark.parametrize("text", ["", "{", "word", "ek_two keys", '{"app": "ek_a"}', '{"node": 7}', "\x00"])
def test_a_key_file_without_the_key_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(ConfigError, match="The key file cannot be used") as raised:
        read_keys(tmp_path / "key", "node")
    assert raised.value.where == str(tmp_path / "key")


@pytest.mark.parametrize("raw", [b"\xff\xfe", b'{"node": "\xff"}'])
def test_a_key_file_that_is_no_text_is_told(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(raw)
    with pytest.raises(ConfigError, match="it is damaged"):
        read_keys(tmp_path / "key", "node")


def test_a_key_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_keys(tmp_path / "none", "node")


def test_a_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    make_data_dir(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(DataDirError, match="Not a directory"):
        make_data_dir(tmp_path / "file" / "below")
