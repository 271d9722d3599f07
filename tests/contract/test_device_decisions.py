"""What a device records of an answer is what a control plane understands: both ends of the same telemetry record."""

from __future__ import annotations

from pathlib import Path

from control_plane.decisions.device import Reporter, device_event
from control_plane.decisions.records import Decided, Finished
from policies import Policy
from policies.library import seed_text
from tests.edge_agent.device import running_device
from tests.edge_agent.tiny_model import write_tiny_model
from tests.factories.admin import NOON

BY = Reporter("phone-1", "key-7", "acme")


async def test_an_answer_of_a_device_becomes_a_decision_and_its_end(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    async with running_device(tmp_path, tmp_path / "data") as device:
        told = (await device.ask("a zebra in a hat")).json()
        await device.runner.drain(1.0)
        decided, finished = (device_event(BY, NOON, each.kind, each.values) for each in device.records())
    assert isinstance(decided, Decided) and isinstance(finished, Finished)
    answer = told["edgewise"]
    assert decided.stream_id == finished.stream_id == answer["stream"]
    assert (decided.mode, decided.rule) == (answer["mode"], answer["rule"])
    assert decided.policy_digest.startswith(answer["policy"])
    assert decided.facts["request.origin"] == "device" and decided.facts["device.battery_pct"] == 80.0
    assert decided.terms == Policy.load(seed_text()).decide(decided.facts).asked()
    assert (finished.status, finished.tier) == ("done", answer["tier"])
    assert finished.completion_tokens == told["usage"]["completion_tokens"]
    assert "zebra" not in f"{decided}{finished}"
