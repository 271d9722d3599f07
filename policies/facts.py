"""The one table of facts: what a policy may read, of which type and unit, in which phase, and when it is stale.

Telemetry, estimators and policies are all tested against this table. No fact is measured or estimated here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeGuard

from policies.language.declarations import Declaration
from policies.language.types import BOOL, DOUBLE, DURATION, INT, STRING, Enum, List, Map, Type
from policies.modes import MODES

FactValue = bool | int | float | str


class FactType(StrEnum):
    """The type of a fact's value."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    ENUM = "enum"
    DURATION = "duration"
    TEXTS = "list(string)"
    TEXT_MAP = "map(string, string)"


CONTEXT: Final = "routing-context/v1"
"""The name of this table in documents."""
PHASES: Final = ("admission", "answer")
"""When facts become known, in order: before an answer is begun, and while it is made."""


@dataclass(frozen=True, slots=True)
class FactSpec:
    """One row of the table.

    optional: may be absent; a policy must test it with has() or give it `.orValue(x)`.
    phase: from when on the value is known, one of PHASES.
    default: the value that stands in when the fact is absent; None together with `optional=False` means required.
    typical: where a policy's own tests start from; None leaves the fact absent there.
    stale_after_s: an older measurement counts as absent (`drop_stale`); None never goes stale.
    step: the smallest change worth telling a person about, in the fact's unit.
    """

    name: str
    type: FactType
    about: str
    unit: str = ""
    enum: tuple[str, ...] = ()
    ordered: bool = False
    phase: str = "admission"
    optional: bool = False
    default: FactValue | tuple[str, ...] | None = None
    typical: FactValue | None = None
    stale_after_s: float | None = None
    step: float = 1.0

    @property
    def required(self) -> bool:
        """True when a decision without this fact is an error."""
        return not self.optional and self.default is None

    @property
    def language_type(self) -> Type:
        """The type that expressions see."""
        return Enum(self.name, self.enum, self.ordered) if self.type is FactType.ENUM else _TYPES[self.type]

    @property
    def declaration(self) -> Declaration:
        """The fact as the expression language knows it."""
        default = list(self.default) if isinstance(self.default, tuple) else self.default
        return Declaration(self.name, self.language_type, self.optional, default, self.typical)


_TYPES: Final[Mapping[FactType, Type]] = {
    FactType.BOOL: BOOL,
    FactType.INT: INT,
    FactType.DOUBLE: DOUBLE,
    FactType.STRING: STRING,
    FactType.DURATION: DURATION,
    FactType.TEXTS: List(STRING),
    FactType.TEXT_MAP: Map(STRING, STRING),
}

TASKS: Final = ("greeting", "factual", "creative", "code", "tool", "other")
LANGUAGES: Final = ("en", "zh", "mixed", "other")
SENSITIVITIES: Final = ("public", "internal", "personal", "secret")  # from harmless to grave
ORIGINS: Final = ("device", "control_plane")
LINKS: Final = ("wifi", "cellular", "ethernet", "none", "unknown")
WANTED_MODES: Final = ("", *(str(mode) for mode in MODES))

_B, _I, _D, _S, _E = FactType.BOOL, FactType.INT, FactType.DOUBLE, FactType.STRING, FactType.ENUM


def _telemetry(
    name: str, type: FactType, about: str, unit: str = "", *, typical: FactValue, stale_after_s: float
) -> FactSpec:
    return FactSpec(name, type, about, unit, optional=True, typical=typical, stale_after_s=stale_after_s)


_REQUEST: Final = (
    FactSpec("request.task", _E, "what kind of answer is asked for", enum=TASKS, default="other"),
    FactSpec("request.complexity", _D, "how hard the request looks, 0 to 1", "ratio", default=0.5, step=0.01),
    FactSpec("request.language", _E, "the language of the last user message", enum=LANGUAGES, default="other"),
    FactSpec(
        "request.sensitivity",
        _E,
        "the gravest kind of text found in the request, or a higher one that the caller declared",
        enum=SENSITIVITIES,
        ordered=True,
        typical="public",
    ),
    FactSpec("request.needs_fresh", _B, "asks for news, prices, weather or other new information", default=False),
    FactSpec("request.prompt_tokens", _I, "size of the last user message", "tokens", default=0, typical=40),
    FactSpec("request.context_tokens", _I, "size of the whole conversation", "tokens", default=0, typical=120),
    FactSpec("request.max_tokens", _I, "the longest answer the client accepts", "tokens", optional=True, typical=256),
    FactSpec("request.turns", _I, "user messages so far, this one included", "messages", default=1),
    FactSpec("request.origin", _E, "where the request came in", enum=ORIGINS, typical="control_plane"),
    FactSpec("request.user_tier", _S, "the user tier of the API key", default="standard"),
    FactSpec("request.tenant", _S, "the tenant of the API key", default="", typical="acme"),
    FactSpec("request.model", _S, "the model name that the client sent", default="", typical="edgewise"),
    FactSpec("request.wants_mode", _E, "the mode the client asked for, or empty", enum=WANTED_MODES, default=""),
    FactSpec("request.wants_device", _S, "the device the client asked for, or empty", default=""),
)

