"""The examples of the language guide and the how-to work as they stand, and the guide lists the facts as they are."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from policies import FACTS, Policy, PolicyError
from policies.library import seed_text
from policies.rollout import load_rollout
from policies.rollout.limits import GATES
from tests.policies.documents import when

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "policy-language.md").read_text(encoding="utf-8")
ROLLING_OUT = (DOCS / "howto" / "roll-out-a-policy.md").read_text(encoding="utf-8")
HOWTO = (DOCS / "howto" / "edit-a-policy.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language, without their indent in the document."""
    fenced = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in fenced]


ROLLOUT = "kind: PolicyRollout\n"


@pytest.mark.parametrize("text", [text for text in blocks(GUIDE, "yaml") if ROLLOUT not in text])
def test_whole_policies_can_be_activated(text: str) -> None:
    assert len(Policy.load_for_activation(text).document.rules) > 3


@pytest.mark.parametrize("text", [text for text in blocks(GUIDE + ROLLING_OUT, "yaml") if ROLLOUT in text])
def test_rollouts_are_accepted(text: str) -> None:
    assert load_rollout(text).warnings == ()


def test_every_gate_is_in_the_guide() -> None:
    rows = "".join(re.findall(r"^\| (`\w.*?) \| (?:shadow|both|enforce) \|", GUIDE, re.MULTILINE))
    shares = {name for name in GATES if name in rows}
    assert shares == {"decisionChange", "replayUnknown", "decisionErrors", "errors"}
    spread = {f"{quantile}{of}" for quantile in ("p50", "p90", "p95", "p99") for of in ("FirstToken", "Total")}
    assert shares | spread == set(GATES) and all(part in rows for part in ("p50", "p99", "FirstToken", "Total"))


@pytest.mark.parametrize("expression", "".join(blocks(GUIDE, "cel")).splitlines())
def test_expressions_are_accepted(expression: str) -> None:
    assert when(expression)


def test_the_table_of_facts() -> None:
    rows = re.findall(r"^\| `((?:request|device|cloud)\.\w+)` \| (.*?) \| (.*?) \| (.*?) \| ", GUIDE, re.MULTILINE)
    assert [name for name, *_ in rows] == list(FACTS)
    for name, type_, absent, stale in rows:
        spec = FACTS[name]
        assert all(f"`{word}`" in type_ for word in spec.enum if word) and (spec.enum or type_ == spec.type)
        assert (absent == "may be") == spec.optional and (absent == "an error") == spec.required
        assert stale == ("" if spec.stale_after_s is None else f"{spec.stale_after_s:g} s")


def edited(rule: str) -> str:
    """The seed policy after the steps of the how-to."""
    rule, test = (textwrap.indent(textwrap.dedent(part), "    ") for part in (rule, blocks(HOWTO, "yaml")[1]))
    before, mark, after = seed_text().partition("    # 7. Easy requests")
    return f"{before}{rule}{mark}{after}{test}"


def test_the_how_to() -> None:
    policy = Policy.load_for_activation(edited(blocks(HOWTO, "yaml")[0]))
    last = policy.run_tests()[-1]
    assert last.passed and last.decision is not None and last.decision.rule_id == "code"


def test_the_message_of_the_how_to() -> None:
    text = edited(blocks(HOWTO, "yaml")[0].replace("request.task", "request.tsk"))
    with pytest.raises(PolicyError) as caught:
        Policy.load(text.partition("    - name: code goes")[0])
    assert str(caught.value) == blocks(HOWTO, "text")[0].rstrip()
