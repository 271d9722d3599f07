"""Every rule by which a device trusts a bundle, in the order they are applied: the cheap ones first, the trees last."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import Final

from policies.bundle.envelope import Envelope, digest_of, signed_message, split
from policies.bundle.errors import BundleError, Refusal
from policies.bundle.opened import Bundle, made_bundle
from policies.bundle.payload import Charter, Contents, read_contents, read_policy
from policies.bundle.signing import Verifier
from policies.modes import SUPPORTED_MODES, Mode

MAX_BYTES: Final = 4 * 1024 * 1024
"""A document of the largest size has a bundle of about half of this."""


def open_bundle(
    raw: bytes,
    verifier: Verifier,
    now_s: float,
    *,
    last: Bundle | None = None,
    supported_modes: Collection[Mode] = SUPPORTED_MODES,
) -> Bundle:
    """The bundle, which every rule below holds for. Raises BundleError, and nothing else, for any bytes.

    now_s: seconds since 1970 (UTC). last: the bundle that was trusted before; None when there is none.
    """
    envelope, contents = _authentic(raw, verifier)
    _judge_time(contents.charter, now_s)
    _judge_version(contents.charter, envelope.digest, last)
    return _opened(envelope, contents, raw, supported_modes)


def restore_bundle(raw: bytes, verifier: Verifier, *, supported_modes: Collection[Mode] = SUPPORTED_MODES) -> Bundle:
    """The bundle that this device kept when it trusted it; it may have expired since. Raises BundleError."""
    envelope, contents = _authentic(raw, verifier)
    return _opened(envelope, contents, raw, supported_modes)


def _authentic(raw: bytes, verifier: Verifier) -> tuple[Envelope, Contents]:
    # 1. Nothing is read of bytes that are too many.
    if len(raw) > MAX_BYTES:
        raise BundleError(Refusal.TOO_LARGE, f"the bundle has {len(raw)} bytes, and may have {MAX_BYTES}")
    # 2. The first line is of this format.
    envelope = split(raw)
    # 3. The payload is whole.
    if not hmac.compare_digest(digest_of(envelope.payload), envelope.digest):
        raise BundleError(Refusal.DIGEST, "the payload is not the one that the first line names")
    # 4. A trusted key has signed these very bytes. Until here nobody has vouched for anything.
    if not verifier.verify(envelope.key_id, signed_message(envelope.payload), envelope.signature):
        raise BundleError(Refusal.SIGNATURE, f"no trusted key {envelope.key_id} has signed this")
    # 5. The payload is canonical, of this profile, and means by its facts and functions what this device means.
    return envelope, read_contents(envelope.payload)


def _judge_time(charter: Charter, now_s: float) -> None:
    # 6. Its time is not over. A time that is no number is after everything.
    if not now_s <= charter.not_after_s:
        raise BundleError(Refusal.EXPIRED, f"the bundle was good until {charter.not_after_s}, and it is {now_s}")


def _judge_version(charter: Charter, digest: str, last: Bundle | None) -> None:
    # 7. It is newer than the one before, or that very one again.
    if last is None or charter.version > last.charter.version:
        return
    if charter.version < last.charter.version:
        raise BundleError(Refusal.OLDER, f"version {charter.version} comes after version {last.charter.version}")
    if digest != last.digest:
        raise BundleError(Refusal.OTHER, f"version {charter.version} has been issued with other content")


def _opened(envelope: Envelope, contents: Contents, raw: bytes, supported_modes: Collection[Mode]) -> Bundle:
    # 8. Its trees are those that this device's checker makes, within its budget; its outcomes can be carried out.
    document, trees = read_policy(contents, supported_modes)
    return made_bundle(contents.charter, envelope.digest, bytes(raw), document, trees)
