"""A charge: what one answer used, as it travels from its end to the ledger. And how it is read from a stream's log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from edgewise.streams.entries import EndEntry, TierEntry, TokensEntry, decode_entry
from edgewise.streams.log import Record

_DAY_0 = date(1970, 1, 1)


class Charge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`day` counts UTC days from 1970; `counted` when the counters hold it until it is written."""

    sid: str
    key_id: str
    tenant: str
    day: int
    tier_kind: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    waste_tokens: int = 0
    cost_micros: int = 0
    counted: bool = False

    @property
    def tokens(self) -> int:
        """What budgets count. Waste is the operator's: a client did not choose to race."""
        return self.prompt_tokens + self.completion_tokens


class Used(msgspec.Struct, frozen=True):
    """What a stream's records say was used; `tier` spoke last, empty where nobody did."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    waste_tokens: int = 0
    tier: str = ""


def used_in(records: Sequence[Record], *, prompt_tokens: int, max_tokens: int) -> Used:
    """What an ended stream used: its end says it. A cancelled one has no usage in it: its prompt, once a tier spoke,
    and the ids that are there; text without ids counts by its bytes, of which no token has less than one."""
    tier, ids, text_bytes = "", 0, 0
    for record in records:
        entry = decode_entry(record.payload)
        if isinstance(entry, EndEntry):
            waste = entry.timings.waste_tokens
            return Used(entry.prompt_tokens if tier else 0, entry.completion_tokens, waste, tier)
        if isinstance(entry, TierEntry):
            tier = entry.tier
        elif isinstance(entry, TokensEntry):
            ids = max(ids, entry.n0 + len(entry.ids)) if entry.ids else ids
            text_bytes += 0 if entry.ids else len(entry.text.encode())
    said = min(max_tokens, ids + text_bytes)
    return Used(prompt_tokens if tier or said else 0, said, 0, tier)


def kind_of(tier: str) -> str:
    """`edge` or `cloud`: the first half of a tier's name."""
    return tier.partition(":")[0]


def day_number(moment: datetime) -> int:
    """UTC days since 1970."""
    return (moment.astimezone(UTC).date() - _DAY_0).days


def date_of(day: int) -> date:
    """The inverse of `day_number`."""
    return _DAY_0 + timedelta(days=day)
