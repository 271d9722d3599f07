"""The outside of a bundle: one line with format, digest, key and signature, then the payload, whose bytes are signed.

The line is all that is read before the signature has been verified.
"""

#     edgewise-bundle/1 sha256:<64 hex> <key id> <signature in hex>\n{"default":…,"facts":…, …}

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from policies.bundle.errors import BundleError, Refusal
from policies.bundle.signing import Signer

FORMAT: Final = "edgewise-bundle/1"
MAX_SIGNATURE_BYTES: Final = 512
_LINE: Final = re.compile(rb"edgewise-bundle/1 sha256:([0-9a-f]{64}) ([A-Za-z0-9._-]{1,64}) ((?:[0-9a-f]{2}){1,512})\n")
_LONGEST_LINE: Final = 2 * MAX_SIGNATURE_BYTES + 256


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parts of a bundle, none of them verified. `digest`: the SHA-256 that the line claims, in hex."""

    digest: str
    key_id: str
    signature: bytes
    payload: bytes


def signed_message(payload: bytes) -> bytes:
    """What is signed: the payload, and before it what it is, so that no signature for another use fits."""
    return FORMAT.encode() + b"\n" + payload


def digest_of(payload: bytes) -> str:
    """The content digest: SHA-256 in hex."""
    return hashlib.sha256(payload).hexdigest()


def seal(payload: bytes, signer: Signer) -> bytes:
    """The whole bundle. Raises BundleError when the signer's key id or signature does not fit the line."""
    signature = signer.sign(signed_message(payload))
    line = f"{FORMAT} sha256:{digest_of(payload)} {signer.key_id} {signature.hex()}\n".encode()
    if _LINE.fullmatch(line) is None:
        raise BundleError(Refusal.NO_BUNDLE, "the key id or the signature does not fit the first line of a bundle")
    return line + payload


def split(raw: bytes) -> Envelope:
    """The parts of a bundle. Raises BundleError for bytes that do not begin as one."""
    found = _LINE.match(raw[:_LONGEST_LINE])
    if found is None:
        raise BundleError(Refusal.NO_BUNDLE, f"the first line is none of {FORMAT}")
    digest, key_id, signature = (part.decode() for part in found.groups())
    return Envelope(digest, key_id, bytes.fromhex(signature), raw[found.end() :])
