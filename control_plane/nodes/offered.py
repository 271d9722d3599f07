"""The policy bundle that a node was offered last, and when a refused one is offered again. Pure, as its session is."""

from __future__ import annotations

from dataclasses import dataclass

from edgewise.wire import frames


@dataclass(frozen=True, slots=True)
class OfferAgain:
    """Seconds from a refusal to the next offer of the same bundle: doubled each time, up to `most_s`."""

    first_s: float = 60.0
    most_s: float = 3600.0


class OfferedPolicy:
    """What one node was offered. Its reason to refuse may pass without a word: a clock is set, an older bundle expires.

    digest: of the bundle offered last, or, before any was, of the one that the node came with.
    again_at: when the refused one is due again; None while there is none.
    """

    def __init__(self, config: OfferAgain) -> None:
        self.digest = ""
        self.again_at: float | None = None
        self._config = config
        self._wait_s = config.first_s
        self._offer: frames.PolicyOffer | None = None

    def on_offer(self, offer: frames.PolicyOffer) -> bool:
        """A bundle is to be offered; whether it must be sent, as another one was offered last."""
        if offer.digest == self.digest:
            return False
        self.digest, self._offer = offer.digest, offer
        self.again_at, self._wait_s = None, self._config.first_s
        return True

    def on_status(self, status: frames.PolicyStatus, now: float) -> None:
        """The node answered; an answer to an earlier offer says nothing of this one."""
        if status.digest != self.digest:
            return
        self.again_at = None
        if not status.applied:
            self.again_at = now + self._wait_s
            self._wait_s = min(2 * self._wait_s, self._config.most_s)

    def again(self, now: float) -> frames.PolicyOffer | None:
        """The refused bundle, when it is due."""
        if self.again_at is None or now < self.again_at:
            return None
        self.again_at = None
        return self._offer
