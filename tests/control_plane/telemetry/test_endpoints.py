"""/admin/v1/nodes/{node_id}/telemetry over HTTP: pages, kinds, operators only, and malformed queries."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.telemetry.service import TelemetryIntake
from tests.control_plane.telemetry.batches import fresh, record, samples
from tests.factories.admin import Admin

URL = "/admin/v1/nodes/phone/telemetry"
FUZZ = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@pytest.fixture
def intake(admin: Admin) -> TelemetryIntake:
    return TelemetryIntake(admin.database)


async def test_pages_hold_everything_once_the_newest_first(admin: Admin, intake: TelemetryIntake) -> None:
    await intake.store(samples(1, 7))
    await intake.store(samples(1, 2, node_id="tablet"))
    seen: list[int] = []
    query: dict[str, int] = {"limit": 3}
    while True:
        page = (await admin.client.get(URL, params=query)).json()
        seen += [item["seq"] for item in page["items"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert seen == [7, 6, 5, 4, 3, 2, 1]


async def test_one_kind(admin: Admin, intake: TelemetryIntake) -> None:
    await intake.store(fresh(1, record(), record(3, "worker", load=0.5), record()))
    (item,) = (await admin.client.get(URL, params={"kind": "worker"})).json()["items"]
    assert item == {
        "stream": "s",
        "seq": 2,
        "at": "2026-05-04T12:00:03Z",
        "kind": "worker",
        "values": {"load": 0.5},
    }


async def test_a_node_that_never_reported_has_none(admin: Admin) -> None:
    assert (await admin.client.get(URL)).json() == {"items": [], "next": None}


async def test_only_operators_may_read(admin: Admin) -> None:
    assert (await admin.using(admin.keys.app).get(URL)).status_code == 403
    assert (await admin.using("").get(URL)).status_code == 401


@FUZZ
@given(
    node_id=st.text(min_size=1, max_size=70).filter(lambda name: name not in (".", "..")),
    query=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("kind", "before", "limit"), st.text(max_size=80) | st.integers().map(str)),
    ),
)
async def test_no_query_breaks_it(admin: Admin, node_id: str, query: dict[str, str]) -> None:
    url = f"/admin/v1/nodes/{''.join(f'%{byte:02x}' for byte in node_id.encode(errors='replace'))}/telemetry"
    clean = {name: value.encode(errors="replace").decode() for name, value in query.items()}
    assert (await admin.client.get(url, params=clean)).status_code in {200, 404, 422}
