"""The policy engine: a YAML document of typed CEL rules in, decisions with reasons out; the same on every tier.

Needs the standard library and PyYAML only. No facts are measured here and no answers are run.
"""

from policies.decide import Policy
from policies.decision import Change, Decision, Flip, TestOutcome, Timeouts
from policies.explain import Explanation
from policies.facts import FACTS, FactSpec, FactType, FactValue, drop_stale, typical_facts
from policies.modes import MODES, SUPPORTED_MODES, Mode, leaves_device
from policies.problems import PolicyError, Problem
from policies.terms import Redaction, StepTerms, Terms
from policies.trace import ClauseTrace, RuleTrace, Trace

__all__ = [
    "FACTS",
    "MODES",
    "SUPPORTED_MODES",
    "Change",
    "ClauseTrace",
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
    "Redaction",
    "RuleTrace",
    "StepTerms",
    "Terms",
    "TestOutcome",
    "Timeouts",
    "Trace",
    "drop_stale",
    "leaves_device",
    "typical_facts",
]
