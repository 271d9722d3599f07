"""findings.json: canonical, read back as written, and refused when it cannot be right."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.wire.errors import ManifestError
from edgewise.wire.findings import FINDINGS_FILE, accuracy, load_findings, parse_findings, perplexity
from tests.factories.findings import cells, findings


def test_it_is_read_back_as_written(tmp_path: Path) -> None:
    (tmp_path / FINDINGS_FILE).write_bytes(findings().canonical())
    found = load_findings(tmp_path)
    assert found == findings()
    assert found is not None
    assert found.canonical() == findings().canonical()


def test_the_bytes_are_canonical() -> None:
    document = json.loads(findings().canonical())
    expected = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert findings().canonical() == expected.encode() + b"\n"


def test_a_directory_may_have_none(tmp_path: Path) -> None:
    assert load_findings(tmp_path) is None


def test_accuracy_and_perplexity_are_over_all_cells() -> None:
    two = (*cells(50, 100.0)[:1], *cells(100, 300.0)[:1])
    assert accuracy(two) == 0.75
    assert perplexity(two) == pytest.approx(math.exp(0.2))
    assert math.isnan(accuracy(()))
    assert math.isnan(perplexity(()))


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("format",), 9, "format 9"),
        (("cells", 0, 4), 101, "cell sum grade 1 en"),
        (("cells", 0, 4), -1, "cell sum"),
        (("cells", 0, 8), -0.5, "cell sum"),
        (("parent", "cells", 3, 4), 101, "cell sum"),
        (("accepted", 0, 3), 101, "more positions"),
        (("agreement", 0, 1), -1, "more positions"),
        (("cells", 0, 1), "one", "do not parse"),
        (("cells", 0, 7), 10**400, "do not parse|cell sum"),
        (("cells", 0, 7), 2**60, "cell sum"),
        (("cells", 0, 2), "e" * 17, "no language"),
        (("cells", 0, 2), "", "no language"),
        (("agreement", 0, 0), "e n", "no language"),
        (("accepted", 0, 0), "t" * 65, "target too long"),
    ],
)
def test_what_cannot_be_right_is_refused(where: tuple[str | int, ...], value: object, said: str) -> None:
    document = msgspec.json.decode(findings().canonical())
    place = document
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    with pytest.raises(ManifestError, match=said):
        parse_findings(msgspec.json.encode(document))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=200) | st.integers(0, 2000).map(lambda n: findings().canonical()[:n]))
def test_no_bytes_break_the_parser(raw: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_findings(raw)


def test_more_languages_than_can_be_judged_are_refused() -> None:
    document = msgspec.json.decode(findings().canonical())
    document["cells"] = [
        [*cell[:2], f"x-{number}", *cell[3:]] for number in range(40) for cell in document["cells"][:1]
    ]
    with pytest.raises(ManifestError, match="more than 32 languages"):
        parse_findings(msgspec.json.encode(document))
