"""HTTP shapes of /admin/v1/keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from control_plane.accounts.keys import Role, UserTier
from control_plane.accounts.service import DEFAULT_TENANT, IssuedKey, KeyRequest
from control_plane.admin_api import UtcMoment

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


OVERLAP_S = 3600.0
OVERLAP_MAX_S = 30 * 24 * 3600.0


class NewKey(BaseModel):
    """A key to be made. `device` binds it to one node id; `user_tier` is a fact that policies may read."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    roles: Annotated[list[Role], Field(min_length=1, max_length=3)]
    tenant: Word = DEFAULT_TENANT
    user_tier: UserTier = "standard"
    device: Word | None = None
    expires_at: UtcMoment | None = None

    def request(self) -> KeyRequest:
        """The service's form."""
        return KeyRequest(
            self.name, tuple(self.roles), self.tenant, self.user_tier, self.device, expires_at=self.expires_at
        )


class Rotation(BaseModel):
    """How long the secret before goes on working beside the new one; 0 ends it at once."""

    model_config = ConfigDict(extra="forbid")

    overlap_s: Annotated[float, Field(ge=0, le=OVERLAP_MAX_S, allow_inf_nan=False)] = OVERLAP_S


class KeyView(BaseModel):
    """A key as it may be shown: its first characters only. `old_expires_at` ends the secret before the last one."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    prefix: str
    name: str
    tenant: str
    user_tier: UserTier
    roles: list[Role]
    device: str | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_at: datetime | None
    old_expires_at: datetime | None


class CreatedKey(KeyView):
    """The one answer that holds the key itself."""

    key: str = Field(repr=False)

    @classmethod
    def of(cls, issued: IssuedKey) -> CreatedKey:
        """The shape of a key just made."""
        return cls(key=issued.key, **KeyView.model_validate(issued.row).model_dump())


class KeyPage(BaseModel):
    """Keys, newest first."""

    items: list[KeyView]
    next: str | None
