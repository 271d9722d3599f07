"""Exact reasoning about policies: rules that never decide, invariants for all facts, what changes between versions.

Exact for comparisons of facts with constants, words, sets, prefixes and absence; beyond, an answer may be "not known".
"""

from policies.analysis.differences import difference
from policies.analysis.proofs import prove
from policies.analysis.report import Change, Finding, Proof, Proved, Reach, Refuted, Report, Unknown
from policies.analysis.rules import analyse

__all__ = [
    "Change",
    "Finding",
    "Proof",
    "Proved",
    "Reach",
    "Refuted",
    "Report",
    "Unknown",
    "analyse",
    "difference",
    "prove",
]
