"""A checked policy to the bytes of a bundle, for the control plane. What it makes, devices of its version take."""

from __future__ import annotations

from policies.build import build_trees
from policies.bundle.envelope import seal
from policies.bundle.errors import BundleError, Refusal
from policies.bundle.payload import Charter, read_contents, read_policy, write_payload
from policies.bundle.signing import Signer
from policies.bundle.trust import MAX_BYTES
from policies.decide import Policy
from policies.modes import MODES


def pack(policy: Policy, signer: Signer, *, version: int, issued_at_s: int, not_after_s: int) -> bytes:
    """The bundle of a loaded policy; equal input gives equal bytes where the signer does.

    version, issued_at_s, not_after_s: see `Charter`. Raises BundleError for what no device would take.
    """
    trees, problems = build_trees(policy.document, policy.source)
    if problems:
        raise BundleError(Refusal.TREE, f"the policy has problems: {problems[0].message}")
    charter = Charter(policy.name, policy.digest, version, issued_at_s, not_after_s)
    payload = write_payload(charter, policy.document, trees)
    read_policy(read_contents(payload), MODES)
    raw = seal(payload, signer)
    if len(raw) > MAX_BYTES:
        raise BundleError(Refusal.TOO_LARGE, f"the bundle has {len(raw)} bytes, and may have {MAX_BYTES}")
    return raw