_DEVICE: Final = (
    FactSpec("device.id", _S, "the device chosen for this request", optional=True, typical="tablet-1"),
    FactSpec("device.present", _B, "a device with a loaded model can answer", default=False, typical=True),
    FactSpec("device.online", _B, "the device and the control plane reach each other", default=False, typical=True),
    _telemetry("device.battery_pct", _D, "battery charge", "percent", typical=80.0, stale_after_s=300.0),
    _telemetry("device.charging", _B, "on external power", typical=False, stale_after_s=300.0),
    _telemetry("device.cpu_temp_c", _D, "temperature of the processor", "celsius", typical=45.0, stale_after_s=60.0),
    _telemetry("device.memory_pct", _D, "memory in use", "percent", typical=50.0, stale_after_s=60.0),
    _telemetry("device.cpu_pct", _D, "processor load over all cores", "percent", typical=20.0, stale_after_s=60.0),
    FactSpec(
        "device.link",
        _E,
        "how the device is connected",
        enum=LINKS,
        optional=True,
        typical="wifi",
        stale_after_s=300.0,
    ),
    _telemetry(
        "device.rtt_ms", _D, "round trip to the control plane", "milliseconds", typical=40.0, stale_after_s=60.0
    ),
    _telemetry("device.tokens_per_s", _D, "speed of recent answers", "tokens/s", typical=25.0, stale_after_s=3600.0),
    FactSpec("device.model_version", _S, "id of the loaded model version", optional=True, typical="sha256:0"),
    _telemetry("device.queue_depth", _I, "answers waiting or running", "requests", typical=0, stale_after_s=60.0),
)

_CLOUD: Final = (
    FactSpec("cloud.available", _B, "a cloud tier can take requests", default=False, typical=True),
    FactSpec("cloud.workers", _I, "cloud workers and upstreams that are ready", "workers", default=0, typical=1),
    _telemetry("cloud.queue_depth", _I, "requests waiting, summed", "requests", typical=0, stale_after_s=30.0),
    FactSpec(
        "cloud.load",
        _D,
        "share of the slots in use, 0 to 1",
        "ratio",
        optional=True,
        typical=0.2,
        stale_after_s=30.0,
        step=0.01,
    ),
    FactSpec("cloud.breaker_open", _B, "the circuit breaker keeps requests away", default=False),
    FactSpec("cloud.refusals_recent", _I, "refusals seen in the last minute", "requests", default=0),
    _telemetry("cloud.budget_left_pct", _D, "cost budget left", "percent", typical=100.0, stale_after_s=600.0),
)

FACTS: Final[Mapping[str, FactSpec]] = MappingProxyType({s.name: s for s in (*_REQUEST, *_DEVICE, *_CLOUD)})
INPUTS: Final[Mapping[str, Declaration]] = MappingProxyType({s.name: s.declaration for s in FACTS.values()})
"""The facts as the expression language knows them."""


NAME_MAX_CHARS: Final = 80
_OWN_NAMES: Final = frozenset(
    {"device.id", "device.model_version", "request.model", "request.tenant", "request.user_tier"}
)
"""Facts of free text whose values are names of ours: a device, a model that exists, what belongs to a key."""


def drop_stale(facts: Mapping[str, FactValue], age_s: Mapping[str, float]) -> dict[str, FactValue]:
    """`facts` without those whose age in seconds, where known, is over the table's limit.

    The caller does this before `Policy.decide`, which knows no clock: a stale fact is an absent fact.
    """
    return {name: value for name, value in facts.items() if not _is_stale(name, age_s.get(name, 0.0))}


def _is_stale(name: str, age_s: float) -> bool:
    spec = FACTS.get(name)
    return spec is not None and spec.stale_after_s is not None and age_s > spec.stale_after_s


def without_text(facts: Mapping[str, object]) -> dict[str, FactValue]:
    """The facts that may be recorded and sent on: those of the table, in their own type, that hold no client's words.

    Numbers (finite, at most 64 bits), switches, words of an enumeration, and short names that Edgewise gave itself.
    """
    return {name: value for name, value in facts.items() if _is_safe(value, FACTS.get(name))}


def _is_safe(value: object, spec: FactSpec | None) -> TypeGuard[FactValue]:
    if spec is None:
        return False
    match spec.type:
        case FactType.BOOL:
            return isinstance(value, bool)
        case FactType.INT:
            return _is_int64(value)
        case FactType.DOUBLE:
            return _is_int64(value) or (isinstance(value, float) and math.isfinite(value))
        case FactType.ENUM:
            return isinstance(value, str) and value in spec.enum
        case FactType.STRING:
            return spec.name in _OWN_NAMES and isinstance(value, str) and len(value) <= NAME_MAX_CHARS
        case FactType.DURATION | FactType.TEXTS | FactType.TEXT_MAP:
            return False  # no record has a place for them yet


def _is_int64(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def typical_facts(given: Mapping[str, FactValue | None]) -> dict[str, FactValue]:
    """The healthy world that a policy's tests start from, changed by `given` (None: absent).

    A world without a device (`device.present: false`) has no telemetry of one; the same holds for the cloud.
    """
    gone = tuple(f"{group}." for group, sign in _GROUP_SIGNS.items() if given.get(sign) is False)
    world = {s.name: s.typical for s in FACTS.values() if s.typical is not None and not s.name.startswith(gone)}
    return {name: value for name, value in {**world, **given}.items() if value is not None}


_GROUP_SIGNS: Final = {"device": "device.present", "cloud": "cloud.available"}
