"""Why a bundle is refused: one error, and the codes it may carry."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """The rule that a bundle broke. The values are the words of logs and of the wire."""

    TOO_LARGE = "too-large"
    NO_BUNDLE = "no-bundle"
    DIGEST = "digest-mismatch"
    SIGNATURE = "bad-signature"
    NOT_CANONICAL = "not-canonical"
    SHAPE = "wrong-shape"
    PROFILE = "unknown-profile"
    SCHEMA = "schema-mismatch"
    EXPIRED = "expired"
    OLDER = "older-version"
    OTHER = "same-version-other-content"
    TREE = "bad-tree"
    TREE_DIFFERS = "tree-differs"
    TOO_COSTLY = "too-costly"
    OUTCOME = "bad-outcome"


class BundleError(ValueError):
    """A bundle was refused, or a policy cannot be packed. `code` names the rule, str() says what and where."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
