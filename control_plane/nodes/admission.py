"""Who may join: the key, its role and binding, and whether the offered models are what they claim to be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from control_plane.accounts.keyring import KeyRing
from edgewise.wire.errors import EdgewiseError, NodeKeyError
from edgewise.wire.frames import Hello, ModelOffer


@dataclass(frozen=True, slots=True)
class Admission:
    """Under which key a node is in; `registry.disconnect_key(key_id)` puts it out again."""

    key_id: str = ""
    tenant: str = ""


Admit = Callable[[Hello], Awaitable[Admission]]
"""Raises NodeKeyError, ModelDigestError or another EdgewiseError to refuse."""


class KnownModels(Protocol):
    """What is asked of `control_plane.model_versions.service.ModelCatalog`."""

    def admit_models(self, offers: Iterable[ModelOffer]) -> None:
        """Raises ModelDigestError when a registered model comes with other digests, UnknownModelError."""
        ...


class NodeGate:
    """Admission by the key ring and the registered model versions."""

    def __init__(self, keyring: KeyRing, models: KnownModels) -> None:
        self._keyring = keyring
        self._models = models

    async def __call__(self, hello: Hello) -> Admission:
        admission = self._check_key(hello)
        self._models.admit_models(hello.models)
        return admission

    def _check_key(self, hello: Hello) -> Admission:
        try:
            principal = self._keyring.authenticate(hello.key)
        except EdgewiseError as error:
            raise _key_error(hello, error.message) from error
        if not principal.has("node"):
            raise _key_error(hello, f"The key has the roles {', '.join(sorted(principal.roles))}")
        if principal.device not in (None, hello.node_id):
            raise _key_error(hello, f"The key is bound to node {principal.device}")
        return Admission(principal.key_id, principal.tenant)


def _key_error(hello: Hello, message: str) -> NodeKeyError:
    return NodeKeyError(
        message,
        where=f"hello of node {hello.node_id}",
        expected="a live key with the role node that is bound to this node or to none",
        remedy="ask an operator for a node key and put it in the node's configuration",
    )
