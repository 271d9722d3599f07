"""A fake API, and a function that runs one `edgewise` command line against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgewise.cli.main import run
from edgewise.local.keys_file import KEYS_FILE
from tests.edgewise.cli.fake_api import FakeApi, serving


@dataclass
class Outcome:
    """What one command line gave."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with serving() as running:
        yield running


@pytest.fixture
def command(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    for variable in ("EDGEWISE_API_KEY", "EDGEWISE_URL", "EDGEWISE_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    keys = f'{{"operator": "ek_op", "app": "ek_app", "node": "ek_node", "base_url": "{api.url}"}}'
    (tmp_path / KEYS_FILE).write_text(keys)

    def call(*words: str) -> Outcome:
        code = run([*words, "--data-dir", str(tmp_path)])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return call
