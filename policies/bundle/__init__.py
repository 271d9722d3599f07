"""Policy bundles: a checked policy as signed bytes for devices, and what a device does before it trusts them.

Nothing is sent or stored here, and no clock is read: bytes, keys and the time come in, a bundle or a reason comes out.
"""

from policies.bundle.errors import BundleError, Refusal
from policies.bundle.opened import Bundle
from policies.bundle.pack import pack
from policies.bundle.signing import HmacSigner, HmacVerifier, Signer, Verifier
from policies.bundle.store import Accepted, LastKnownGood, Rejected, Verdict
from policies.bundle.trust import MAX_BYTES, open_bundle, restore_bundle

__all__ = [
    "MAX_BYTES",
    "Accepted",
    "Bundle",
    "BundleError",
    "HmacSigner",
    "HmacVerifier",
    "LastKnownGood",
    "Refusal",
    "Rejected",
    "Signer",
    "Verdict",
    "Verifier",
    "open_bundle",
    "pack",
    "restore_bundle",
]
