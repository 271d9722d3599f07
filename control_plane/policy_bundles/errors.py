"""Why no bundle is issued."""

from __future__ import annotations

from edgewise.wire.errors import ConfigError, PolicyInvalidError


class SigningKeyError(ConfigError):
    """The key file cannot be used, or holds another key than the one that is registered."""


class NotIssuableError(PolicyInvalidError):
    """No bundle that devices would take can be made of a policy."""
