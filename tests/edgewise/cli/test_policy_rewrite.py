"""Canonical expressions in a document's text: every YAML style, nothing else changed, the same policy as before."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.cli.policy_rewrite import rewrite
from policies import Policy
from policies.library import seed_text

DOCUMENT = """\
apiVersion: edgewise/v1  # first
kind: RoutingPolicy
metadata: {name: small}
spec:
  rules:
    - id: only
      when: WHEN
      decide: {mode: cloud}   # what is done
  default: {mode: race}
  onError: {mode: edge}
"""
LONG = " && ".join(f'request.tenant != "tenant-number-{number}"' for number in range(4))
BROKEN = LONG.replace(" && ", " &&\n        ")


def document(when: str) -> str:
    return DOCUMENT.replace("WHEN", when)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('request.task  ==  "code"', 'request.task == "code"'),
        ("request.task=='code'   # why", 'request.task == "code"   # why'),
        ("'request.complexity<0.5'", "'request.complexity < 0.5'"),
        ('"request.complexity<0.5"', '"request.complexity < 0.5"'),
        ("\"request.task=='code'\"", "'request.task == \"code\"'"),
        ("'(request.task)==\"it''s\"'", "'request.task == \"it''s\"'"),
        ("(!request.needs_fresh)", "'!request.needs_fresh'"),
        ("request.task in ['code',\n        'tool']", 'request.task in ["code", "tool"]'),
        ("|-\n        (request.needs_fresh)", "|-\n        request.needs_fresh"),
        ("|\n          ((request.needs_fresh))\n\n      # after", "|\n          request.needs_fresh\n\n      # after"),
        (">- # why\n        request.needs_fresh\n        &&  true", ">- # why\n        request.needs_fresh && true"),
        (f"|-\n        {LONG}", f"|-\n        {BROKEN}"),
        (f"|-\n        {BROKEN}", f"|-\n        {BROKEN}"),
        (LONG, LONG),
    ],
)
def test_every_style_keeps_its_style_where_it_can(before: str, after: str) -> None:
    if "it''s" in before:
        before, after = (
            before.replace("request.task)", "request.tenant)"),
            after.replace("request.task", "request.tenant"),
        )
    found = rewrite(document(before))
    assert found.text == document(after)
    assert found.changed == (before != after) and not found.left_alone
    assert rewrite(found.text).changed == 0


def test_operands_on_lines_of_their_own_keep_their_brackets() -> None:
    operands = [
        '(request.needs_fresh || request.task == "code")',
        "request.complexity < 0.5",
        f"({LONG} ? true : false)",
    ]
    text = document("|-\n        " + " && ".join(operands))
    found = rewrite(text)
    assert found.text == document("|-\n        " + " &&\n        ".join(operands))


@pytest.mark.parametrize("when", ["|-\n        request.needs_fresh // why", "|-\n        // why\n        true"])
def test_comments_are_left_alone(when: str) -> None:
    found = rewrite(document(when))
    assert (found.text, found.changed) == (document(when), 0)
    assert [(each.line, each.column, each.reason) for each in found.left_alone] == [(7, 13, "it holds a comment")]


def test_two_slashes_in_a_string_are_no_comment() -> None:
    found = rewrite(document("request.tenant=='a//b'"))
    assert (found.text, found.left_alone) == (document('request.tenant == "a//b"'), ())


def test_ends_of_line_stay() -> None:
    text = document(f"|-\n        {LONG}").replace("\n", "\r\n")
    assert rewrite(text).text == document(f"|-\n        {BROKEN}").replace("\n", "\r\n")


def test_json_stays_json() -> None:
    text = json.dumps(Policy.load(document("request.task=='code'")).document.data, indent=1)
    found = json.loads(rewrite(text).text)
    assert found["spec"]["rules"][0]["when"] == 'request.task == "code"'


def test_the_seed_is_canonical() -> None:
    assert rewrite(seed_text()).text == seed_text()


ATOMS = st.sampled_from(
    [
        "request.needs_fresh",
        "request.tenant=='co: de'",
        "request.tenant=='#'",
        "1<2",
        "request.task in ['code']",
    ]
)
CONDITIONS = st.recursive(
    ATOMS, lambda parts: st.tuples(parts, st.sampled_from(["&&", " || "]), parts).map(lambda t: f"({''.join(t)})")
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    condition=CONDITIONS,
    style=st.sampled_from(["|-\n        ", ">\n        ", "'", '"']),
    spaces=st.sampled_from(["", "  "]),
)
def test_the_policy_stays_what_it_was(condition: str, style: str, spaces: str) -> None:
    written = condition.replace("&&", f"{spaces}&&{spaces}")
    if style == "'":
        written = written.replace("'", "''")
    text = document(style + written + (style if len(style) == 1 else ""))
    before = Policy.load(text)
    found = rewrite(text)
    after = Policy.load(found.text)
    assert rewrite(found.text) == type(found)(found.text, 0, ())
    facts = {"request.sensitivity": "public", "request.origin": "control_plane"}
    for more in ({}, {"request.needs_fresh": True}, {"request.task": "code"}, {"request.tenant": "#"}):
        assert before.decide({**facts, **more}).mode == after.decide({**facts, **more}).mode
