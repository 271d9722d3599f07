"""/admin/v1/streams: what is open, what ended, one in detail, stopping one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.admin_api import (
    IdCursor,
    Limit,
    UtcMoment,
    Word,
    admin_router,
    audited,
    errors,
    id_cursor,
    next_cursor,
    operator_only,
)
from control_plane.stream_admin.schemas import StreamCancelled, StreamPage, StreamView, StreamWhole
from control_plane.stream_admin.service import StreamDesk, StreamFilter, StreamState

StreamId = Annotated[str, Path(max_length=64, description="A stream id, or the id of a chat completion")]


def router(desk: StreamDesk, keyring: KeyRing) -> APIRouter:
    """Routes over the service; every one needs the role operator."""
    operator = operator_only(keyring)
    routes = admin_router("streams")

    @routes.get("", responses=errors())
    async def list_streams(
        state: StreamState | None = None,
        tenant: Word = None,
        key: Word = None,
        tier: Word = None,
        since: UtcMoment | None = None,
        after: IdCursor = None,
        limit: Limit = 50,
        by: Principal = Depends(operator),
    ) -> StreamPage:
        """Streams, newest first; open ones as the log knows them. `key` is a key id. Those of devices' own apps are at
        /admin/v1/decisions alone."""
        wanted = StreamFilter(state, tenant, key, tier, since)
        found = await desk.page(wanted, before_id=id_cursor(after), limit=limit)
        return StreamPage(
            items=[StreamView.of(each) for each in found], next=next_cursor(found, limit, lambda each: each.stream_id)
        )

    @routes.get("/{stream_id}", responses=errors(404, 410), openapi_extra=audited("stream.read_text"))
    async def get_stream(
        stream_id: StreamId,
        include_text: Annotated[bool, Query(description="Show what was said; this is audited")] = False,
        by: Principal = Depends(operator),
    ) -> StreamWhole:
        """Head, decision, timings and tiers of one stream; text only when it is asked for."""
        return StreamWhole.of(await desk.get(stream_id, text=include_text, actor=by.key_id))

    @routes.delete("/{stream_id}", responses=errors(404), openapi_extra=audited("stream.cancel"))
    async def cancel_stream(stream_id: StreamId, by: Principal = Depends(operator)) -> StreamCancelled:
        """Stop an answer now, whoever asked for it; nothing follows in its log."""
        head = await desk.cancel(stream_id, actor=by.key_id)
        return StreamCancelled(id=stream_id, status=head.status, last_seq=head.next_seq - 1)

    return routes
