"""Ed25519 keys: the vectors of RFC 8032, texts that are read back, and nothing private in any representation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.signing import PRIVATE, Ed25519Signer, Ed25519Verifier, PublicKey
from policies.bundle import Signer, Verifier

# RFC 8032, section 7.1, TEST 1 to 3: seed, public key, message, signature.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
SIGNER = Ed25519Signer(b"1" * 32)


@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS)
def test_the_vectors_of_the_standard(seed: str, public: str, message: str, signature: str) -> None:
    signer = Ed25519Signer(bytes.fromhex(seed))
    assert (signer.public.raw.hex(), signer.sign(bytes.fromhex(message)).hex()) == (public, signature)
    verifier = Ed25519Verifier([PublicKey(bytes.fromhex(public))])
    assert verifier.verify(signer.key_id, bytes.fromhex(message), bytes.fromhex(signature))


def test_the_protocols_of_bundles_are_met() -> None:
    signer: Signer = SIGNER
    verifier: Verifier = Ed25519Verifier([SIGNER.public])
    assert verifier.verify(signer.key_id, b"words", signer.sign(b"words"))


@given(key_id=st.sampled_from([SIGNER.key_id, "other", ""]), message=st.binary(max_size=50), signature=st.binary())
def test_what_the_key_did_not_sign_is_refused_and_nothing_raises(key_id: str, message: bytes, signature: bytes) -> None:
    assert not Ed25519Verifier([SIGNER.public]).verify(key_id, message, signature)


@given(raw=st.binary(min_size=32, max_size=32))
def test_a_key_that_is_no_point_verifies_nothing(raw: bytes) -> None:
    key = PublicKey(raw)
    assert not Ed25519Verifier([key]).verify(key.id, b"words", SIGNER.sign(b"words"))


def test_the_neutral_element_signs_for_nobody() -> None:
    """A public key of small order would accept one signature for every message."""
    weak = PublicKey(b"\x01" + bytes(31))
    assert not Ed25519Verifier([weak]).verify(weak.id, b"words", b"\x01" + bytes(63))


@given(seed=st.binary(min_size=32, max_size=32))
def test_keys_are_read_back_from_their_texts(seed: bytes) -> None:
    signer = Ed25519Signer(seed)
    assert PublicKey.read(f" {signer.public.text}\n") == signer.public
    assert Ed25519Signer.read(signer.private_text() + "\n").public == signer.public


def test_secrets_for_other_purposes_are_made_of_the_key_and_tell_nothing_of_it() -> None:
    made = SIGNER.derived("context-salts")
    assert made == Ed25519Signer(b"1" * 32).derived("context-salts") and len(made) == 32
    assert made not in {SIGNER.derived("another"), Ed25519Signer(b"2" * 32).derived("context-salts"), b"1" * 32}


def test_fresh_keys_differ() -> None:
    assert Ed25519Signer.new().key_id != Ed25519Signer.new().key_id


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "ed25519:%%%", "rsa:AAAA", SIGNER.private_text()])
def test_other_texts_are_no_public_key(text: str) -> None:
    with pytest.raises(ValueError, match="it "):
        PublicKey.read(text)


def test_the_private_key_is_in_no_representation_and_no_complaint() -> None:
    secret = SIGNER.private_text().removeprefix(PRIVATE)
    assert secret not in f"{SIGNER!r} {SIGNER} {[SIGNER]} {SIGNER.public!r}"
    with pytest.raises(ValueError, match="no base64") as raised:
        Ed25519Signer.read(f"{PRIVATE}{secret[:-3]}!!!")
    assert secret[:8] not in repr(raised.value) and raised.value.__cause__ is None
