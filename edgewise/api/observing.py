"""What an AnswerService tells its Observer: that a stream began, and how the work on it ended."""

from __future__ import annotations

from edgewise.dialects.render import AnswerHeader
from edgewise.observability.observer import Observer
from edgewise.observability.trail import Trail
from edgewise.routing.runner import INTERRUPTED, Outcome


def tell_begin(observer: Observer, trail: Trail, header: AnswerHeader, key_id: str) -> None:
    """The request became a stream, or another process's stream goes on here."""
    observer.begin(
        trail,
        sid=header.sid,
        key_id=key_id,
        mode=header.mode,
        rule=header.rule,
        model=header.model,
        policy=header.policy,
    )


def tell_end(observer: Observer, trail: Trail, outcome: Outcome) -> None:
    """Work on it is over here; the outcome learns its latency points."""
    failed = outcome.finish in ("error", INTERRUPTED) and bool(outcome.failures)
    outcome.points = observer.ended(
        trail,
        finish=outcome.finish,
        error_code=outcome.failures[-1].info().code if failed else "",
        tokens_in=outcome.usage.prompt_tokens,
        tokens_out=outcome.usage.completion_tokens,
        first_token_s=outcome.timings.first_token_s,
        waste_tokens=outcome.timings.waste_tokens,
        tiers=len(outcome.tiers),
    )
