"""The policy engine: a YAML document of typed CEL rules in, decisions with reasons out; the same on every tier.

Needs the standard library and PyYAML only. No facts are measured here and no answers are run.
"""

from policies.decide import Policy
from policies.decision import Decision, Explanation, Flip, RuleTrace, TestOutcome, Timeouts
from policies.facts import FACTS, FactSpec, FactType, FactValue, drop_stale, typical_facts
from policies.modes import MODES, SUPPORTED_MODES, Mode, leaves_device
from policies.problems import PolicyError, Problem

__all__ = [
    "FACTS",
    "MODES",
    "SUPPORTED_MODES",
    "Decision",
    "Explanation",
    "FactSpec",
    "FactType",
    "FactValue",
    "Flip",
    "Mode",
    "Policy",
    "PolicyError",
    "Problem",
    "RuleTrace",
    "TestOutcome",
    "Timeouts",
    "drop_stale",
    "leaves_device",
    "typical_facts",
]
