"""Issued bundles, and the public keys that signed them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from control_plane.database import Base, UtcDateTime


class PolicyKeyRow(Base):
    """A moment at which a public key became the one that signs bundles; the newest row is the present."""

    __tablename__ = "policy_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(String(64))
    public_key: Mapped[str] = mapped_column(String(80))
    actor: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class PolicyBundleRow(Base):
    """A bundle as it was issued; never changed, deleted some time after it has expired. `digest`: of its payload."""

    __tablename__ = "policy_bundles"

    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    policy_version: Mapped[int] = mapped_column(ForeignKey("policy_versions.version"), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(64))
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_after: Mapped[datetime] = mapped_column(UtcDateTime)
    raw: Mapped[bytes] = mapped_column(LargeBinary, deferred=True, deferred_raiseload=True)
