"""The facts table: sound rows, stale facts dropped, the typical world."""

from __future__ import annotations

import pytest

from policies import FACTS, FactSpec, FactType, FactValue, drop_stale, typical_facts
from policies.facts import INPUTS, without_text
from policies.language.declarations import InputError, accept


@pytest.mark.parametrize("spec", FACTS.values(), ids=str)
def test_row_is_sound(spec: FactSpec) -> None:
    group, _, field = spec.name.partition(".")
    assert group in ("request", "device", "cloud") and field
    assert bool(spec.enum) == (spec.type is FactType.ENUM)
    assert not (spec.optional and spec.default is not None)
    for value in (spec.default, spec.typical):
        assert value is None or accept(INPUTS[spec.name], value) == value


def test_units_are_in_the_names() -> None:
    for suffix, unit in (("_pct", "percent"), ("_ms", "milliseconds"), ("_c", "celsius"), ("_per_s", "tokens/s")):
        named = {spec.name for spec in FACTS.values() if spec.name.endswith(suffix)}
        assert named and named == {spec.name for spec in FACTS.values() if spec.unit == unit}


def test_stale_telemetry_is_absent() -> None:
    facts: dict[str, FactValue] = {"device.rtt_ms": 20.0, "device.present": True, "request.model": "m"}
    fresh = drop_stale(facts, {"device.rtt_ms": 60.1, "device.present": 1e9})
    assert fresh == {"device.present": True, "request.model": "m"}
    assert drop_stale(facts, {"device.rtt_ms": 60.0}) == facts


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request.task", "words of a client"),
        ("request.wants_device", "words of a client"),
        ("request.complexity", "words of a client"),
        ("request.model", "m" * 81),
        ("request.tenant", ["words of a client"]),
        ("request.turns", True),
        ("request.turns", 2.5),
        ("request.turns", 2**63),
        ("device.rtt_ms", float("nan")),
        ("device.rtt_ms", 2**70),
        ("device.present", 1),
        ("unheard.of", 1),
        ("prompt", "words of a client"),
    ],
)
def test_no_words_of_a_client_are_recorded(name: str, value: object) -> None:
    assert without_text({name: value}) == {}


def test_facts_in_their_own_type_and_our_own_names_are_recorded() -> None:
    """Every fact of the table but the one string that a client chooses."""
    facts: dict[str, object] = {n: s.enum[-1] if s.enum else s.typical or s.default for n, s in FACTS.items()}
    known = {name: value for name, value in facts.items() if value is not None}
    assert without_text(facts | {"request.wants_device": "d"}) == {
        name: value for name, value in known.items() if name != "request.wants_device"
    }
    assert {"device.id", "request.model", "request.tenant", "device.battery_pct"} <= known.keys()


def test_a_world_without_device_has_no_telemetry() -> None:
    assert "device.battery_pct" in typical_facts({})
    world = typical_facts({"device.present": False, "cloud.load": None})
    assert [name for name in world if name.startswith("device.")] == ["device.present"]
    assert "cloud.load" not in world and world["cloud.available"] is True


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("device.battery_pct", 20, 20.0),
        ("device.rtt_ms", 2**62, float(2**62)),
        ("request.task", None, "other"),
        ("device.rtt_ms", None, None),
        ("request.max_tokens", -(2**63), -(2**63)),
    ],
)
def test_accepted(name: str, raw: object, value: object) -> None:
    result = accept(INPUTS[name], raw)
    assert result == value and type(result) is type(value)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("device.battery_pct", True),
        ("device.battery_pct", float("nan")),
        ("device.battery_pct", float("inf")),
        ("device.battery_pct", 10**400),
        ("device.battery_pct", "20"),
        ("request.max_tokens", 2**63),
        ("request.max_tokens", 1.0),
        ("request.max_tokens", True),
        ("device.present", 1),
        ("request.task", "Code"),
        ("request.task", ["code"]),
        ("request.tenant", "x" * 4097),
        ("request.tenant", b"x"),
        ("request.sensitivity", None),
    ],
)
def test_refused(name: str, raw: object) -> None:
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        accept(INPUTS[name], raw)


def test_an_error_does_not_show_the_text() -> None:
    with pytest.raises(InputError) as caught:
        accept(INPUTS["request.task"], "my password is hunter22")
    assert "hunter" not in str(caught.value)
